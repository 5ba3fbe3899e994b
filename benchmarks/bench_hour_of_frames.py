"""
A vector a second of a long recording against clip embedding without overlap: CPU time, and peak memory.

    OMP_NUM_THREADS=1 python benchmarks/bench_hour_of_frames.py MODEL [--minutes 60] [--rounds 3]
    OMP_NUM_THREADS=1 python benchmarks/bench_hour_of_frames.py --full-size --minutes 3 --rounds 2

``--full-size`` makes PaSST of published size with random weights and a small text tower. The recording is noise. CPU
seconds are user and system time of the process, the least of the rounds, measured in turn. Memory is measured in a
process of its own that embeds once in one way: peak resident size less that after the model was loaded and had
embedded a few windows.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from auricle.encoders import AudioTextEncoder, load_encoder
from auricle.encoders.recordings.recording_windows import embed_recording
from auricle.encoders.recordings.short_windows import FRAME_HOP_SECONDS, stream_short_windows


def windows(encoder: AudioTextEncoder, path: Path) -> int:
    """Clip embedding without overlap."""
    return len(embed_recording(encoder, path, hop_seconds=encoder.window_seconds).vectors)


def frames(encoder: AudioTextEncoder, path: Path) -> int:
    """A short window each second, as an index keeps them."""
    batches = stream_short_windows(encoder, encoder.pieces(path), hop_seconds=FRAME_HOP_SECONDS)
    return sum(map(len, batches))


def overlapping(encoder: AudioTextEncoder, path: Path) -> int:
    """Windows that overlap by half, as `--edges windows` takes them."""
    return len(embed_recording(encoder, path, hop_seconds=encoder.window_seconds / 2).vectors)


WAYS: dict[str, Callable[[AudioTextEncoder, Path], int]] = {
    "windows without overlap": windows,
    "a short window a second": frames,
    "windows that overlap by half": overlapping,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?")
    parser.add_argument("--full-size", action="store_true")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS])
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--recording", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(memory(load_encoder(arguments.model), arguments.recording, WAYS[arguments.only]))
        return
    if (arguments.model is None) != arguments.full_size:
        parser.error("give a model, or --full-size")
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model
        if arguments.full_size:
            model = str(Path(folder) / "model")
            save_full_size(Path(model))
        encoder = load_encoder(model)
        path = Path(folder) / "recording.wav"
        write_noise(path, encoder.sampling_rate, arguments.minutes)
        measure(encoder, model, path, arguments)


def measure(encoder: AudioTextEncoder, model: str, path: Path, arguments: argparse.Namespace) -> None:
    """Prints CPU seconds and memory of every way."""
    minutes = arguments.minutes
    used: dict[str, list[float]] = {name: [] for name in arguments.ways}
    for _ in range(arguments.rounds):
        for name in arguments.ways:
            start = time.process_time()
            count = WAYS[name](encoder, path)
            used[name].append(time.process_time() - start)
            print(f"  {name}: {count} vectors, {used[name][-1]:.1f} s of CPU", flush=True)
    base = min(used[arguments.ways[0]])
    for name, seconds in used.items():
        command = [sys.executable, __file__, model, "--only", name, "--recording", str(path)]
        peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
        print(
            f"{name}, {minutes:g} minutes: {min(seconds):.1f} s of CPU, {min(seconds) / base:.2f} times the first; "
            f"{peak} MB above the model",
            flush=True,
        )


def memory(encoder: AudioTextEncoder, path: Path, way: Callable[[AudioTextEncoder, Path], int]) -> int:
    """Megabytes that a way needs above the loaded model."""
    with tempfile.TemporaryDirectory() as folder:
        short = Path(folder) / "short.wav"
        write_noise(short, encoder.sampling_rate, 0.2)
        windows(encoder, short)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    way(encoder, path)
    return round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def write_noise(path: Path, rate: int, minutes: float) -> None:
    """Noise, written block by block."""
    generator = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", samplerate=rate, channels=1, subtype="PCM_16") as file:
        left = round(minutes * 60 * rate)
        while left:
            count = min(left, 60 * rate)
            file.write(0.1 * generator.standard_normal(count))
            left -= count


def save_full_size(folder: Path) -> None:
    """PaSST of published size, random weights."""
    from bench_full_size_classes import byte_roberta

    from auricle.modeling import AuricleConfig, AuricleModel
    from auricle.processing import AuricleFeatureExtractor, AuricleProcessor

    text = {"model_type": "roberta", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = AuricleConfig(audio_config={"model_type": "auricle_passt"}, text_config=text)
    AuricleModel(config).save_pretrained(folder)
    AuricleProcessor(AuricleFeatureExtractor.for_tower("passt"), byte_roberta(512)).save_pretrained(folder)


if __name__ == "__main__":
    main()
