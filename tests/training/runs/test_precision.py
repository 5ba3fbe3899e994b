"""The precision that a stage trains in: the recipe's if it names one, else accelerate's, and recorded either way."""

import json
import logging
import os

import pytest
import torch
from tiny_recipes import tiny_recipe, write_captioned_folder

from auricle.training.recipe.reading import RecipeError
from auricle.training.recipe.schema import Recipe
from auricle.training.retrieval_trainer import RetrievalTrainer
from auricle.training.runs.precision import VARIABLE, accelerate_set_to, effective_precision
from auricle.training.runs.recipe_running import run_recipe
from auricle.training.runs.run_directory import RunDirectory


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precision")
    write_captioned_folder(folder / "sounds", {"train": 4})
    return folder


@pytest.fixture
def seen(monkeypatch):
    """What the towers compute in, step by step."""
    types = []
    loss = RetrievalTrainer.compute_loss

    def record(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        linear = next(m for m in self.model.text_model.modules() if isinstance(m, torch.nn.Linear))
        dtypes = set()
        hook = linear.register_forward_hook(lambda _, inputs, output: dtypes.add(output.dtype))
        total = loss(self, model, inputs, return_outputs, num_items_in_batch)
        hook.remove()
        (dtype,) = dtypes
        types.append(("bf16" if dtype == torch.bfloat16 else "fp32", self.accelerator.mixed_precision))
        return total

    monkeypatch.setattr(RetrievalTrainer, "compute_loss", record)
    return types


def recipe_of(sounds, tmp_path, precision=None, stages=None) -> Recipe:
    values = tiny_recipe(sounds, sounds / "sounds")
    values |= {"output_dir": str(tmp_path / "run"), "stages": stages or [{"name": "first"}]}
    values["training"] |= {"epochs": 1}
    if precision is not None:
        values["training"]["precision"] = precision
    return Recipe.model_validate(values)


def recorded(tmp_path):
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    return record["recipe"]["training"]["precision"], record["precision"]


@pytest.mark.parametrize(
    ("launched", "asked", "effective", "told"),
    [
        (None, None, "fp32", False),
        ("no", None, "fp32", False),
        ("bf16", None, "bf16", False),
        ("bf16", "fp32", "fp32", True),
        ("bf16", "bf16", "bf16", False),
        ("no", "bf16", "bf16", False),
    ],
)
def test_the_recipe_wins_and_what_was_used_is_recorded(
    sounds, tmp_path, monkeypatch, caplog, seen, launched, asked, effective, told
):
    if launched is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, launched)
    with caplog.at_level(logging.WARNING):
        run_recipe(recipe_of(sounds, tmp_path, asked), progress=False)
    assert seen == [(effective, "no" if effective == "fp32" else effective)] * 2
    assert recorded(tmp_path) == (effective, {"first": effective})
    assert json.loads((tmp_path / "run" / "first" / "stage.json").read_text())["precision"] == effective
    lines = [record.getMessage() for record in caplog.records if "accelerate's" in record.getMessage()]
    expected = "stage first: training.precision=fp32 of the recipe is used, not accelerate's bf16"
    assert lines == ([expected] if told else [])
    assert os.environ.get(VARIABLE) == launched


def test_stages_may_differ(sounds, tmp_path, monkeypatch, seen):
    monkeypatch.setenv(VARIABLE, "bf16")
    stages = [
        {"name": "first"},
        {"name": "second", "training": {"precision": "fp32"}},
        {"name": "third", "training": {"precision": "bf16"}},
    ]
    run_recipe(recipe_of(sounds, tmp_path, stages=stages), progress=False)
    assert [kind for kind, _ in seen] == ["bf16"] * 2 + ["fp32"] * 2 + ["bf16"] * 2
    assert recorded(tmp_path)[1] == {"first": "bf16", "second": "fp32", "third": "bf16"}


def test_a_run_is_held_to_its_precision(sounds, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "bf16")
    recipe = recipe_of(sounds, tmp_path)
    RunDirectory(recipe).start()
    RunDirectory(recipe_of(sounds, tmp_path, "bf16"))
    monkeypatch.setenv(VARIABLE, "no")
    with pytest.raises(RecipeError, match=r"training\.precision is 'bf16' there and 'fp32' here"):
        RunDirectory(recipe)
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    # As runs recorded it before: the recipe's, whatever they trained in.
    del record["precision"]
    record["recipe"]["training"]["precision"] = "fp32"
    path.write_text(json.dumps(record))
    monkeypatch.setenv(VARIABLE, "bf16")
    RunDirectory(recipe)


def test_precisions_that_are_not_to_be_had(sounds, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "fp8")
    with pytest.raises(RecipeError, match="accelerate's mixed precision is 'fp8', but must be one of"):
        run_recipe(recipe_of(sounds, tmp_path), progress=False)
    assert effective_precision("fp32") == "fp32"
    if not torch.cuda.is_available():
        monkeypatch.setenv(VARIABLE, "fp16")
        with pytest.raises(RecipeError, match=r"training\.precision=fp16 needs a GPU"):
            run_recipe(recipe_of(sounds, tmp_path), progress=False)
    assert not (tmp_path / "run").exists()


def test_the_environment_is_put_back(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(KeyError), accelerate_set_to("bf16"):
        assert os.environ[VARIABLE] == "bf16"
        raise KeyError
    assert VARIABLE not in os.environ
