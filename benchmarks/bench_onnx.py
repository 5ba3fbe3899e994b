"""
Exported towers against the model: time of one query, sizes, drift, and retrieval on ESC-10's test fold.

    python benchmarks/bench_onnx.py MODEL ESC10_FOLDER [--rounds 30]

MODEL is a run's model trained by a recipe recipes/esc10_*.yaml, ESC10_FOLDER what make_esc10_folder.py makes. Query
times are wall times of one sentence in two threads, PyTorch (eager attention) and ONNX Runtime in turns.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measuring import machine, table

from auricle.data import load_captioned_folder, unique_clips
from auricle.encoders.auricle_checkpoint import load_pretrained
from auricle.encoders.auricle_embedding import distinct_in_order, embed_captions, embed_clips
from auricle.encoders.onnx_towers import OnnxAudioTower, OnnxTextTower
from auricle.evaluation import relevance_from_groups, retrieval_metrics
from auricle.hub.onnx_export import export_onnx

THREADS = 2
QUERIES = ("rain", "a dog barks in the distance", "somebody saws wood while a clock ticks and children laugh")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("esc10", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    model, processor = load_pretrained(arguments.model)
    rows = load_captioned_folder(arguments.esc10, split="test")
    clips, captions = unique_clips(rows), distinct_in_order(rows["caption"])
    kind_of = dict(zip(rows["caption"], rows["label"], strict=True))
    # Relevant is every clip of the query's class.
    queries, sounds = [kind_of[caption] for caption in captions], list(clips["label"])
    text, audio = (
        embed_captions(model, processor, captions),
        embed_clips(model, processor, list(clips["audio"]))[0],
    )
    lines = [["PyTorch float32", "", "", "1.0000", score(text, audio, queries, sounds)]]
    with tempfile.TemporaryDirectory() as folder:
        towers = {}
        for name, int8 in (("ONNX float32", False), ("ONNX int8", True)):
            out = Path(folder) / name
            record = export_onnx(arguments.model, out, int8=int8)["towers"]
            towers[name] = OnnxTextTower(out, THREADS)
            exported = towers[name].embed(captions), OnnxAudioTower(out, THREADS).embed(list(clips["audio"]))
            cosine = min(
                float((ours * theirs).sum(axis=1).min())
                for ours, theirs in zip((text, audio), exported, strict=True)
            )
            sizes = [f"{record[tower]['bytes'] / 1e6:.1f}" for tower in ("text", "audio")]
            lines.append([name, *sizes, f"{cosine:.4f}", score(*exported, queries, sounds)])
        model.set_attn_implementation("eager")
        ways = {"PyTorch, eager attention": lambda query: embed_captions(model, processor, [query])}
        ways |= {name: (lambda query, tower=tower: tower.embed([query])) for name, tower in towers.items()}
        seconds = times(ways, arguments.rounds)
    print(machine())
    print(table(lines, ["towers", "text MB", "audio MB", "lowest cosine", "mAP@16"]))
    eager = seconds["PyTorch, eager attention"]
    shown = [[name, f"{1e3 * taken:.2f}", f"{eager / taken:.2f}"] for name, taken in seconds.items()]
    print(table(shown, ["one query", "median ms", "times PyTorch's speed"]))


def score(text: np.ndarray, audio: np.ndarray, queries: list[str], sounds: list[str]) -> str:
    relevance = relevance_from_groups(queries, sounds)
    return f"{retrieval_metrics(text, audio, relevance)['mAP@16']:.4f}"


def times(ways: dict, rounds: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 3):
        for query in QUERIES:
            for name, way in ways.items():
                began = time.perf_counter()
                way(query)
                if turn >= 3:
                    taken[name].append(time.perf_counter() - began)
    return {name: float(np.median(values)) for name, values in taken.items()}


if __name__ == "__main__":
    main()
