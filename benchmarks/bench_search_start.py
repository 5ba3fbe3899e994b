"""
A question from a cold start, against what importing torch and loading the text tower alone takes.

    python benchmarks/bench_search_start.py MODEL [--windows 100000] [--rounds 5]

The index holds random vectors. Whole commands, wall time, in turns; and with the text tower exported to ONNX.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import machine, table

from auricle.encoders.auricle_checkpoint import load_pretrained
from auricle.encoders.model_fingerprint import model_fingerprint
from auricle.hub.onnx_export import export_onnx
from auricle.search.sound_index import SoundIndex
from auricle.search.store.entries import FileEntry
from auricle.search.store.index_store import Store

WINDOWS_A_FILE = 10
LOAD_ALONE = (
    "import sys, torch\n"
    "from auricle.encoders.auricle_checkpoint import load_pretrained\n"
    "from auricle.encoders.auricle_embedding import embed_captions\n"
    "embed_captions(*load_pretrained(sys.argv[1]), ['rain'])"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--windows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index, tower = Path(folder) / "index", Path(folder) / "text"
        make_index(index, arguments.model, arguments.windows)
        export_onnx(arguments.model, tower, towers=("text",))
        ask = [sys.executable, "-m", "auricle", "search", "rain on a roof", "--index", str(index)]
        ways = {
            "import torch, load the model, embed a sentence": [
                sys.executable,
                "-c",
                LOAD_ALONE,
                arguments.model,
            ],
            "auricle search": ask,
            "auricle search --text-tower": [*ask, "--text-tower", str(tower)],
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(arguments.rounds + 1):
            for name, command in ways.items():
                began = time.monotonic()
                subprocess.run(command, check=True, capture_output=True)
                if turn:
                    seconds[name].append(time.monotonic() - began)
        sounds = SoundIndex(index, text_tower=tower)
        sounds.search("rain")
        began = time.monotonic()
        for _ in range(10):
            sounds.search("rain on a roof")
        warm = (time.monotonic() - began) / 10
    alone = statistics.median(seconds["import torch, load the model, embed a sentence"])
    rows = [
        [name, f"{statistics.median(taken):.2f}", f"{statistics.median(taken) / alone:.2f}"]
        for name, taken in seconds.items()
    ]
    print(machine())
    print(table(rows, [f"{arguments.windows:,} windows", "median seconds", "times the first row"]))
    print(f"a question to an open index: {1e3 * warm:.0f} ms")


def make_index(directory: Path, model_name: str, windows: int) -> None:
    model, processor = load_pretrained(model_name)
    width, seconds = model.config.projection_dim, processor.feature_extractor.segment_seconds
    record = {
        "model": str(Path(model_name).resolve()),
        "fingerprint": model_fingerprint(model, processor),
        "window_seconds": seconds,
        "hop_seconds": seconds,
    }
    store = Store.create(directory, record, width)
    generator = np.random.default_rng(0)
    entries = []
    for number in range(windows // WINDOWS_A_FILE):
        vectors = generator.standard_normal((WINDOWS_A_FILE, width)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        starts = seconds * np.arange(WINDOWS_A_FILE)
        path = f"/library/of/somebody/folder {number % 100}/recording number {number}.wav"
        entries.append(
            FileEntry(
                path, "/library", 1000, number, f"{number:064}", seconds * WINDOWS_A_FILE, ("library", "of"),
                starts, starts + seconds, vectors, vectors[0],
            )
        )  # fmt: skip
        if len(entries) == 1000:
            store.add(entries)
            entries = []
    store.add(entries)
    store.finish()


if __name__ == "__main__":
    main()
