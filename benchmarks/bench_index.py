"""
Indexing many short files, then again with nothing changed, then with a hundred changed.

    OMP_NUM_THREADS=1 python benchmarks/bench_index.py MODEL [--files 10000] [--seconds 0.5 1.0] [--engine onnx]

Wall and CPU times of whole `auricle index` commands, start of Python included; and of the same in a process that has
its libraries and the model already, as `--watch` and Python programs do, against the first time without the start. All
but the first time is measured in turns, and the table has medians. The files are noises, 16 kHz WAV.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from measuring import machine, table

from auricle.encoders.recordings.recording_windows import embed_files
from auricle.search import SoundIndex
from auricle.search.index_creation import loader_by_engine

# What a command needs before it embeds: no database, which a small update does not open. As in the command, garbage is
# collected rarely, and Python is left without its shutdown.
START = (
    "import gc, os, sys\n"
    "gc.set_threshold(50_000, 10, 10)\n"
    "import auricle.cli.main, auricle.cli.index\n"
    "import auricle.search.sound_index, auricle.encoders.recordings.recording_windows\n"
    "{load}\n"
    "os._exit(0)"
)
LOAD = {
    "torch": "from auricle.encoders import load_encoder\nload_encoder(sys.argv[1])",
    "packed": "from auricle.encoders import load_encoder\nload_encoder(sys.argv[1], engine='packed')",
    # The exported audio tower only.
    "onnx": "from auricle.encoders.recordings.exported_audio_part import load_sound_encoder\n"
    "assert load_sound_encoder(sys.argv[1], sys.argv[2]) is not None",
}
RATE = 16_000
CHANGED = 100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument(
        "--seconds", type=float, nargs=2, default=(0.5, 1.0), help="length of the shortest and longest"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", default="torch", choices=("torch", "packed", "onnx"))
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        sounds, index = Path(folder) / "sounds", Path(folder) / "index"
        paths = [sounds / f"{number // 1000:02}" / f"{number:06}.wav" for number in range(arguments.files)]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, generator, arguments.seconds)
        command = [
            sys.executable,
            "-m",
            "auricle",
            "index",
            str(sounds),
            "--index",
            str(index),
            "--engine",
            arguments.engine,
            "--no-progress",
        ]
        first = timed([*command, "--model", arguments.model])
        changed = paths[:: max(1, arguments.files // CHANGED)][:CHANGED]
        same, again, start = [], [], []
        fingerprint = SoundIndex(index).store.record["fingerprint"]
        start_of = [START.format(load=LOAD[arguments.engine]), arguments.model, fingerprint]
        for _ in range(arguments.rounds):
            same.append(timed(command))
            for path in changed:
                write(path, generator, arguments.seconds)
            again.append(timed(command))
            start.append(timed([sys.executable, "-c", *start_of]))
        seconds, start = [first, median(same), median(again)], median(start)
        opened = SoundIndex(index, loader=loader_by_engine(arguments.engine))
        opened.embed_texts(["rain"])
        opened.update([sounds], progress=False)
        hop = opened.store.record["hop_seconds"]
        encoder, given = opened._encoder.encoder, [str(path) for path in changed]
        same, again, alone = [], [], []
        for _ in range(arguments.rounds):
            same.append(measured(lambda: opened.update([sounds], progress=False)))
            for path in changed:
                write(path, generator, arguments.seconds)
            again.append(measured(lambda: opened.update([sounds], progress=False)))
            alone.append(
                measured(
                    lambda: list(embed_files(encoder, iter(given), hop_seconds=hop, workers=encoder.workers))
                )
            )
        running, alone = [median(same), median(again)], median(alone)
    names = ("the first time", "again, nothing changed", f"again, {CHANGED} files changed")
    rows = [row(name, spent, seconds[0][0]) for name, spent in zip(names, seconds, strict=True)]
    rows.append(row("start of Python, libraries and model alone", start))
    rows += [
        row(f"in a running process: {name}", spent, seconds[0][0] - start[0])
        for name, spent in zip(names[1:], running, strict=True)
    ]
    rows.append(row(f"embedding those {CHANGED} files alone", alone))
    print(machine(), "engine", arguments.engine)
    above = seconds[2][1] - start[1]
    times = above / alone[1]
    print(
        f"CPU above the start, {CHANGED} files changed: {above:.2f} s, {times:.2f} times embedding them alone"
    )
    print(table(rows, [f"{arguments.files:,} files", "seconds", "CPU seconds", "% of the first time"]))


def row(name: str, spent: tuple[float, float], whole: float | None = None) -> list[str]:
    share = "" if whole is None else f"{100 * spent[0] / whole:.2f}"
    return [name, f"{spent[0]:.2f}", f"{spent[1]:.2f}", share]


def median(spent: list[tuple[float, float]]) -> tuple[float, float]:
    """Of wall and of CPU seconds, each by itself."""
    return tuple(statistics.median(column) for column in zip(*spent, strict=True))


def measured(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of this process."""
    began, used = time.monotonic(), time.process_time()
    call()
    return time.monotonic() - began, time.process_time() - used


def write(path: Path, generator: np.random.Generator, seconds: tuple[float, float]) -> None:
    length = generator.integers(int(seconds[0] * RATE), int(seconds[1] * RATE) + 1)
    soundfile.write(path, 0.1 * generator.standard_normal(length), RATE)


def timed(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command."""
    began, before = time.monotonic(), os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - began, used


if __name__ == "__main__":
    main()
