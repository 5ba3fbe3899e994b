"""
What engines and precisions change at published size: cosine to float32, and how many of the ten nearest sounds stay.

    OMP_NUM_THREADS=1 python benchmarks/compare_precisions.py FOLDER [--towers passt] [--sounds 80]

Sounds of a folder, the first ten-second segment of each, through a tower with random weights. Every sound is a query
among the others. Random weights give vectors that lie close together, so neighbours change more easily than with
trained ones: the spread of the cosines says how close.
"""

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from bench_engines import audio_tower, vector, ways_of
from measuring import machine, table

from auricle.processing import AuricleFeatureExtractor

NEAREST = 10


def nearest(vectors: np.ndarray) -> list[set[int]]:
    """The rows that are nearest to each row, without itself."""
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    return [set(np.argsort(-row, kind="stable")[:NEAREST].tolist()) for row in scores]


@torch.no_grad()
def measure(kind: str, features: list[dict[str, torch.Tensor]]) -> list[list[str]]:
    model, example = audio_tower(kind)
    # What the exported graph was made for: whole patches.
    frames = example["input_features"].shape[1]
    features = [{"input_features": inputs["input_features"][:, :frames]} for inputs in features]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        ways = ways_of(model, example, Path(folder), [])
        found = {}
        for name, way in ways.items():
            began = time.process_time()
            found[name] = torch.cat([vector(way, inputs) for inputs in features]).double().numpy()
            seconds = time.process_time() - began
            reference = found["torch float32"]
            cosines = (found[name] * reference).sum(axis=1)
            overlap = [
                len(own & other) / NEAREST
                for own, other in zip(nearest(found[name]), nearest(reference), strict=True)
            ]
            rows.append(
                [
                    kind,
                    name,
                    f"{seconds / len(features):.3f}",
                    f"{cosines.min():.5f}",
                    f"{cosines.mean():.5f}",
                    f"{np.mean(overlap):.3f}",
                    f"{min(overlap):.1f}",
                ]
            )
            print(rows[-1], flush=True)
    between = reference @ reference.T
    between = between[~np.eye(len(between), dtype=bool)]
    print(f"{kind}: cosines between sounds: {between.min():.4f} to {between.max():.4f}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--towers", nargs="+", choices=("passt", "beats", "eat"), default=["passt"])
    parser.add_argument("--sounds", type=int, default=80)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    paths = sorted(
        path for path in arguments.folder.rglob("*") if path.suffix in (".wav", ".ogg", ".flac", ".mp3")
    )
    # Spread over the folder, which may be sorted by class.
    chosen = [paths[place] for place in np.linspace(0, len(paths) - 1, arguments.sounds).astype(int)]
    print(machine(), f"{len(chosen)} sounds", flush=True)
    rows = []
    for kind in arguments.towers:
        extractor = AuricleFeatureExtractor(front_end=kind)
        features = [{"input_features": extractor(str(path))["input_features"][:1]} for path in chosen]
        rows += measure(kind, features)
    head = [
        "tower",
        "way",
        "CPU s a sound",
        "lowest cosine",
        "mean cosine",
        f"overlap of the {NEAREST} nearest",
        "lowest",
    ]
    print(table(rows, head))


if __name__ == "__main__":
    main()
