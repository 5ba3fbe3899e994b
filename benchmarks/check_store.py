"""Writes the waveform cache of generated clips while killing it, and compares it with an unbroken one's bytes."""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from auricle.data.waveform_cache import WaveformCache

RATE = 32_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--clips", type=int, default=10_000, help="FLAC files of 0.2 to 1 second at 44,100 Hz"
    )
    parser.add_argument(
        "--kills", type=int, default=10, help="SIGKILLs at random moments of an unbroken run's time"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", nargs=2, metavar=("SOUNDS", "CACHE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write(*map(Path, arguments.write))
        return
    with tempfile.TemporaryDirectory() as folder:
        check(Path(folder), arguments)


def write(sounds: Path, cache: Path) -> None:
    clips = [{"path": str(path), "offset": 0.0, "duration": None} for path in sorted(sounds.iterdir())]
    WaveformCache.build(clips, sampling_rate=RATE, cache_dir=cache, progress=False)


def check(folder: Path, arguments: argparse.Namespace) -> None:
    sounds = folder / "sounds"
    sounds.mkdir()
    generator = np.random.default_rng(arguments.seed)
    for number in range(arguments.clips):
        samples = generator.uniform(-0.5, 0.5, generator.integers(8_820, 44_100))
        soundfile.write(sounds / f"{number:05}.flac", samples, 44_100)

    def start(cache: Path) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, __file__, "--write", str(sounds), str(cache)])

    process = start(folder / "whole")
    wait_for_decoding(process, folder / "whole")
    began = time.monotonic()
    if process.wait():
        raise SystemExit("the unbroken run failed")
    took = time.monotonic() - began
    moments = random.Random(arguments.seed)
    killed, finished = 0, []
    while killed < arguments.kills:
        process = start(folder / "killed")
        wait_for_decoding(process, folder / "killed")
        try:
            process.wait(moments.uniform(0.0, 1.6) * took / arguments.kills)
            break
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            finished.append(sum(path.stat().st_size for path in noted(folder / "killed")) // 8)
    if start(folder / "killed").wait():
        raise SystemExit("the killed run could not be finished")
    digests = [digest(folder / name) for name in ("whole", "killed")]
    print(
        f"{arguments.clips} clips, {took:.0f} s unbroken; clips finished at each of {killed} kills: {finished}"
    )
    print(f"equal bytes: {digests[0] == digests[1]} ({digests[0][:16]})")
    if digests[0] != digests[1] or killed < arguments.kills:
        raise SystemExit(1)


def noted(cache: Path) -> list[Path]:
    return list(cache.glob("*.part/lengths.int64"))


def wait_for_decoding(process: subprocess.Popen, cache: Path) -> None:
    """Until the process adds to what is there: Python and its libraries take seconds to start."""
    before = [path.stat().st_size for path in noted(cache)]
    while process.poll() is None and [path.stat().st_size for path in noted(cache)] in ([], [0], before):
        time.sleep(0.002)


def digest(cache: Path) -> str:
    (directory,) = cache.glob("waveforms-*[0-9a-f]")
    content = (directory / "samples.int16").read_bytes() + (directory / "index.json").read_bytes()
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
