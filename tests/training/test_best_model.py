"""Which epoch's model is kept: the first of equally good ones, never one whose figure is no number."""

import json
from types import SimpleNamespace

import pytest
import torch
from tiny_recipes import tiny_recipe, weights_of

from auricle.training.models.model_building import build_model
from auricle.training.recipe.schema import Recipe
from auricle.training.trainer_callbacks import BestModelKeeper


@pytest.fixture
def evaluated(tmp_path):
    """Evaluates the model of one epoch after another; each has weights of its own."""
    recipe = Recipe.model_validate(tiny_recipe(tmp_path, tmp_path / "sounds"))
    built = build_model(recipe.model, seed=0)
    keeper = BestModelKeeper(tmp_path / "model", "mAP", built.processor)

    def evaluate(epoch: int, figure: float):
        torch.nn.init.constant_(built.model.audio_projection.bias, float(epoch))
        state = SimpleNamespace(is_world_process_zero=True, global_step=10 * epoch, epoch=float(epoch))
        keeper.on_evaluate(None, state, None, metrics={"eval_mAP": figure}, model=built.model)
        kept = weights_of(tmp_path / "model")["audio_projection.bias"]
        best = json.loads((tmp_path / "model" / "best.json").read_text())
        assert best["step"] == 10 * best["epoch"]
        return int(kept[0]), best["value"]

    return evaluate


def test_of_equally_good_epochs_the_first_is_kept(evaluated):
    assert evaluated(1, 0.25) == (1, 0.25)
    assert evaluated(2, 0.25) == (1, 0.25)
    assert evaluated(3, 0.5) == (3, 0.5)
    assert evaluated(4, 0.5) == (3, 0.5)
    assert evaluated(5, 0.25) == (3, 0.5)


@pytest.mark.parametrize("figure", [float("nan"), float("inf"), float("-inf")])
def test_a_figure_that_is_no_number_never_wins(evaluated, figure):
    assert evaluated(1, 0.25) == (1, 0.25)
    assert evaluated(2, figure) == (1, 0.25)
    assert evaluated(3, 0.3) == (3, 0.3)
