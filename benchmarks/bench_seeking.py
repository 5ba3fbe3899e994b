"""
Ten seconds out of an hour: CPU time against reading a whole file of ten seconds, format by format.

    python benchmarks/bench_seeking.py [--seconds 3600] [--formats wav,flac,ogg,opus,mp3]

Writes the files to a temporary directory first, which takes minutes. MP3 has no index to seek by.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from measuring import interleaved, machine, table

from auricle.processing import load_waveform

RATE = 32_000
WANTED = 10.0
KINDS = {
    "wav": ("WAV", None, RATE),
    "flac": ("FLAC", None, RATE),
    "ogg": ("OGG", "VORBIS", RATE),
    "opus": ("OGG", "OPUS", 48_000),
    "mp3": ("MP3", None, RATE),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--seconds", type=int, default=3600, help="length of the long files")
    parser.add_argument("--formats", default=",".join(KINDS))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.formats.split(","):
        with tempfile.TemporaryDirectory() as folder:
            short, long = (Path(folder) / f"{kind}.{name}" for kind in ("short", "long"))
            _write(short, name, WANTED)
            _write(long, name, arguments.seconds)
            places = {"start": 5.0, "middle": arguments.seconds / 2 + 0.3, "end": arguments.seconds - 100.0}
            ways = {"short": lambda path=short: load_waveform(path, sampling_rate=RATE)}
            for place, offset in places.items():
                ways[place] = lambda path=long, offset=offset: load_waveform(
                    path, sampling_rate=RATE, offset=offset, duration=WANTED
                )
            times = interleaved(ways, rounds=arguments.rounds)
        ratios = [f"{times[place] / times['short']:.2f}" for place in places]
        rows.append([name, f"{1000 * times['short']:.1f}", *ratios])
    print(machine())
    print(table(rows, ["format", "ten-second file, ms", "start", "middle", "end"]))


def _write(path: Path, name: str, seconds: float) -> None:
    container, subtype, rate = KINDS[name]
    generator = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate, 1, format=container, subtype=subtype) as file:
        for _ in range(round(seconds / 10)):
            file.write((0.1 * generator.standard_normal(rate * 10)).astype(np.float32))


if __name__ == "__main__":
    main()
