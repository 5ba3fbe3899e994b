"""A recipe of recipes in miniature: tiny towers, the layout of Clotho, generated sounds, captions varied by rules."""

import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from miniature_clotho import write_miniature_clotho
from tiny_models import tiny_audio_config, tiny_front_end, tiny_text_encoder_dir
from tiny_recipes import environment

TOWERS = ("passt", "eat", "beats")
_AUDIO = {
    "passt": {"config": tiny_audio_config()},
    "eat": {
        "config": {
            "model_type": "auricle_eat",
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 48,
            "num_frames": 112,
            "initializer_range": 0.2,
        }
    },
    "beats": {
        "config": {
            "model_type": "auricle_beats",
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 48,
            "patch_embed_dim": 16,
            "num_frames": 98,
            "num_conv_pos_embeddings": 8,
            "num_conv_pos_embedding_groups": 2,
            "num_buckets": 8,
            "max_bucket_distance": 16,
        }
    },
}
_FRONT_ENDS = {
    "passt": tiny_front_end(),
    "eat": {"front_end": "eat", "segment_seconds": 1.0},
    "beats": {"front_end": "beats", "segment_seconds": 1.0},
}
LAST_STAGES = {
    "sid1": "pretrain",
    "sid2": "finetune",
    "sid3": "finetune",
    "sid4": "refinetune",
    "sid5": "refinetune",
}


def write_chain(folder: Path, *, towers: Sequence[str] = TOWERS, epochs: float = 1) -> Path:
    """
    Writes the recipes of five systems and the recipe of recipes into a folder; returns the latter's path.

    Args:
        folder: is created.
        towers: of the chain.
        epochs: of every training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = tiny_text_encoder_dir(folder / "text")
    for tower in towers:
        for system, recipe in _recipes(tower, towers, str(text), folder, epochs).items():
            (folder / f"{system}_{tower}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    chain = {
        "name": "miniature",
        "description": "The chain of dcase2025 with tiny towers.",
        "towers": list(towers),
        "systems": {system: f"{system}_{{tower}}.yaml" for system in LAST_STAGES},
        "teachers": "sid1",
        "members": ["sid2", "sid3", "sid4", "sid5"],
        "ensembles": {
            "E1": {"inner": "system", "parts": 4},
            "E2": {"inner": "system", "metric": "mAP@10", "parts": 4},
            "E3": {"inner": "tower", "parts": 4},
            "E4": {"inner": "tower", "metric": "mAP@10", "parts": 4},
        },
        "data": {
            "data.clotho.path": "clotho",
            "data.exclude.freesound_ids": "excluded.csv",
            "augmentation.back_translated": "augmented/back_translated",
            "augmentation.mixes": "augmented/mixes",
        },
        "relevance": "relevance.csv",
        "resamples": 50,
        "whole_development": {"data.clotho.train_splits": ["train", "validation", "test"]},
        "needs": [
            {
                "path": "clotho",
                "what": "miniature of Clotho",
                "size": "1 MB",
                "holds": ["clotho_captions_development.csv"],
                "get": ["auricle data fetch clotho {path} --accept-license"],
            },
            {
                "path": "augmented/mixes",
                "what": "mixes",
                "size": "1 MB",
                "get": ["auricle augment mix {data}/clotho {path} --count 3"],
                "systems": ["sid2", "sid3", "sid4", "sid5"],
            },
        ],
        "paper": {"sid2_passt": {"multi mAP@16": 46.62, "R@1": 26.81}, "E1": {"multi mAP@16": 48.83}},
    }
    path = folder / "chain.yaml"
    path.write_text(yaml.safe_dump(chain, sort_keys=False))
    return path


def _recipes(
    tower: str, towers: Sequence[str], text: str, folder: Path, epochs: float
) -> dict[str, dict[str, Any]]:
    def model(system: str, of: str = tower) -> str:
        return f"runs/{system}_{of}/{LAST_STAGES[system]}/model"

    shared = {
        "data": {
            "source": "clotho",
            "clotho": {"path": "clotho"},
            "exclude": {"freesound_ids": "excluded.csv"},
            "cache_dir": str(folder / "cache"),
        },
        "model": {
            "audio": _AUDIO[tower],
            "front_end": _FRONT_ENDS[tower],
            "text": {
                "pretrained": text,
                "config": {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1},
            },
            "text_pooling": "mean",
            "projection_dim": 12,
        },
        "training": {
            "epochs": epochs,
            "batch_size": 4,
            "learning_rate": 1.0e-3,
            "log_every": 1,
            "num_workers": 0,
            "save_every": 3,
        },
    }
    distillation = {"teachers": [model("sid1", one) for one in towers]}
    augmentation = {
        "word_deletion": 0.8,
        "back_translated": "augmented/back_translated",
        "back_translation_probability": 0.5,
        "mixes": "augmented/mixes",
    }
    clusters = {"method": "kmeans", "num_clusters": 3}

    def recipe(system: str, start: str | None, **sections: Any) -> dict[str, Any]:
        stage = {"name": LAST_STAGES[system], **({"starts_from": start} if start else {})}
        return {**shared, "name": f"{system}_{tower}", **sections, "stages": [stage]}

    return {
        "sid1": recipe("sid1", None),
        "sid2": recipe("sid2", model("sid1"), distillation=distillation),
        "sid3": recipe("sid3", model("sid1"), distillation=distillation, augmentation=augmentation),
        "sid4": recipe(
            "sid4",
            model("sid3"),
            distillation=distillation,
            augmentation=augmentation,
            clusters={**clusters, "embed_with": model("sid3")},
        ),
        "sid5": recipe(
            "sid5",
            model("sid3"),
            distillation=distillation,
            augmentation=augmentation,
            clusters={**clusters, "embed_with": "sentence-transformers/all-MiniLM-L6-v2"},
        ),
    }


def write_data(folder: Path) -> Path:
    """Writes the chain's data directory: clips, excluded ids, relevance, back-translations, mixes; returns it."""
    clips = {"train": 5, "validation": 6, "test": 6}
    write_miniature_clotho(folder / "clotho", clips, seconds=0.6, rate=16_000)
    (folder / "excluded.csv").write_text("sound_id\n354184\nNot found\n")
    with open(folder / "clotho" / "clotho_captions_evaluation.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [row["file_name"] for row in rows]
    with open(folder / "relevance.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["query", "audio_filenames"])
        for place, row in enumerate(rows):
            writer.writerow([row["caption_1"], repr([row["file_name"], names[place - 1]])])
    for words, out in (
        (["back-translate"], "augmented/back_translated"),
        (["mix", "--count", "3"], "augmented/mixes"),
    ):
        auricle("augment", words[0], folder / "clotho", folder / out, *words[1:], "--no-progress")
    return folder


def auricle_command(*arguments: Any) -> list[str]:
    """The command line of a command."""
    return [sys.executable, "-m", "auricle", *map(str, arguments)]


def auricle(*arguments: Any, code: int = 0, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """Runs a command, checks its exit code and returns what it printed."""
    done = subprocess.run(
        auricle_command(*arguments), capture_output=True, text=True, env=environment(), timeout=timeout
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


__all__ = ["LAST_STAGES", "TOWERS", "auricle", "auricle_command", "write_chain", "write_data"]
