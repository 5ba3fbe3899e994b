"""
Windows of digital silence in field recordings: how many pass the model, and the time with and without sharing them.

    OMP_NUM_THREADS=1 python benchmarks/bench_silent_windows.py [--recordings 4] [--minutes 3] [--silent 0.4]

The library is generated: faint noise with events, as a recorder in a quiet place writes it, and stretches of exact
zeros of 20 to 60 s, as recorders with a gate or a schedule leave them; FLAC with 16 bits. PaSST at published size with
random weights, windows without overlap. CPU time of one process, both ways in turns, best of the rounds.
"""

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import soundfile
from bench_index_speed import save_model
from measuring import machine, table

from auricle.encoders import load_encoder
from auricle.encoders.recordings.recording_windows import embed_files
from auricle.encoders.recordings.silent_windows import SilentWindows

RATE = 44_100
STRETCH = (20.0, 60.0)


def write_library(folder: Path, recordings: int, seconds: float, silent: float) -> list[Path]:
    generator = np.random.default_rng(0)
    folder.mkdir()
    paths = []
    for number in range(recordings):
        samples = 0.003 * generator.standard_normal(round(seconds * RATE))
        for _ in range(round(seconds / 10)):
            start, length = generator.integers(len(samples) - RATE), int(generator.integers(RATE // 5, RATE))
            samples[start : start + length] += 0.2 * generator.standard_normal(length)
        while (samples == 0).mean() < silent:
            length = int(generator.uniform(*STRETCH) * RATE)
            start = int(generator.integers(max(1, len(samples) - length)))
            samples[start : start + length] = 0
        paths.append(folder / f"{number:02}.flac")
        soundfile.write(paths[-1], samples, RATE, subtype="PCM_16")
    return paths


class EveryWindow(SilentWindows):
    """Passes every window through the model."""

    def pool_windows(self, waveforms: np.ndarray, lengths: list[int]) -> np.ndarray:
        """As the encoder."""
        return self.encoder.pool_windows(waveforms, lengths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--recordings", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--silent", type=float, default=0.4, help="smallest share of zeros")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import auricle.encoders.recordings.recording_windows as recording_windows

    with tempfile.TemporaryDirectory() as place:
        save_model("passt", Path(place) / "model")
        paths = write_library(
            Path(place) / "sounds", arguments.recordings, 60 * arguments.minutes, arguments.silent
        )
        encoder = load_encoder(Path(place) / "model", device="cpu", engine="torch")
        passed, plain = 0, encoder.pool_windows

        def counted(waveforms: np.ndarray, lengths: list[int]) -> np.ndarray:
            nonlocal passed
            passed += len(waveforms)
            return plain(waveforms, lengths)

        encoder.pool_windows = counted
        best, counts, vectors = {}, {}, {}
        for _ in range(arguments.rounds):
            for name, kind in (("every window", EveryWindow), ("silence shared", SilentWindows)):
                recording_windows.SilentWindows = kind
                passed, began = 0, time.process_time()
                found = dict(
                    embed_files(encoder, map(str, paths), hop_seconds=encoder.window_seconds, workers=1)
                )
                best[name] = min(best.get(name, float("inf")), time.process_time() - began)
                counts[name] = passed
                vectors[name] = np.concatenate([one.vectors for one in found.values()])
        zeros = np.mean([(soundfile.read(path)[0] == 0).mean() for path in paths])
        segments = sum(
            -(-int(soundfile.info(path).duration) // int(encoder.window_seconds)) for path in paths
        )
    print(machine())
    print(f"{len(paths)} recordings, {segments} segments of {encoder.window_seconds:g} s, {zeros:.0%} zeros")
    rows = [
        [name, str(counts[name]), f"{seconds:.1f}", f"{best['every window'] / seconds:.2f}"]
        for name, seconds in best.items()
    ]
    print(table(rows, ["way", "windows through the model", "CPU s", "times the speed"]))
    print(f"largest difference: {np.abs(vectors['every window'] - vectors['silence shared']).max():.1e}")


if __name__ == "__main__":
    main()
