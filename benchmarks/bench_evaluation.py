"""
Evaluation of large splits: wall seconds, CPU seconds and peak memory of the full protocol.

    python benchmarks/bench_evaluation.py [--queries 20000] [--clips 20000] [--width 512] [--resamples 1000]
    python benchmarks/bench_evaluation.py --queries 100000 --clips 100000      # 10^10 scores; takes long

First the Clotho evaluation split's shape (5,225 captions of 1,045 clips), then the given one, each in a process of
its own: vectors in, the report with bootstrap intervals out. Memory is the process's peak, the interpreter, torch
and the vectors included.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
from measuring import machine, table

from auricle.evaluation.metrics.inner_products import InnerProducts
from auricle.evaluation.protocol import evaluate_similarities
from auricle.evaluation.similarities import Similarities


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--queries", type=int, default=20000)
    parser.add_argument("--clips", type=int, default=20000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(*_measure(arguments.queries, arguments.clips, arguments.width, arguments.resamples))
        return
    rows = []
    for queries, clips in ((5225, 1045), (arguments.queries, arguments.clips)):
        sizes = {
            "queries": queries,
            "clips": clips,
            "width": arguments.width,
            "resamples": arguments.resamples,
        }
        flags = [part for name, value in sizes.items() for part in (f"--{name}", str(value))]
        done = subprocess.run(
            [sys.executable, __file__, "--one", *flags], check=True, text=True, stdout=subprocess.PIPE
        )
        rows.append([f"{queries:,}", f"{clips:,}", *done.stdout.split()])
    print(machine())
    print(table(rows, ["queries", "clips", "wall s", "CPU s", "peak MB", "mAP@16"]))


def _measure(queries: int, clips: int, width: int, resamples: int) -> tuple[str, ...]:
    generator = np.random.default_rng(0)
    audio = generator.standard_normal((clips, width), dtype=np.float32)
    own = np.arange(queries) * clips // queries
    text = generator.standard_normal((queries, width), dtype=np.float32) * np.float32(8)
    text += audio[own]
    for vectors in (audio, text):
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarities = Similarities(
        scores=InnerProducts(text, audio),
        query_ids=[str(query) for query in range(queries)],
        queries=[str(query) for query in range(queries)],
        clip_ids=[str(clip) for clip in range(clips)],
        clip_of_query=own,
        source="random",
        split="test",
        name="random",
    )
    wall, cpu = time.perf_counter(), time.process_time()
    report = evaluate_similarities(similarities, resamples=resamples)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    value = report["single"]["text_to_audio"]["metrics"]["mAP@16"]["value"]
    return f"{wall:.1f}", f"{cpu:.1f}", f"{peak:.0f}", f"{value:.3f}"


if __name__ == "__main__":
    main()
