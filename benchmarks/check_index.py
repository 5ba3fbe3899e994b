"""
Kills `auricle index` again and again, and compares the index with an unbroken one's.

    OMP_NUM_THREADS=1 python benchmarks/check_index.py MODEL [--files 500] [--kills 30]

Each SIGKILL falls at a random moment after the process has begun to add files; the next call goes on. Every file's
vectors are compared in the end, and no file may have been embedded twice beyond the one in work at a kill.
"""

import argparse
import itertools
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from auricle.search.store.index_store import Store

RATE = 16_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "sounds").mkdir()
        for number in range(arguments.files):
            noise = 0.1 * generator.standard_normal(generator.integers(RATE, 8 * RATE))
            soundfile.write(root / "sounds" / f"{number:04}.wav", noise, RATE)

        def command(index: Path) -> list[str]:
            start = [sys.executable, "-m", "auricle", "index", str(root / "sounds")]
            return [*start, "--model", arguments.model, "--index", str(index), "--no-progress"]

        began = time.monotonic()
        subprocess.run(command(root / "whole"), check=True, stdout=subprocess.DEVNULL)
        took = time.monotonic() - began
        killed, finished, embedded = 0, [], 0
        moments = random.Random(arguments.seed)
        while killed < arguments.kills:
            process = subprocess.Popen(command(root / "killed"), stdout=subprocess.DEVNULL)
            before = finished_files(root / "killed")
            while process.poll() is None and finished_files(root / "killed") <= before:
                time.sleep(0.005)
            try:
                process.wait(moments.uniform(0, 0.5 * took / arguments.kills))
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
            killed += 1
            finished.append(finished_files(root / "killed"))
        last = subprocess.run(command(root / "killed"), check=True, capture_output=True, text=True)
        one, two = Store(root / "whole"), Store(root / "killed")
        equal = same(one, two)
        embedded = int(last.stdout.split()[0].replace(",", ""))
    print(
        f"{arguments.files} files, {took:.0f} s unbroken; in the index after each of {killed} kills: {finished}"
    )
    print(f"added by the last call: {embedded}; all vectors, windows and hashes equal: {equal}")
    rising = all(one <= two for one, two in itertools.pairwise(finished))
    print(f"no kill took a file that was there away: {rising}")
    if not (equal and rising and killed == arguments.kills and embedded == arguments.files - finished[-1]):
        raise SystemExit(1)


def finished_files(index: Path) -> int:
    return len(Store(index).files()) if (index / "index.json").is_file() else 0


def same(one: Store, two: Store) -> bool:
    files = one.files()
    if files.keys() != two.files().keys():
        return False
    for path in files:
        ours, theirs = one.entry(path), two.entry(path)
        if ours.digest != theirs.digest or not np.array_equal(ours.vectors, theirs.vectors):
            return False
        if not (np.array_equal(ours.starts, theirs.starts) and np.array_equal(ours.vector, theirs.vector)):
            return False
    return True


if __name__ == "__main__":
    main()
