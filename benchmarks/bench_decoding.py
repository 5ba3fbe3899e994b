"""
Reading sound files: CPU time of decoding and resampling, and of ten seconds near the end of an hour.

    python benchmarks/bench_decoding.py [--seconds 3600] [--rounds 7]

Against libsndfile and soxr alone, which read before; against ffprobe and ffmpeg as processes, where they are
installed; and the end of an hour against a whole file of ten seconds, the first time and when its frames are known.
Every figure is a ratio within one run. Writing the files takes some minutes.
"""

import argparse
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from measuring import interleaved, machine, table

from auricle.processing import container_decoding, frame_tables, load_waveform

RATE = 44_100
TARGET = 32_000
WANTED = 10.0
# Name: FFmpeg's container, encoder and bit rate; options of encoder and container.
KINDS: dict[str, tuple[str, str, int | None, dict[str, str], dict[str, str]]] = {
    "mp3, constant, Info": ("mp3", "libmp3lame", 128_000, {}, {}),
    "mp3, constant, no header": ("mp3", "libmp3lame", 128_000, {}, {"write_xing": "0"}),
    "mp3, variable, Xing": ("mp3", "libmp3lame", None, {"flags": "+qscale", "global_quality": "500"}, {}),
    "aac in m4a": ("ipod", "aac", 128_000, {}, {}),
    "aac in adts": ("adts", "aac", 128_000, {}, {}),
    "vorbis in webm": ("webm", "vorbis", 128_000, {"strict": "-2"}, {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--seconds", type=int, default=3600, help="length of the long files")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        print(
            table(
                decoding(Path(folder), arguments.rounds),
                ["20 s, stereo", "ours, ms", "libsndfile", "processes"],
            )
        )
        rows = seeking(Path(folder), arguments.seconds, arguments.rounds)
        print(table(rows, ["ten seconds near the end", "a whole file of 10 s, ms", "first", "kept"]))


def decoding(folder: Path, rounds: int) -> list[list[str]]:
    """Ours, and how many times more CPU the others take."""
    rows = []
    for name in ("mp3", "flac", "wav", "ogg"):
        path = folder / f"short.{name}"
        if name == "mp3":
            write(path, 20, *KINDS["mp3, constant, Info"])
        else:
            soundfile.write(path, sound(20, 2), RATE)
        ways: dict[str, Callable[[], object]] = {
            "ours": lambda path=path: load_waveform(path, sampling_rate=TARGET, downmix="mean"),
            "libsndfile": lambda path=path: by_libsndfile(path),
        }
        times = interleaved(ways, rounds=rounds)
        row = [name, f"{1000 * times['ours']:.1f}", f"{times['libsndfile'] / times['ours']:.2f} x"]
        if shutil.which("ffmpeg") and shutil.which("ffprobe"):
            row.append(f"{of_children(lambda path=path: by_processes(path), rounds) / times['ours']:.1f} x")
        else:
            row.append("no ffmpeg here")
        rows.append(row)
    return rows


def seeking(folder: Path, seconds: int, rounds: int) -> list[list[str]]:
    """How often the CPU of a whole file of ten seconds the end of a long one costs, at first and later."""
    rows = []
    for name, kind in KINDS.items():
        short, long = folder / "ten", folder / "hour"
        write(short, int(WANTED), *kind)
        write(long, seconds, *kind)

        def end(path: Path = long) -> None:
            load_waveform(path, sampling_rate=TARGET, offset=seconds - 2 * WANTED, duration=WANTED)

        def first() -> None:
            frame_tables.frame_table.cache_clear()
            container_decoding.known_places.cache_clear()
            end()

        short_time = interleaved(
            {"short": lambda path=short: load_waveform(path, sampling_rate=TARGET)}, rounds=rounds
        )
        cold = interleaved({"first": first}, rounds=max(rounds // 3, 1), warm_up=0)["first"]
        kept = interleaved({"kept": end}, rounds=rounds)["kept"]
        base = short_time["short"]
        rows.append([name, f"{1000 * base:.1f}", f"{cold / base:.2f}", f"{kept / base:.2f}"])
    return rows


def by_libsndfile(path: Path) -> np.ndarray:
    """What reading was before: libsndfile, the mean over the channels, soxr."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1, dtype=np.float32), rate, TARGET, quality="HQ")


def by_processes(path: Path) -> None:
    """What pipelines do that start the programs for every file."""
    probe = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    subprocess.run(probe, check=True, capture_output=True)
    decode = ["ffmpeg", "-v", "error", "-i", str(path), "-ac", "1", "-ar", str(TARGET), "-f", "f32le", "-"]
    subprocess.run(decode, check=True, capture_output=True)


def of_children(call: Callable[[], None], rounds: int) -> float:
    """Best CPU seconds of the processes that a call starts and waits for."""
    best = float("inf")
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        call()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return best


def sound(seconds: int, channels: int, seed: int = 0) -> np.ndarray:
    """Noise whose level changes from second to second, so that a variable bit rate varies."""
    generator = np.random.default_rng(seed)
    levels = np.repeat(generator.choice([0.001, 0.05, 0.2], seconds), RATE)[:, None]
    return (levels * generator.standard_normal((seconds * RATE, channels))).astype(np.float32)


def write(
    path: Path, seconds: int, container: str, codec: str, bit_rate: int | None, options, container_options
) -> None:
    """A stereo file by FFmpeg's encoders."""
    with av.open(str(path), "w", format=container, options=container_options) as output:
        stream = output.add_stream(codec, rate=RATE, layout="stereo", options=options)
        if bit_rate:
            stream.bit_rate = bit_rate
        for start in range(0, seconds, 10):
            part = sound(min(10, seconds - start), 2, seed=start)
            for first in range(0, len(part), 1152):
                values = np.ascontiguousarray(part[first : first + 1152].T)
                frame = av.AudioFrame.from_ndarray(values, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts, frame.time_base = RATE, start * RATE + first, Fraction(1, RATE)
                output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"{time.monotonic() - started:.0f} s in all")
