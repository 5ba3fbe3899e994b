"""Averaged weights with adapters, micro-batches and a validation split that chooses: against the checkpoints' own."""

import shutil

import pytest
import torch
from safetensors.torch import load_file
from tiny_recipes import tiny_recipe, weights_of, write_captioned_folder

from auricle.encoders import load_encoder
from auricle.evaluation.retrieval import evaluate_retrieval
from auricle.files.saved_directories import read_json
from auricle.training.models.model_building import build_model, load_model
from auricle.training.recipe.reading import resolve_stages
from auricle.training.recipe.schema import Recipe
from auricle.training.rows.split_loading import load_splits
from auricle.training.runs.stage_running import run_stage
from auricle.training.trainer_callbacks import save_model

DECAY = 0.6
STEPS = 9


class Averaged:
    """Stages of three epochs of three steps on top of a saved model; each leaves all of its checkpoints."""

    def __init__(self, folder):
        self.folder = folder
        write_captioned_folder(folder / "sounds", {"train": 6, "validation": 5})
        recipe = Recipe.model_validate(tiny_recipe(folder, folder / "sounds"))
        built = build_model(recipe.model, 0)
        save_model(built.model, built.processor, folder / "base")

    def run(self, directory, **training):
        values = tiny_recipe(self.folder, self.folder / "sounds", dropout=0.1)
        values["training"] |= {
            "epochs": 3,
            "save_every": 1,
            "keep_checkpoints": 20,
            "learning_rate": 5e-3,
            "weight_averaging": DECAY,
            "lora": {"towers": ["audio", "text"], "rank": 2, "dropout": 0.1},
        } | training
        values["stages"][0]["starts_from"] = str(self.folder / "base")
        recipe = Recipe.model_validate(values)
        (stage,) = resolve_stages(recipe)
        splits = load_splits(stage.data, progress=False)
        built = load_model(str(self.folder / "base"))
        options = {"directory": directory, "run_name": "tiny/first", "seed": 0, "progress": False}
        return run_stage(stage, built, splits, recipe.evaluation, **options), splits["validation"]


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    return Averaged(tmp_path_factory.mktemp("averaged"))


@pytest.fixture(scope="module", params=[None, 3], ids=["whole batches", "micro-batches"])
def size(request):
    return request.param


@pytest.fixture(scope="module")
def trained(size, averaged, tmp_path_factory):
    """(directory of a stage of adapters, its summary, its validation split)"""
    directory = tmp_path_factory.mktemp("stage")
    return directory, *averaged.run(directory, micro_batch_size=size)


def own_weights(directory, step):
    """What was trained, of a checkpoint."""
    return {
        name: value for name, value in weights_of(directory / f"checkpoint-{step}").items() if "lora_" in name
    }


def average_until(directory, last):
    """Of the adapters' second factors, which begin at zero, from the checkpoints after each step."""
    expected = {
        name: torch.zeros_like(value) for name, value in own_weights(directory, 1).items() if "lora_B" in name
    }
    for step in range(1, last + 1):
        own, decay = own_weights(directory, step), min(DECAY, (1 + step) / (10 + step))
        expected = {name: decay * value + (1 - decay) * own[name] for name, value in expected.items()}
    return expected


def test_every_checkpoint_holds_the_average_of_the_adapters_and_nothing_else(trained):
    directory = trained[0]
    for step in (1, 4, STEPS):
        saved = load_file(directory / f"checkpoint-{step}" / "weight_average.safetensors")
        assert set(saved) == set(own_weights(directory, step))
        for name, value in average_until(directory, step).items():
            assert torch.allclose(saved[name], value, rtol=0, atol=1e-6), name


def test_the_best_model_is_the_average_that_was_validated(trained):
    directory, summary, validation = trained
    best = read_json(directory / "model" / "best.json")
    assert best == summary["best"] and best["step"] in (3, 6, 9)
    adapter = load_file(directory / "model" / "adapter" / "adapter_model.safetensors")
    saved = load_file(directory / f"checkpoint-{best['step']}" / "weight_average.safetensors")
    own = own_weights(directory, best["step"])
    assert len(adapter) == len(saved) > 8
    for name, value in saved.items():
        kept = adapter["base_model.model." + name.replace(".default", "")]
        assert torch.equal(kept, value), name
    assert max((own[name] - saved[name]).abs().max() for name in saved) > 1e-4
    figures, _ = evaluate_retrieval(load_encoder(directory / "model", device="cpu"), validation)
    logged = [entry for entry in summary["log"] if entry.get("eval_runtime")]
    (entry,) = [entry for entry in logged if round(entry["epoch"]) == round(best["epoch"])]
    for name, value in figures.items():
        assert entry[f"eval_{name}"] == pytest.approx(value, abs=1e-6)


def test_a_killed_stage_ends_bit_for_bit_the_same(averaged, size, trained, tmp_path):
    directory, summary, _ = trained
    again = shutil.copytree(directory, tmp_path / "stage")
    for left in [again / f"checkpoint-{step}" for step in range(5, STEPS + 1)]:
        shutil.rmtree(left)
    resumed, _ = averaged.run(again, micro_batch_size=size)
    for name in ("model.safetensors", "weight_average.safetensors"):
        ours, theirs = (load_file(one / f"checkpoint-{STEPS}" / name) for one in (again, directory))
        assert [key for key, value in theirs.items() if not torch.equal(value, ours[key])] == []
    assert untimed(resumed["log"]) == untimed(summary["log"])


def untimed(log):
    return [
        {name: value for name, value in entry.items() if "_second" not in name and "runtime" not in name}
        for entry in log
    ]


def test_micro_batches_average_like_whole_batches(averaged, tmp_path):
    """Without dropout, which the two draw in other shapes; steps small enough that rounding stays small."""
    saved = []
    for size in (None, 3):
        options = {"lora": {"towers": ["audio", "text"], "rank": 2}, "learning_rate": 1e-4, "epochs": 1}
        summary, _ = averaged.run(tmp_path / str(size), micro_batch_size=size, **options)
        saved.append(
            (load_file(tmp_path / str(size) / "checkpoint-3" / "weight_average.safetensors"), summary)
        )
    (whole, its_summary), (cut, other_summary) = saved
    for name, value in whole.items():
        assert torch.allclose(value, cut[name], rtol=0, atol=1e-4), name
    losses = [
        [entry["loss"] for entry in one["log"] if "loss" in entry] for one in (its_summary, other_summary)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4) and len(set(losses[0])) == 3
