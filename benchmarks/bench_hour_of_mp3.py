"""
Ten seconds near the end of an hour of MP3 against a whole MP3 of ten seconds: CPU time, and whether the place is right.

    OMP_NUM_THREADS=1 python benchmarks/bench_hour_of_mp3.py [--seconds 3600] [--rounds 9]

Three kinds: constant bit rate with and without a Xing header, variable bit rate without one. Each second of the sound
has a pitch of its own, by which the place is checked.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

from auricle.processing import load_waveform

RATE, READ_RATE = 44_100, 32_000
KINDS = {"constant, Xing header": (True, True), "constant": (True, False), "variable": (False, False)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    offset = arguments.seconds - 15
    for kind, (constant, header) in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            short, long = Path(folder) / "short.mp3", Path(folder) / "long.mp3"
            write(short, 10, constant=constant, header=header)
            write(long, arguments.seconds, constant=constant, header=header)

            def part(path: Path = long) -> np.ndarray:
                return load_waveform(path, sampling_rate=READ_RATE, offset=float(offset), duration=10.0)

            def short_one(path: Path = short) -> np.ndarray:
                return load_waveform(path, sampling_rate=READ_RATE)

            short_one()
            whole = min(cpu_seconds(short_one)[0] for _ in range(arguments.rounds))
            first, _ = cpu_seconds(part)
            later = [cpu_seconds(part) for _ in range(arguments.rounds)]
            best = min(seconds for seconds, _ in later)
            right = sum(
                abs(pitch_of(later[0][1], second) - pitch(offset + second)) < 5 for second in range(10)
            )
            print(
                f"{kind}: 10 s file {1000 * whole:.1f} CPU-ms; near the end first {1000 * first:.1f} "
                f"({first / whole:.1f}x), then {1000 * best:.1f} ({best / whole:.2f}x); {right} of 10 seconds in place",
                flush=True,
            )


def pitch(second: int) -> int:
    """Hz of a second of the sound."""
    return 200 + second % 50 * 40


def write(path: Path, seconds: int, *, constant: bool, header: bool) -> None:
    """An MP3 of one tone a second."""
    options = {} if header else {"write_xing": "0"}
    generator, times = np.random.default_rng(0), np.arange(RATE) / RATE
    with av.open(str(path), "w", format="mp3", options=options) as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono")
        if constant:
            stream.bit_rate = 128_000
        else:
            stream.codec_context.flags |= 0x2  # AV_CODEC_FLAG_QSCALE
            stream.codec_context.global_quality = 4 * 118  # of FF_QP2LAMBDA
        for second in range(seconds):
            tone = 0.3 * np.sin(2 * np.pi * pitch(second) * times) + 0.01 * generator.standard_normal(RATE)
            frame = av.AudioFrame.from_ndarray(tone.astype(np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, second * RATE
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU time of one call, and its result."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def pitch_of(samples: np.ndarray, second: int) -> float:
    """Hz of the strongest tone in a second, its edges left out."""
    part = samples[second * READ_RATE + 3200 : (second + 1) * READ_RATE - 3200]
    return int(np.argmax(np.abs(np.fft.rfft(part * np.hanning(len(part)))))) * READ_RATE / len(part)


if __name__ == "__main__":
    main()
