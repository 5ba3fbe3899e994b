"""A small library of generated sounds with names, folders, metadata and copies, as people have them."""

import shutil
from pathlib import Path

import numpy as np
import soundfile
from tiny_models import SAMPLING_RATE

NAMES = (
    "Rain/light rain on leaves.wav",
    "Rain/thunder storm.flac",
    "Birds/wren in a hedge.wav",
    "Birds/owl at night.flac",
    "City/tram passes.wav",
    "City/crossing.wav",
    "Machines/lawn mower.wav",
    "Machines/drill.flac",
    "Water/brook.wav",
    "Water/waves on a beach.wav",
    "Bells/church bells.wav",
    "Bells/bicycle bell.wav",
)
METADATA = (
    "file_name,license,tags,place\n"
    "Rain/light rain on leaves.wav,CC0,soft,forest\n"
    "Birds/wren in a hedge.wav,CC BY 4.0,song,garden\n"
    "Water/brook.wav,CC0,stream,forest\n"
)


def write_library(folder: Path) -> Path:
    """Writes twelve recordings of twelve seconds and two copies of the first into a folder, and returns it."""
    for number, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, _bursts(number), SAMPLING_RATE, subtype="PCM_16")
    (folder / "Archive").mkdir()
    for number in range(2):
        shutil.copy(folder / NAMES[0], folder / "Archive" / f"rain take {number + 1}.wav")
    (folder / "metadata.csv").write_text(METADATA)
    return folder


def _bursts(seed: int) -> np.ndarray:
    """Tones that come and go over coloured noise, ``(samples,)``."""
    random = np.random.default_rng(seed)
    times = np.arange(12 * SAMPLING_RATE) / SAMPLING_RATE
    noise = np.cumsum(random.normal(size=len(times)))
    samples = 0.05 * (noise - np.convolve(noise, np.full(400, 1 / 400), "same")) / 10
    for _ in range(9):
        middle, width, pitch = random.uniform(0, 12), random.uniform(0.1, 0.9), random.uniform(200, 5000)
        glide = random.uniform(-300, 300) * (times - middle)
        swell = np.exp(-0.5 * ((times - middle) / width) ** 2)
        samples += random.uniform(0.1, 0.4) * swell * np.sin(2 * np.pi * (pitch + glide) * times)
    return (samples / np.abs(samples).max() * 0.9).astype(np.float32)
