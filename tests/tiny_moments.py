"""A tiny moment head's recipe: a tiny encoder, and recordings generated from tones with labels."""

from pathlib import Path

import yaml
from tiny_models import saved_tiny_model
from tiny_recipes import write_captioned_folder

HEAD = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_frames": 40,
    "num_queries": 4,
    "num_decoder_layers": 1,
    "hidden_dropout_prob": 0.1,
}


def write_moment_place(root: Path) -> Path:
    """Writes two tiny encoders, ``encoder`` and ``other``, and labelled ``clips``; returns ``root``."""
    saved_tiny_model(root / "encoder")
    saved_tiny_model(root / "other", seed=1)
    write_captioned_folder(root / "clips", {"train": 12, "test": 6})
    return root


def write_moment_recipe(root: Path, name: str) -> Path:
    """Writes the recipe of a run in ``root / name``."""
    values = {
        "task": "moments",
        "name": "tiny",
        "output_dir": str(root / name),
        "encoder": str(root / "encoder"),
        "data": {
            "generated": {
                "clips": str(root / "clips"),
                "train_recordings": 3,
                "validation_recordings": 2,
                "test_recordings": 2,
                "validation_share": 0.5,
                "seconds": [30.0, 40.0],
                "queries": [1, 2],
            },
            "cache_dir": str(root / "cache"),
        },
        "head": HEAD,
        "training": {"epochs": 2, "batch_size": 2, "crop_seconds": 10.0, "log_every": 1},
        "evaluation": {"best_metric": "mIoU", "resamples": 20},
    }
    path = root / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


__all__ = ["HEAD", "write_moment_place", "write_moment_recipe"]
