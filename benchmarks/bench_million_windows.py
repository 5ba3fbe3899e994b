"""
An approximate index of a million windows: latency, recall, memory and disk.

    OMP_NUM_THREADS=2 python benchmarks/bench_million_windows.py [--windows 1000000] [--width 1024] [--keep DIR]

The vectors are drawn around 3,000 centres of unequal weight in a space of 96 dimensions that is turned into the
full width, with a common direction and noise, as embeddings of sounds have; 20 windows a file, and a row for each
file. Questions are drawn the same way ("by sound") or with more noise and an offset ("by sentence"). The answers
are compared with the exact ones. Latency is that of the vector part: from the question's vector to the 200 rows
that a question for ten files looks at; and of the whole question, from its vector to ten files with all that is
told of them.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as arrow
from measuring import machine, table

from auricle.search.query.answers import FEWEST_ROWS, RANKED_BY, Question, ask_table
from auricle.search.query.filters import Filters
from auricle.search.query.index_contents import IndexContents
from auricle.search.store.entries import WHOLE_FILE, schema
from auricle.search.store.index_store import Store
from auricle.search.store.vector_index import NearestQuery

WINDOWS_A_FILE = 20
CENTRES, INNER, BATCH = 3_000, 96, 50_000
TOP, EXACT_QUESTIONS = 16, 100
SPREAD, COMMON, NOISE = 0.6, 0.35, 0.012
GAP = {"by sound": (0.0, 0.6), "by sentence": (0.4, 0.9)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--windows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=1_024)
    parser.add_argument("--questions", type=int, default=1_000)
    parser.add_argument("--keep", type=Path, help="make the index here, or ask the one that is here")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        print(json.dumps(ask(arguments.ask, arguments.width, arguments.questions)))
        return
    with tempfile.TemporaryDirectory() as folder:
        place = arguments.keep or Path(folder) / "index"
        if not (place / "built.json").is_file():
            build(place, arguments.windows, arguments.width)
        built = json.loads((place / "built.json").read_text())
        # A process of its own: memory of building is not that of asking.
        command = [sys.executable, __file__, "--ask", str(place), "--width", str(arguments.width)]
        done = subprocess.run(
            [*command, "--questions", str(arguments.questions)], check=True, stdout=subprocess.PIPE, text=True
        )
    asked = json.loads(done.stdout)
    print(machine())
    print(
        f"{built['rows']:,} rows of {arguments.width}: added in {built['add_seconds']:.0f} s, indexed in "
        f"{built['index_seconds']:.0f} s; {built['bytes'] / 1e6:,.0f} MB on disk, "
        f"{built['bytes'] / (built['rows'] * arguments.width * 2):.3f}x the vectors as float16"
    )
    print(
        table(
            asked["rows"],
            ["questions", "p50 ms", "p99 ms", "whole p50", "whole p99", "exact p50 ms", f"recall@{TOP}"],
        )
    )
    print(
        f"resident memory of the asking process at most {asked['peak_mb']:,.0f} MB, "
        f"with exact questions {asked['peak_exact_mb']:,.0f} MB"
    )


def build(place: Path, windows: int, width: int) -> None:
    record = {"model": "drawn", "fingerprint": "drawn", "window_seconds": 10.0, "hop_seconds": 10.0}
    store = Store.create(place, record, width)
    drawn = Drawn(width)
    began, files, rows = time.monotonic(), 0, 0
    while rows < windows * (1 + 1 / WINDOWS_A_FILE):
        count = BATCH // (WINDOWS_A_FILE + 1)
        store.table.add(file_rows(drawn, files, count, width))
        files, rows = files + count, rows + count * (WINDOWS_A_FILE + 1)
    added = time.monotonic() - began
    store.finish()
    built = {
        "rows": store.table.count_rows(),
        "add_seconds": added,
        "index_seconds": time.monotonic() - began - added,
        "bytes": sum(path.stat().st_size for path in place.rglob("*") if path.is_file()),
    }
    (place / "built.json").write_text(json.dumps(built))


def file_rows(drawn: "Drawn", first: int, count: int, width: int) -> arrow.Table:
    size = WINDOWS_A_FILE + 1
    windows = np.tile(np.arange(WHOLE_FILE, WINDOWS_A_FILE), count)
    paths = np.repeat(
        [f"/sounds/{number // 1000:04}/{number:07}.wav" for number in range(first, first + count)], size
    )
    vectors = drawn.sounds(count, size)
    columns = {
        "path": paths,
        "root": arrow.array(["/sounds"] * len(paths)),
        "window": arrow.array(windows, arrow.int32()),
        "start": 10.0 * np.maximum(windows, 0),
        "end": 10.0 * np.maximum(windows, 0) + 10.0,
        "duration": np.full(len(paths), 200.0),
        "size": np.full(len(paths), 1_000_000),
        "mtime_ns": np.arange(len(paths)),
        "digest": np.repeat([f"{number:064x}" for number in range(first, first + count)], size),
        "tags": arrow.array([["sounds"]] * len(paths)),
        "license": arrow.array([None] * len(paths), arrow.string()),
        "metadata": arrow.array(["{}"] * len(paths)),
        "described": arrow.array([""] * len(paths)),
        "vector": arrow.FixedSizeListArray.from_arrays(
            arrow.array(vectors.astype(np.float16).reshape(-1)), width
        ),
    }
    return arrow.table(columns, schema=schema(width))


class Drawn:
    """Vectors as sounds and sentences have them, drawn from a seed."""

    def __init__(self, width: int):
        generator = np.random.default_rng(0)
        self.centres = generator.standard_normal((CENTRES, INNER)).astype(np.float32)
        weights = generator.pareto(1.5, CENTRES) + 0.05
        self.weights = weights / weights.sum()
        self.turn = np.linalg.qr(generator.standard_normal((width, INNER)))[0].T.astype(np.float32)
        self.common = unit(generator.standard_normal((1, width)).astype(np.float32))
        self.gap = unit(generator.standard_normal((1, width)).astype(np.float32))
        self.generator = generator

    def around(self, centres: np.ndarray, spread: float) -> np.ndarray:
        inner = self.centres[centres] + spread * self.generator.standard_normal((len(centres), INNER))
        full = unit(inner.astype(np.float32) @ self.turn) + COMMON * self.common
        return full + NOISE * self.generator.standard_normal(full.shape).astype(np.float32)

    def sounds(self, files: int, size: int) -> np.ndarray:
        """Windows of one file lie around one centre, ``(files * size, width)``."""
        centres = np.repeat(self.generator.choice(CENTRES, files, p=self.weights), size)
        return unit(self.around(centres, SPREAD))

    def questions(self, count: int, gap: float, spread: float) -> np.ndarray:
        centres = self.generator.choice(CENTRES, count, p=self.weights)
        return unit(self.around(centres, spread) + gap * self.gap)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def ask(place: Path, width: int, questions: int) -> dict:
    store, drawn, rows = Store(place), Drawn(width), []
    if not store.approximate:
        raise SystemExit("so few windows are answered exactly; ask for more of them")
    asked = {name: drawn.questions(questions, *shape) for name, shape in GAP.items()}
    contents, spent, found, wholes = IndexContents(store), {}, {}, {}
    for name, vectors in asked.items():
        for vector in vectors[:20]:
            timed(store, vector)
            whole(store, contents, vector)
        spent[name], found[name] = zip(*[timed(store, vector) for vector in vectors], strict=True)
        wholes[name] = [whole(store, contents, vector) for vector in vectors]
    peak = peak_mb()
    for name, vectors in asked.items():
        step = max(1, questions // EXACT_QUESTIONS)
        exact_spent, true = zip(
            *[timed(store, vector, exact=True) for vector in vectors[::step]], strict=True
        )
        shared = [len(near & known) / TOP for near, known in zip(found[name][::step], true, strict=True)]
        times = [
            f"{np.percentile(part, rank):.1f}" for part in (spent[name], wholes[name]) for rank in (50, 99)
        ]
        rows.append([name, *times, f"{np.median(exact_spent):.0f}", f"{np.mean(shared):.4f}"])
    return {"rows": rows, "peak_mb": peak, "peak_exact_mb": peak_mb()}


def timed(store: Store, vector: np.ndarray, *, exact: bool = False) -> tuple[float, set[tuple[str, int]]]:
    """Milliseconds of one question, and the files and windows of its answer."""
    began = time.perf_counter()
    near = store.nearest(NearestQuery(vector, FEWEST_ROWS, None, RANKED_BY, exact))
    return 1e3 * (time.perf_counter() - began), keys(near.slice(0, TOP))


def whole(store: Store, contents: IndexContents, vector: np.ndarray) -> float:
    """Milliseconds from a question's vector to ten files."""
    began = time.perf_counter()
    hits = ask_table(store, contents, Question(vector), Filters(), exact=False)
    spent = 1e3 * (time.perf_counter() - began)
    if len(hits) != 10:
        raise SystemExit(f"{len(hits)} answers in place of ten")
    return spent


def peak_mb() -> float:
    """Of this process alone: what getrusage says begins with the memory of the process that started this one."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1e3


def keys(rows: arrow.Table) -> set[tuple[str, int]]:
    return {(row["path"], row["window"]) for row in rows.select(["path", "window"]).to_pylist()}


if __name__ == "__main__":
    main()
