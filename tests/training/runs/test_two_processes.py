"""Two processes through `accelerate launch` train like one with twice the batch."""

import json
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from tiny_recipes import (
    launch_two,
    log_of,
    run_train,
    tiny_recipe,
    weights_of,
    write_captioned_folder,
    write_recipe,
)

from auricle.training.clusters.caption_clusters import LABEL_TYPES, CaptionClusters, ClusterSettings
from auricle.training.models.model_building import build_model
from auricle.training.recipe.schema import Recipe
from auricle.training.rows.split_loading import load_splits
from auricle.training.teachers.bank_files import caption_digest
from auricle.training.teachers.teacher_bank import write_teacher_bank

pytestmark = pytest.mark.slow


def training_rows(recipe):
    return load_splits(Recipe.model_validate(recipe).data, progress=False)["train"]


def write_bank(folder: Path, recipe) -> str:
    """A random teacher's bank of the recipe's training rows."""
    teacher = build_model(Recipe.model_validate(recipe).model, seed=9)
    write_teacher_bank(
        folder / "bank",
        teacher.encoder(),
        {"train": training_rows(recipe)},
        model_name="random",
    )
    return str(folder / "bank")


def write_clusters(folder: Path, recipe) -> str:
    """Three clusters of the recipe's training captions, by turns."""
    rows = training_rows(recipe)
    labels = [number % 3 for number in range(len(rows))]
    columns = {
        "row_id": list(rows["row_id"]),
        "clip_id": list(rows["clip_id"]),
        "caption_digest": [caption_digest(caption) for caption in rows["caption"]],
        "cluster": labels,
    }
    settings = ClusterSettings(method="kmeans", num_clusters=3)
    sizes = [labels.count(number) for number in range(3)]
    CaptionClusters(pa.table(columns, schema=LABEL_TYPES), settings, sizes, [[]] * 3).save(
        folder / "clusters"
    )
    return str(folder / "clusters")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """
    A recipe on a ragged folder with a bad file.

    Several clips share a class, so that positives lie on both processes; the temperature is learned; clips
    of several segments and random crops are among them. 15 good clips x 2 captions: 3 steps of 8 an epoch.
    All losses are on: a teacher's bank and clusters of the captions lie ready; captions lose words.
    """
    folder = tmp_path_factory.mktemp("processes")
    sounds = write_captioned_folder(folder / "sounds", {"train": 16, "validation": 7, "test": 5})
    (sounds / "train_004.wav").write_bytes(b"")
    recipe = tiny_recipe(folder, sounds)
    recipe["data"] |= {
        "positive_column": "label",
        "max_clip_seconds": 1.2,
        "gain_db": 6.0,
        "max_bad_share": 0.1,
    }
    recipe["model"]["learn_temperature"] = True
    recipe |= {
        "augmentation": {"word_deletion": 0.8},
        "distillation": {"teachers": [write_bank(folder, recipe)], "weight": 0.5},
        "clusters": {"labels": write_clusters(folder, recipe), "weight": 0.3},
    }
    recipe["training"] |= {"epochs": 4, "learning_rate": 5.0e-4, "save_every": 5, "keep_checkpoints": 9}
    write_recipe(folder / "recipe.yaml", recipe)
    return folder


@pytest.fixture(scope="module")
def two(folder) -> tuple[Path, subprocess.CompletedProcess[str]]:
    done = launch_two(folder / "recipe.yaml", "--output_dir", folder / "two", "--training.batch_size", 4)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return folder / "two", done


@pytest.fixture(scope="module")
def one(folder) -> Path:
    run_train(folder / "recipe.yaml", "--output_dir", folder / "one", "--training.batch_size", 8)
    return folder / "one"


def test_two_processes_really_ran(two):
    run, _ = two
    newest = run / "first" / "checkpoint-12"
    assert json.loads((newest / "complete.json").read_text())["processes"] == 2
    assert sorted(path.name for path in newest.glob("rng_state*")) == ["rng_state_0.pth", "rng_state_1.pth"]


def test_the_loss_curve_is_that_of_one_process(one, two):
    ours, theirs = log_of(two[0], "loss"), log_of(one, "loss")
    assert len(ours) == len(theirs) == 12
    assert len(set(theirs)) == 12
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert log_of(two[0], "grad_norm") == pytest.approx(log_of(one, "grad_norm"), rel=1e-3)


def test_each_part_of_the_loss_is_that_of_one_process(one, two):
    for name in ("loss_contrastive", "loss_distillation", "loss_cluster_audio", "loss_cluster_text"):
        theirs = log_of(one, name)
        assert len(set(theirs)) == 12
        assert log_of(two[0], name) == pytest.approx(theirs, abs=1e-4)


def test_the_weights_are_those_of_one_process(one, two):
    ours, theirs = (weights_of(run / "first" / "checkpoint-12") for run in (two[0], one))
    start = weights_of(one / "first" / "checkpoint-5")
    for name, value in ours.items():
        # Adam makes whole steps of the rounding errors of gradients that are zero, such as the keys' biases.
        if name.endswith(("qkv.bias", "key.bias")):
            continue
        moved = (theirs[name] - start[name]).abs().max()
        assert (value - theirs[name]).abs().max() < 0.05 * moved + 1e-6, name


def test_figures_of_ragged_splits_are_those_of_one_process(one, two):
    for name in ("eval_text_to_audio_mAP@16", "eval_audio_to_text_mAP@16"):
        assert log_of(two[0], name) == pytest.approx(log_of(one, name), abs=1e-6)
    assert len(log_of(two[0], "eval_text_to_audio_mAP@16")) == 4
    ours, theirs = (json.loads((run / "results.json").read_text())["figures"] for run in (two[0], one))
    assert ours["test"] == pytest.approx(theirs["test"], abs=1e-6)


def test_only_one_process_reports(two):
    _, done = two
    assert done.stdout.count("model: ") == 1
    assert done.stdout.count("'eval_runtime'") == 4
    assert done.stderr.count("skipped 1 of 16 clips") == 1
    assert "Warning" not in done.stderr


def test_micro_batches_of_two_processes_have_the_whole_batch_s_negatives(folder, one, tmp_path):
    """Micro-batches of 3 and 1 pairs on each process against one process with the batch of 8 at once."""
    arguments = ("--training.batch_size", 4, "--training.micro_batch_size", 3)
    done = launch_two(folder / "recipe.yaml", "--output_dir", tmp_path / "cached", *arguments)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for name in ("loss", "loss_contrastive", "loss_distillation", "loss_cluster_audio"):
        assert log_of(tmp_path / "cached", name) == pytest.approx(log_of(one, name), abs=1e-4)
    assert log_of(tmp_path / "cached", "grad_norm") == pytest.approx(log_of(one, "grad_norm"), rel=1e-3)


def test_an_error_is_said_once(folder, tmp_path):
    done = launch_two(
        folder / "recipe.yaml", "--output_dir", tmp_path, "--data.folder.path", tmp_path / "none"
    )
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1 and "none: directory not found" in done.stderr
    assert not (tmp_path / "first").exists()


def test_a_resume_with_another_number_of_processes_is_refused(folder, two):
    run, _ = two
    (run / "first" / "stage.json").rename(run / "first" / "stage.json.kept")
    arguments = (folder / "recipe.yaml", "--output_dir", run, "--training.batch_size", 4)
    try:
        done = run_train(*arguments, code=2)
    finally:
        (run / "first" / "stage.json.kept").rename(run / "first" / "stage.json")
    assert "written by 2 processes and cannot resume with 1" in done.stderr
    assert torch.is_tensor(weights_of(run / "first" / "model")["audio_projection.weight"])
