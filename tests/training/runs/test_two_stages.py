"""A recipe of two stages: the second starts from the best of the first."""

import json

import pytest
import torch
from tiny_recipes import run_train, tiny_recipe, weights_of, write_captioned_folder, write_recipe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """
    The finished run.

    The only validation clip is always found, so that no epoch of the first stage is better than its first;
    the second stage moves nothing that can be seen, so that its result shows what it started from.
    """
    folder = tmp_path_factory.mktemp("stages")
    sounds = write_captioned_folder(folder / "sounds", {"train": 12, "validation": 1, "test": 3})
    recipe = tiny_recipe(folder, sounds)
    recipe["training"] |= {"epochs": 4, "learning_rate": 1.0e-3}
    recipe["stages"] = [
        {"name": "pretrain", "training": {"freeze": ["text"]}},
        {"name": "tune", "training": {"epochs": 1, "learning_rate": 1.0e-30, "min_learning_rate": 0.0}},
    ]
    write_recipe(folder / "recipe.yaml", recipe)
    refused = run_train(folder / "recipe.yaml", "--stage", "tune", code=2)
    assert "starts from 'pretrain', which is not finished" in refused.stderr
    first = run_train(folder / "recipe.yaml", "--stage", "pretrain")
    assert "model:" not in first.stdout and not (folder / "run" / "tune").exists()
    whole = run_train(folder / "recipe.yaml")
    assert "stage pretrain is finished: skipped" in whole.stderr
    return folder / "run"


def test_the_second_stage_starts_from_the_best_of_the_first(run):
    best = json.loads((run / "pretrain" / "model" / "best.json").read_text())
    last = weights_of(run / "pretrain" / "checkpoint-24")
    start, result = weights_of(run / "pretrain" / "model"), weights_of(run / "tune" / "model")
    assert best["step"] == 6
    assert all(torch.allclose(value, start[name], rtol=0, atol=1e-20) for name, value in result.items())
    assert not torch.equal(result["audio_projection.weight"], last["audio_projection.weight"])


def test_a_stage_has_its_own_settings_and_the_result_is_the_last_ones(run):
    stages = {name: json.loads((run / name / "stage.json").read_text()) for name in ("pretrain", "tune")}
    assert (stages["pretrain"]["epochs"], stages["tune"]["epochs"]) == (4, 1)
    assert stages["tune"]["weights"] == {"all": str(run / "pretrain" / "model")}
    assert json.loads((run / "results.json").read_text())["model"] == str(run / "tune" / "model")
