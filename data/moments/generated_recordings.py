"""Generates recordings of several minutes with captioned events at known times: short clips over background noise.

The method is that of Clotho-Moment (Munakata et al., ICASSP 2025): clips are laid over long backgrounds, and their
captions become queries. Lengths of events follow CASTELLA's test set.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from datasets import Dataset
from tqdm.auto import tqdm

from ...files.replacing import replace_path
from ...processing import load_waveform
from .events import draw_duration, event_sound, place_events, without_silent_ends

BACKGROUND_RMS = 0.02
PEAK = 0.9
GAP_SECONDS = 1.0
SILENCES = (0.0, 0.25)  # share of a recording without background


class GeneratedMomentsError(ValueError):
    """Recordings cannot be generated; the message names the setting or the clip."""


@dataclass(frozen=True)
class MomentSettings:
    """
    Settings of generated recordings.

    Attributes:
        recordings: number of recordings.
        seed: of all draws; each recording has separate random generators.
        sampling_rate: Hz of the files.
        seconds: shortest and longest recording.
        queries: fewest and most queries a recording, each of another label.
        events: fewest and most events of a query; they are at least a second apart.
        snr_db: lowest and highest level of an event over the background, in dB.
    """

    recordings: int = 40
    seed: int = 0
    sampling_rate: int = 16000
    seconds: tuple[float, float] = (60.0, 300.0)
    queries: tuple[int, int] = (1, 4)
    events: tuple[int, int] = (1, 5)
    snr_db: tuple[float, float] = (-5.0, 10.0)

    def __post_init__(self) -> None:
        if self.recordings < 1:
            raise GeneratedMomentsError(f"recordings={self.recordings} must be at least 1.")
        if not 1000 <= self.sampling_rate <= 768_000:
            raise GeneratedMomentsError(f"sampling_rate={self.sampling_rate} must be 1000 to 768000 Hz.")
        for name, least in (("seconds", 30.0), ("queries", 1), ("events", 1), ("snr_db", -60.0)):
            low, high = getattr(self, name)
            if not least <= low <= high:
                raise GeneratedMomentsError(
                    f"{name}={low:g}..{high:g} must rise and begin at {least:g} or above."
                )


def make_moment_recordings(
    table: Dataset, out: str | os.PathLike[str], settings: MomentSettings, *, progress: bool = False
) -> Path:
    """
    Writes recordings with events at known times, and queries for them.

    Args:
        table: captioned clips with a ``label`` column (`auricle.data.schema`); a query is a caption of a label,
            and all its events are clips of that label.
        out: directory; gets ``audio/*.flac`` and ``moments.jsonl`` (form of DCASE 2026 Task 6), whose
            ``sources`` name the clips. Existing files are replaced.
        settings: settings of the recordings.
        progress: show a progress bar.

    Returns:
        Path of ``moments.jsonl``.

    Raises:
        GeneratedMomentsError: if the table has no labels or too few, or a clip contains no sound.
    """
    if "label" not in table.column_names:
        raise GeneratedMomentsError(
            "the clips have no column 'label', which is needed to match clips and queries."
        )
    clips: dict[str, list[str]] = {}
    captions: dict[str, list[str]] = {}
    for audio, label, caption in zip(table["audio"], table["label"], table["caption"], strict=True):
        if audio["path"] not in clips.setdefault(label, []):
            clips[label].append(audio["path"])
        if caption not in captions.setdefault(label, []):
            captions[label].append(caption)
    if len(clips) < settings.queries[1]:
        raise GeneratedMomentsError(
            f"queries={settings.queries[1]} need as many labels, but the clips have {len(clips)}."
        )
    folder = Path(out)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    known: dict[str, np.ndarray] = {}
    lines = []
    for number in tqdm(range(settings.recordings), desc="recordings", disable=not progress):
        generator = np.random.default_rng([settings.seed, number])
        name = f"recording_{number:05d}"
        samples, queries = _recording(settings, clips, captions, known, generator)
        soundfile.write(folder / "audio" / f"{name}.flac", samples, settings.sampling_rate, subtype="PCM_16")
        for place, (query, moments, sources) in enumerate(queries, start=1):
            lines.append(
                {
                    "qid": f"{name}_{place}",
                    "query": query,
                    "duration": round(len(samples) / settings.sampling_rate, 3),
                    "vid": name,
                    "relevant_windows": moments,
                    "sources": sources,
                }
            )
    path = folder / "moments.jsonl"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8"
    )
    replace_path(temporary, path)
    return path


def _recording(
    settings: MomentSettings,
    clips: dict[str, list[str]],
    captions: dict[str, list[str]],
    known: dict[str, np.ndarray],
    generator: np.random.Generator,
) -> tuple[np.ndarray, list[tuple[str, list[list[float]], list[str]]]]:
    rate = settings.sampling_rate
    seconds = float(generator.uniform(*settings.seconds))
    samples = _background(round(seconds * rate), rate, generator)
    labels = generator.permutation(sorted(clips))[: generator.integers(*settings.queries, endpoint=True)]
    queries = []
    for label in labels:
        count = int(generator.integers(*settings.events, endpoint=True))
        while True:
            durations = [draw_duration(generator) for _ in range(count)]
            starts = place_events(durations, seconds, gap=GAP_SECONDS, generator=generator)
            if starts is not None:
                break
            count = max(1, count - 1)
        moments, sources = [], []
        for start, duration in zip(starts, durations, strict=True):
            path = str(generator.choice(clips[label]))
            first = round(start * rate)
            sound = event_sound(_clip(path, rate, known), rate, duration, generator)
            sound = sound[: len(samples) - first]
            gain = BACKGROUND_RMS * 10 ** (float(generator.uniform(*settings.snr_db)) / 20)
            samples[first : first + len(sound)] += gain * sound
            moments.append([round(first / rate, 3), round((first + len(sound)) / rate, 3)])
            sources.append(os.path.basename(path))
        queries.append((str(generator.choice(captions[label])), moments, sources))
    peak = float(np.abs(samples).max())
    return samples * min(1.0, PEAK / peak) if peak else samples, queries


def _background(length: int, rate: int, generator: np.random.Generator) -> np.ndarray:
    """Noise whose spectrum falls by 0 to 6 dB an octave, with slow swells and, in some places, silence."""
    slope = float(generator.uniform(0.0, 1.0))
    # Of a power of two: transforms of other lengths can take ten times as long.
    size = 1 << (length - 1).bit_length()
    spectrum = np.fft.rfft(generator.standard_normal(size))
    frequencies = np.maximum(np.fft.rfftfreq(size, 1 / rate), 20.0)
    noise = np.fft.irfft(spectrum * frequencies**-slope, n=size)[:length]
    noise *= BACKGROUND_RMS / np.sqrt(np.mean(noise**2))
    points = max(2, length // (10 * rate))
    swell = np.interp(
        np.arange(length), np.linspace(0, length - 1, points), generator.uniform(-4.0, 4.0, size=points)
    )
    noise *= 10 ** (swell / 20)
    silent = round(float(generator.uniform(*SILENCES)) * length)
    start = int(generator.integers(0, length - silent + 1))
    noise[start : start + silent] = 0.0
    return noise


def _clip(path: str, rate: int, known: dict[str, np.ndarray]) -> np.ndarray:
    if path not in known:
        samples = without_silent_ends(np.asarray(load_waveform(path, sampling_rate=rate)), rate)
        if not len(samples):
            raise GeneratedMomentsError(f"{path}: contains no audio.")
        known[path] = samples
    return known[path]


def split_clips(table: Dataset, share: float, seed: int = 0) -> tuple[Dataset, Dataset]:
    """
    Splits a table into two parts without common clips; each label is split by the same share.

    Args:
        table: captioned clips with a ``label`` column.
        share: share of each label's clips that the second part gets, above 0 and below 1.
        seed: seed of the draw.

    Raises:
        GeneratedMomentsError: for another share, or a label with fewer than two clips.
    """
    if not 0 < share < 1:
        raise GeneratedMomentsError(f"share={share:g} must lie between 0 and 1.")
    paths: dict[str, list[str]] = {}
    for audio, label in zip(table["audio"], table["label"], strict=True):
        if audio["path"] not in paths.setdefault(label, []):
            paths[label].append(audio["path"])
    second: set[str] = set()
    for number, label in enumerate(sorted(paths)):
        own: Sequence[str] = sorted(paths[label])
        if len(own) < 2:
            raise GeneratedMomentsError(f"label {label!r} has {len(own)} clip: two parts need one each.")
        count = min(len(own) - 1, max(1, round(share * len(own))))
        chosen = np.random.default_rng([seed, number]).permutation(len(own))[:count]
        second |= {own[int(place)] for place in chosen}
    inside = np.array([audio["path"] in second for audio in table["audio"]])
    return table.select(np.flatnonzero(~inside)), table.select(np.flatnonzero(inside))


__all__ = ["GeneratedMomentsError", "MomentSettings", "make_moment_recordings", "split_clips"]
