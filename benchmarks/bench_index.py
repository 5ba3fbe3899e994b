"""
Indexing many short files, then again with nothing changed, then with a hundred changed.

    OMP_NUM_THREADS=1 python benchmarks/bench_index.py MODEL [--files 10000]

Wall times of whole `auricle index` commands, start of Python included. The files are noises of half a second to one
second, 16 kHz WAV.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from measuring import table

RATE = 16_000
CHANGED = 100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--files", type=int, default=10_000)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        sounds, index = Path(folder) / "sounds", Path(folder) / "index"
        paths = [sounds / f"{number // 1000:02}" / f"{number:06}.wav" for number in range(arguments.files)]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, generator)
        command = [
            sys.executable,
            "-m",
            "auricle",
            "index",
            str(sounds),
            "--index",
            str(index),
            "--no-progress",
        ]
        seconds = [timed([*command, "--model", arguments.model]), timed(command)]
        for path in paths[:: max(1, arguments.files // CHANGED)][:CHANGED]:
            write(path, generator)
        seconds.append(timed(command))
    names = ("the first time", "again, nothing changed", f"again, {CHANGED} files changed")
    rows = [
        [name, f"{spent:.1f}", f"{100 * spent / seconds[0]:.2f}"]
        for name, spent in zip(names, seconds, strict=True)
    ]
    print(table(rows, [f"{arguments.files:,} files", "seconds", "% of the first time"]))


def write(path: Path, generator: np.random.Generator) -> None:
    soundfile.write(path, 0.1 * generator.standard_normal(generator.integers(RATE // 2, RATE)), RATE)


def timed(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
