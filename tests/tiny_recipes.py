"""Tiny recipes on tiny captioned folders, and train.py run on them as a process of its own."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from tiny_models import SAMPLING_RATE, tiny_audio_config, tiny_front_end, tiny_text_encoder_dir, write_sound

ROOT = Path(__file__).resolve().parent.parent
SUBJECTS = ("dog barks", "rain falls", "bell rings", "siren wails", "bird sings", "engine idles")


def write_captioned_folder(
    folder: Path,
    splits: Mapping[str, int] | None = None,
    *,
    captions: int = 2,
    seconds: tuple[float, ...] = (0.6, 1.0, 1.7),
    split_column: bool = True,
) -> Path:
    """
    Writes tones with captions, and their metadata.csv with a column ``label``; returns ``folder``.

    Args:
        folder: is created.
        splits: clips a split; by default 16 to train, 4 to validate, 4 to test.
        captions: how many each clip has.
        seconds: lengths of the clips, taken in turn.
        split_column: write the column ``split``.
    """
    rows: list[dict[str, Any]] = []
    for split, count in (splits or {"train": 16, "validation": 4, "test": 4}).items():
        for _ in range(count):
            number = len(rows)
            name = f"{split}_{number:03d}.wav"
            write_sound(folder / name, seconds[number % len(seconds)], seed=number)
            subject = SUBJECTS[number % len(SUBJECTS)]
            row = {"file_name": name, "label": subject.split()[0]}
            row |= {f"caption_{n + 1}": f"a {subject} {number} {'xyz'[n]}" for n in range(captions)}
            rows.append({**row, "split": split} if split_column else row)
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def tiny_recipe(tmp_path: Path, folder: Path, *, dropout: float = 0.0) -> dict[str, Any]:
    """
    A recipe of two epochs of a tiny PaSST with patchout and a tiny BERT, both trained, on a captioned folder.

    The text encoder, the cache and the run directory lie below ``tmp_path``.
    """
    text = tmp_path / "text"
    if not text.is_dir():
        tiny_text_encoder_dir(text)
    return {
        "name": "tiny",
        "output_dir": str(tmp_path / "run"),
        "data": {"source": "folder", "folder": {"path": str(folder)}, "cache_dir": str(tmp_path / "cache")},
        "model": {
            "audio": {"config": tiny_audio_config()},
            "front_end": tiny_front_end(),
            "text": {
                "pretrained": str(text),
                "config": {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout},
            },
            "text_pooling": "mean",
            "projection_dim": 12,
        },
        "training": {
            "epochs": 2,
            "batch_size": 4,
            "learning_rate": 1.0e-3,
            "log_every": 1,
        },
        "stages": [{"name": "first"}],
    }


def write_recipe(path: Path, recipe: Mapping[str, Any]) -> Path:
    """Writes a recipe as YAML; returns ``path``."""
    path.write_text(yaml.safe_dump(dict(recipe), sort_keys=False), encoding="utf-8")
    return path


def train_command(*arguments: Any) -> list[str]:
    """The command line of a run without progress bars."""
    return [sys.executable, str(ROOT / "train.py"), *map(str, arguments), "--no-progress"]


def environment(**more: str) -> dict[str, str]:
    """The environment of a run: offline, one thread, whatever launched the tests."""
    kept = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    return {**kept, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", **more}


def run_train(*arguments: Any, code: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs train.py, checks its exit code and returns what it printed."""
    done = subprocess.run(
        train_command(*arguments),
        capture_output=True,
        text=True,
        cwd=cwd or ROOT,
        env=environment(),
        timeout=240,
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def launch_two(*arguments: Any) -> subprocess.CompletedProcess[str]:
    """Runs train.py as two processes of `accelerate launch`; the caller checks the exit code."""
    config = ROOT / "recipes" / "accelerate" / "cpu_2_processes.yaml"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    return subprocess.run(
        [*command, *train_command(*arguments)[1:]],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        timeout=400,
    )


def log_of(run: Path, name: str) -> list[float]:
    """A figure of the log of a run's stage ``first``, at each place that has it."""
    log = json.loads((run / "first" / "stage.json").read_text())["log"]
    return [entry[name] for entry in log if name in entry]


def weights_of(directory: Path) -> dict[str, torch.Tensor]:
    """The weights of a saved model or checkpoint."""
    return load_file(directory / "model.safetensors")


__all__ = [
    "ROOT",
    "SAMPLING_RATE",
    "environment",
    "launch_two",
    "log_of",
    "run_train",
    "tiny_recipe",
    "train_command",
    "weights_of",
    "write_captioned_folder",
    "write_recipe",
]
