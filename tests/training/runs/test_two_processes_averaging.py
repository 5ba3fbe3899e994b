"""Averaged adapters of two processes that train in micro-batches: those of one process, chosen, saved and resumed."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_recipes import launch_two, log_of, run_train, tiny_recipe, write_captioned_folder, write_recipe

from auricle.training.models.model_building import build_model
from auricle.training.recipe.schema import Recipe
from auricle.training.trainer_callbacks import save_model

pytestmark = pytest.mark.slow

STEPS = 6
CACHED = ("--training.batch_size", 4, "--training.micro_batch_size", 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recipe of adapters with averaged weights on a saved model; 3 steps of 8 pairs an epoch."""
    folder = tmp_path_factory.mktemp("averaging")
    recipe = tiny_recipe(folder, write_captioned_folder(folder / "sounds", {"train": 12, "validation": 5}))
    built = build_model(Recipe.model_validate(recipe).model, 0)
    save_model(built.model, built.processor, folder / "base")
    recipe["stages"][0]["starts_from"] = str(folder / "base")
    recipe["training"] |= {
        "lora": {"towers": ["audio"], "rank": 2},
        "weight_averaging": 0.6,
        "save_every": 1,
        "keep_checkpoints": 20,
    }
    write_recipe(folder / "recipe.yaml", recipe)
    return folder


@pytest.fixture(scope="module")
def one(folder) -> Path:
    run_train(folder / "recipe.yaml", "--output_dir", folder / "one", "--training.batch_size", 8)
    return folder / "one"


def of_two(folder: Path, run: Path) -> Path:
    done = launch_two(folder / "recipe.yaml", "--output_dir", run, *CACHED)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return run


@pytest.fixture(scope="module")
def two(folder) -> Path:
    return of_two(folder, folder / "two")


def average(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "first" / f"checkpoint-{step}" / "weight_average.safetensors")


def test_the_averages_are_those_of_one_process(one, two):
    start = average(one, 1)
    for step in (1, 3, STEPS):
        ours, theirs = average(two, step), average(one, step)
        assert set(ours) == set(theirs) and all("lora_" in name for name in ours)
        moved = max((theirs[name] - start[name]).abs().max() for name in theirs)
        assert (moved > 1e-4) == (step > 1)
        for name, value in ours.items():
            assert (value - theirs[name]).abs().max() < 0.1 * moved + 2e-5, name


def test_validation_sees_the_averages_and_chooses_the_same_step(one, two):
    ours, theirs = (json.loads((run / "first" / "model" / "best.json").read_text()) for run in (two, one))
    assert ours["step"] == theirs["step"] and ours["value"] == pytest.approx(theirs["value"], abs=1e-6)
    for name in ("eval_text_to_audio_mAP@16", "eval_audio_to_text_mAP@16"):
        assert log_of(two, name) == pytest.approx(log_of(one, name), abs=1e-6)
        assert len(log_of(two, name)) == 2
    adapter = load_file(two / "first" / "model" / "adapter" / "adapter_model.safetensors")
    for name, value in average(two, ours["step"]).items():
        assert torch.equal(adapter["base_model.model." + name.replace(".default", "")], value), name


def test_a_killed_run_ends_bit_for_bit_the_same(folder, two, tmp_path):
    run = shutil.copytree(two, tmp_path / "run")
    for left in [run / "first" / f"checkpoint-{step}" for step in range(3, STEPS + 1)]:
        shutil.rmtree(left)
    shutil.rmtree(run / "first" / "model")
    (run / "first" / "stage.json").unlink()
    of_two(folder, run)
    for step in (3, STEPS):
        ours, theirs = average(run, step), average(two, step)
        assert [name for name, value in theirs.items() if not torch.equal(value, ours[name])] == []
    ours, theirs = (load_file(one / "first" / "model" / "model.safetensors") for one in (run, two))
    assert [name for name, value in theirs.items() if not torch.equal(value, ours[name])] == []
