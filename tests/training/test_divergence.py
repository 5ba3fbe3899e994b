"""A training that diverged stops in one line; weights that are no numbers are not evaluated, saved or passed on."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from tiny_recipes import (
    ROOT,
    environment,
    tiny_recipe,
    train_command,
    weights_of,
    write_captioned_folder,
    write_recipe,
)
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.conversion.finite_weights import NonFiniteWeightsError, check_finite_files, check_finite_weights
from auricle.hub.onnx_export import ExportError, export_onnx
from auricle.hub.publishing import PublishError, collect_run
from auricle.training.divergence import DivergedError, DivergenceGuard
from auricle.training.models.model_building import build_model
from auricle.training.recipe.schema import Recipe
from auricle.training.retrieval_trainer import RetrievalTrainer
from auricle.training.runs.recipe_running import run_recipe
from auricle.training.trainer_callbacks import save_model

NAN, INF = float("nan"), float("inf")


def check(guard, loss, step, *, scaled=False, skipped=False):
    guard.check_loss(torch.tensor(loss), step=step, scaled=scaled, last_was_skipped=skipped)


@pytest.mark.parametrize("loss", [NAN, INF, -INF])
def test_the_first_loss_that_is_no_number_ends_it(tmp_path, loss):
    guard = DivergenceGuard("first", tmp_path)
    check(guard, 3.5, 0)
    with pytest.raises(
        DivergedError, match=rf"^stage 'first' diverged: the loss of step 2 is {loss}\. "
    ) as caught:
        check(guard, loss, 1)
    assert "no checkpoint was written yet" in str(caught.value)


def test_the_last_good_checkpoint_is_named(tmp_path):
    for step in (4, 8, 12):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (4, 8):
        (tmp_path / f"checkpoint-{step}" / "complete.json").write_text("{}")
    with pytest.raises(DivergedError, match=r"the last checkpoint is \S+checkpoint-8\. "):
        check(DivergenceGuard("first", tmp_path), NAN, 13)


def test_fp16_may_skip_so_many_steps_in_a_row(tmp_path):
    guard = DivergenceGuard("first", tmp_path, max_skipped_steps=2)
    check(guard, INF, 0, scaled=True)
    for step in (1, 2):
        check(guard, INF, step, scaled=True, skipped=True)
        # Accumulation: several losses belong to one step.
        check(guard, 1.0, step, scaled=True, skipped=True)
    check(guard, 1.0, 3, scaled=True)
    for step in (4, 5):
        check(guard, 1.0, step, scaled=True, skipped=True)
    with pytest.raises(
        DivergedError, match=r"the last 3 steps before step 7 were skipped.*max_skipped_steps=2"
    ):
        check(guard, 1.0, 6, scaled=True, skipped=True)


def test_weights_are_looked_at_one_by_one():
    check_finite_weights(
        {"a": torch.full((2,), 3e38), "b": torch.tensor([1, 2]), "c": torch.zeros(0)}, "model"
    )
    broken = {"a": torch.ones(3), "b": torch.tensor([1.0, NAN]), "c": torch.tensor([INF, -INF]).half()}
    with pytest.raises(
        NonFiniteWeightsError, match="model: 2 of 3 tensors contain NaN or infinity, such as 'b'"
    ):
        check_finite_weights(broken, "model")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diverging")
    write_captioned_folder(folder / "sounds", {"train": 8, "validation": 2, "test": 2})
    write_captioned_folder(folder / "unvalidated" / "sounds", {"train": 8})
    return folder


def recipe_of(sounds, tmp_path, *, validated=True, **training):
    recipe = tiny_recipe(sounds, sounds / ("sounds" if validated else "unvalidated/sounds"))
    recipe["output_dir"] = str(tmp_path / "run")
    recipe["training"] |= {"epochs": 3, **training}
    return recipe


@pytest.mark.parametrize("validated", [True, False])
def test_a_rate_that_blows_up_ends_the_run_in_one_line_and_saves_nothing(sounds, tmp_path, validated):
    recipe = recipe_of(sounds, tmp_path, validated=validated, learning_rate=1e30)
    write_recipe(tmp_path / "recipe.yaml", recipe)
    result = CliRunner().invoke(app, ["train", str(tmp_path / "recipe.yaml"), "--no-progress"])
    assert result.exit_code == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "stage 'first' diverged: " in errors[0] and "Traceback" not in result.stderr
    stage = tmp_path / "run" / "first"
    assert not (stage / "stage.json").exists() and not (tmp_path / "run" / "results.json").exists()
    for path in stage.rglob("*.safetensors"):
        assert all(torch.isfinite(value).all() for value in weights_of(path.parent).values()), path


def test_the_last_good_checkpoint_stays_and_the_log_does_not_say_zero(sounds, tmp_path, monkeypatch):
    """Gradients break in the second epoch, while the loss is still a number."""
    step = RetrievalTrainer.training_step

    def breaks(self, model, *arguments, **options):
        loss = step(self, model, *arguments, **options)
        if self.state.global_step == 5:
            next(self.model.audio_projection.parameters()).grad.fill_(NAN)
        return loss

    monkeypatch.setattr(RetrievalTrainer, "training_step", breaks)
    with pytest.raises(
        DivergedError, match=r"the loss of step 7 is nan.*the last checkpoint is .*checkpoint-4\."
    ):
        run_recipe(Recipe.model_validate(recipe_of(sounds, tmp_path)), progress=False)
    stage = tmp_path / "run" / "first"
    assert [path.name for path in stage.glob("checkpoint-*")] == ["checkpoint-4"]
    for place in ("checkpoint-4", "model"):
        assert all(torch.isfinite(value).all() for value in weights_of(stage / place).values())


@pytest.mark.parametrize("validated", [True, False])
def test_weights_broken_by_the_last_step_are_not_saved(sounds, tmp_path, monkeypatch, validated):
    """No loss comes after the last step that could tell."""
    step = RetrievalTrainer.training_step

    def breaks(self, model, *arguments, **options):
        loss = step(self, model, *arguments, **options)
        if self.state.global_step + 1 == self.state.max_steps:
            next(self.model.audio_projection.parameters()).grad.fill_(NAN)
        return loss

    monkeypatch.setattr(RetrievalTrainer, "training_step", breaks)
    recipe = recipe_of(sounds, tmp_path, validated=validated, epochs=2)
    with pytest.raises(DivergedError, match=r"after step 8 \d+ of \d+ tensors contain NaN.*checkpoint-4\."):
        run_recipe(Recipe.model_validate(recipe), progress=False)
    stage = tmp_path / "run" / "first"
    assert not (stage / "stage.json").exists() and not (stage / "checkpoint-8" / "complete.json").exists()
    assert (stage / "model").exists() == validated
    for path in (stage / "model").glob("*.safetensors"):
        assert all(torch.isfinite(value).all() for value in weights_of(path.parent).values())


@pytest.fixture(scope="module")
def broken(sounds, tmp_path_factory):
    """A finished run into whose model NaN came by other ways, as runs of before could leave it."""
    folder = tmp_path_factory.mktemp("broken")
    run_recipe(Recipe.model_validate(recipe_of(sounds, folder, epochs=1)), progress=False)
    path = folder / "run" / "first" / "model" / "model.safetensors"
    weights = weights_of(path.parent)
    weights["text_projection.bias"].fill_(NAN)
    save_file(weights, path, {"format": "pt"})
    return folder / "run"


def test_push_and_export_refuse_such_weights(broken, tmp_path):
    with pytest.raises(NonFiniteWeightsError, match=r"model\.safetensors: 1 of \d+ tensors"):
        check_finite_files(broken / "first" / "model")
    with pytest.raises(PublishError, match=r"such as 'text_projection\.bias'.*Nothing was published"):
        collect_run(broken, "someone/model")
    result = CliRunner().invoke(app, ["push", str(broken), "someone/model", "--dry-run"])
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1
    pytest.importorskip("onnxruntime")
    with pytest.raises(ExportError, match=r"such as 'text_projection\.bias'.*Nothing was exported"):
        export_onnx(broken / "first" / "model", tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_saving_a_model_refuses_them_too(sounds, tmp_path):
    built = build_model(Recipe.model_validate(recipe_of(sounds, tmp_path)).model, seed=0)
    save_model(built.model, built.processor, tmp_path / "good")
    torch.nn.init.constant_(built.model.audio_projection.bias, INF)
    with pytest.raises(NonFiniteWeightsError, match=r"audio_projection\.bias"):
        save_model(built.model, built.processor, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


@pytest.mark.slow
def test_two_processes_stop_together_and_one_tells(sounds, tmp_path):
    write_recipe(tmp_path / "recipe.yaml", recipe_of(sounds, tmp_path, learning_rate=1e30))
    config = ROOT / "recipes" / "accelerate" / "cpu_2_processes.yaml"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)),
            *train_command(tmp_path / "recipe.yaml")[1:],
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        timeout=240,
    )
    assert done.returncode != 0
    assert done.stderr.count("error: stage 'first' diverged") == 1
