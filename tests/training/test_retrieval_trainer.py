"""The trainer: parameter groups, frozen towers, evaluation of whole splits, what is kept on disk."""

import json
import math
import shutil

import pytest
import torch
from tiny_recipes import tiny_recipe, weights_of, write_captioned_folder

from auricle.evaluation.retrieval import evaluate_retrieval
from auricle.training.models.model_building import build_model, load_model
from auricle.training.recipe.reading import RecipeError, resolve_stages
from auricle.training.recipe.schema import Recipe
from auricle.training.retrieval_trainer import RetrievalTrainer
from auricle.training.rows.collator import RetrievalCollator
from auricle.training.rows.split_loading import load_splits
from auricle.training.rows.training_clips import TrainingClips
from auricle.training.runs.stage_running import _training_arguments, run_stage


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder with 14 clips to train, 7 to validate; batches of 4 leave a rest of both."""
    folder = tmp_path_factory.mktemp("shared")
    write_captioned_folder(folder / "sounds", {"train": 14, "validation": 7})
    return folder


@pytest.fixture
def make(shared, tmp_path):
    """A recipe with changes to its sections, its only stage, model, tables and trainer."""

    def build(*, dropout=0.0, model=None, evaluation=None, data=None, validated=True, **training):
        values = tiny_recipe(shared, shared / "sounds", dropout=dropout)
        values["model"].update(model or {})
        values["training"].update(training)
        values["data"].update(data or {})
        values["evaluation"] = evaluation or {}
        recipe = Recipe.model_validate(values)
        stage = resolve_stages(recipe)[0]
        built = build_model(recipe.model, recipe.seed)
        splits = load_splits(stage.data, progress=False)
        if not validated:
            splits.pop("validation")
        return Setting(recipe, stage, built, splits, tmp_path / "stage")

    return build


class Setting:
    """Everything that one stage is run with."""

    def __init__(self, recipe, stage, built, splits, directory):
        self.recipe, self.stage, self.built, self.splits = recipe, stage, built, splits
        self.directory = directory

    @property
    def model(self):
        return self.built.model

    def run(self) -> dict:
        return run_stage(
            self.stage,
            self.built,
            self.splits,
            self.recipe.evaluation,
            directory=self.directory,
            run_name="tiny/first",
            seed=self.recipe.seed,
            progress=False,
        )

    def trainer(self) -> RetrievalTrainer:
        processor = self.built.processor
        clips = TrainingClips(self.splits["train"], processor.feature_extractor, self.stage.data, seed=0)
        return RetrievalTrainer(
            self.model,
            processor,
            self.stage.training,
            self.recipe.evaluation,
            run_seed=0,
            validation=self.splits.get("validation"),
            args=_training_arguments(
                self.stage, self.directory, "tiny/first", 0, "validation" in self.splits, False
            ),
            train_dataset=clips,
            data_collator=RetrievalCollator(processor),
        )


def weights(module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(before, module) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


def test_every_trained_parameter_is_in_the_group_it_belongs_to(make):
    setting = make(
        learning_rate=1e-3,
        projection_learning_rate=5e-3,
        weight_decay=0.1,
        model={"learn_temperature": True},
    )
    optimizer = setting.trainer().create_optimizer()
    assert isinstance(optimizer, torch.optim.AdamW)
    names = {id(parameter): name for name, parameter in setting.model.named_parameters()}
    seen = set()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            seen.add(name)
            in_tower = name.startswith(("audio_model.", "text_model."))
            assert group["lr"] == (1e-3 if in_tower else 5e-3), name
            assert group["weight_decay"] == (0.1 if parameter.dim() > 1 else 0.0), name
    assert seen == set(names.values()) and "logit_scale" in seen
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(seen)
    assert len(optimizer.param_groups) == 4


def test_one_rate_for_all_unless_the_projections_have_their_own(make):
    optimizer = make(learning_rate=3e-3).trainer().create_optimizer()
    assert {group["lr"] for group in optimizer.param_groups} == {3e-3}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0}


def test_the_schedule_brings_every_group_to_the_same_floor(make):
    setting = make(
        learning_rate=1e-3, projection_learning_rate=5e-3, min_learning_rate=1e-5, warmup_share=0.2
    )
    trainer = setting.trainer()
    trainer.create_optimizer_and_scheduler(10)
    rates = []
    for _ in range(11):
        rates.append({group["lr"] for group in trainer.optimizer.param_groups})
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    assert rates[2] == {1e-3, 5e-3}
    assert all(math.isclose(rate, 1e-5) for rate in rates[10])


def test_a_schedule_in_epochs_reaches_the_optimizer(make):
    setting = make(
        epochs=20, learning_rate=1e-3, min_learning_rate=1e-5, warmup_epochs=1, cosine_end_epoch=16
    )
    trainer = setting.trainer()
    trainer.create_optimizer_and_scheduler(200)
    rates = []
    for _ in range(200):
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    assert rates[10] == 1e-3 == max(rates) and rates[9] < 1e-3
    assert all(math.isclose(rate, 1e-5) for rate in rates[160:]) and rates[159] > 1e-5


def test_a_norm_of_0_switches_clipping_off(make):
    def trained(norm):
        setting = make(epochs=1, max_grad_norm=norm, validated=False)
        setting.trainer().train()
        return weights(setting.model)

    off, never_reached, tiny = trained(0), trained(1e9), trained(1e-9)
    assert all(torch.equal(off[name], never_reached[name]) for name in off)
    assert any(not torch.equal(off[name], tiny[name]) for name in off)


@pytest.mark.parametrize("tower", ["audio", "text"])
def test_a_frozen_tower_keeps_every_bit_and_its_dropout_is_off(make, tower):
    other = {"audio": "text", "text": "audio"}[tower]
    setting = make(freeze=[tower], dropout=0.3, cache_frozen_text=False, epochs=1)
    model, modes = setting.model, set()
    towers = {name: getattr(model, f"{name}_model") for name in ("audio", "text")}
    for name, module in towers.items():
        module.register_forward_hook(lambda module, *_, name=name: modes.add((name, module.training)))
    before = {name: weights(module) for name, module in towers.items()}
    trainer = setting.trainer()
    trainer.train()
    assert changed(before[tower], towers[tower]) == set()
    assert len(changed(before[other], towers[other])) > 10
    # The evaluation after the epoch runs both in evaluation mode.
    assert modes == {(tower, False), (other, True), (other, False)}
    assert not any(parameter.requires_grad for parameter in towers[tower].parameters())


@pytest.mark.parametrize("frozen", [("audio_projection",), ("text_projection",), ("text", "text_projection")])
@pytest.mark.parametrize("micro_batch_size", [None, 2])
def test_frozen_projections_keep_every_bit_in_the_saved_model_too(make, frozen, micro_batch_size):
    setting = make(
        freeze=list(frozen), micro_batch_size=micro_batch_size, epochs=1, weight_decay=0.1, learning_rate=1e-2
    )
    names = [f"{name}_model" if name == "text" else name for name in frozen]
    before = {name: weights(getattr(setting.model, name)) for name in names}
    rest = {name: weights(module) for name, module in setting.model.named_children() if name not in names}
    setting.run()
    saved = load_model(setting.directory / "model").model
    for model in (setting.model, saved):
        assert all(changed(before[name], getattr(model, name)) == set() for name in names)
    assert all(changed(some, getattr(setting.model, name)) for name, some in rest.items())


def test_a_frozen_text_tower_run_once_trains_as_one_run_each_step(make):
    losses = []
    for cached in (True, False):
        setting = make(freeze=["text"], cache_frozen_text=cached, epochs=1)
        setting.directory = setting.directory / str(cached)
        losses.append([entry["loss"] for entry in setting.run()["log"] if "loss" in entry])
    assert len(losses[0]) == 7
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert len(set(losses[0])) == 7


def test_evaluation_is_that_of_the_whole_ragged_split(make):
    """7 clips in batches of 4, and training that drops its last batch: all 7 and all 14 captions count."""
    setting = make(evaluation={"batch_size": 4})
    trainer = setting.trainer()
    assert trainer.args.dataloader_drop_last
    embedded = []
    setting.model.audio_model.register_forward_hook(
        lambda module, arguments, options, output: embedded.append(len(output.pooler_output)),
        with_kwargs=True,
    )
    measured = trainer.evaluate()
    segments = {0.6: 1, 1.0: 1, 1.7: 2}
    assert sum(embedded) == sum(segments[(0.6, 1.0, 1.7)[number % 3]] for number in range(14, 21))
    expected, _ = evaluate_retrieval(setting.built.encoder(), setting.splits["validation"], batch_size=4)
    assert {name: measured[f"eval_{name}"] for name in expected} == expected
    assert len(trainer.validation.audio) == 7 and len(trainer.validation.captions) == 14


def test_evaluation_of_another_table_and_by_another_column(make):
    setting = make(evaluation={"relevance_column": "label"})
    measured = setting.trainer().evaluate(setting.splits["train"], metric_key_prefix="train")
    expected, _ = evaluate_retrieval(
        setting.built.encoder(), setting.splits["train"], relevance_column="label"
    )
    assert {name: measured[f"train_{name}"] for name in expected} == expected
    with pytest.raises(ValueError, match="no validation split"):
        make(validated=False).trainer().evaluate()


def test_evaluation_of_a_frozen_text_tower_follows_its_projection(make):
    """Its pooled vectors are kept; what is projected from them must not be."""
    setting = make(freeze=["text"])
    trainer = setting.trainer()
    trainer.evaluate()
    with torch.no_grad():
        setting.model.text_projection.weight.normal_(generator=torch.Generator().manual_seed(5))
    measured = trainer.evaluate()
    expected, _ = evaluate_retrieval(setting.built.encoder(), setting.splits["validation"])
    assert {name: measured[f"eval_{name}"] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_evaluation_leaves_training_as_it_was(make):
    setting = make()
    trainer = setting.trainer()
    setting.model.train()
    setting.model.text_model.eval()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    trainer.evaluate()
    assert torch.equal(torch.get_rng_state(), before)
    assert setting.model.audio_model.training and not setting.model.text_model.training


def test_the_best_epoch_is_kept_and_loads(make):
    setting = make(epochs=3, learning_rate=3e-3)
    summary = setting.run()
    figures = [entry["eval_text_to_audio_mAP@16"] for entry in summary["log"] if "eval_runtime" in entry]
    assert len(figures) == 3
    best = json.loads((setting.directory / "model" / "best.json").read_text())
    assert summary["best"] == best
    assert best["value"] == max(figures)
    assert best["epoch"] == figures.index(max(figures)) + 1
    kept = load_model(str(setting.directory / "model"))
    again, _ = evaluate_retrieval(kept.encoder(), setting.splits["validation"])
    assert again["text_to_audio_mAP@16"] == best["value"]


def test_without_a_validation_split_the_last_weights_are_the_result(make):
    setting = make(validated=False, epochs=1)
    summary = setting.run()
    saved = weights_of(setting.directory / "model")
    assert all(torch.equal(value, saved[name]) for name, value in setting.model.state_dict().items())
    assert summary["best"] is None and summary["last_loss"] > 0
    assert summary["steps"] == 7  # 28 rows in batches of 4


def test_captions_that_are_cut_are_counted_and_said(make, caplog):
    setting = make(validated=False, epochs=1)
    distinct = set(setting.splits["train"]["caption"])
    words = [len(setting.built.processor(text=text)["input_ids"][0]) for text in distinct]
    limit = setting.built.processor.max_text_tokens = min(words)
    with caplog.at_level("WARNING"):
        lengths = setting.run()["caption_lengths"]
    cut = sum(length > limit for length in words)
    assert 0 < cut < len(distinct)
    assert (lengths["limit"], lengths["captions"], lengths["cut"]) == (limit, len(distinct), cut)
    assert lengths["longest"] == max(words)
    assert f"{cut} of {len(distinct)} captions" in caplog.text


def test_part_of_an_epoch_is_evaluated_and_saved(make):
    setting = make(epochs=0.5, save_every=2)
    summary = setting.run()
    assert summary["steps"] == 4 and summary["best"]["step"] == 4
    assert sum("eval_runtime" in entry for entry in summary["log"]) == 1


def test_an_epochs_last_checkpoint_is_written_after_its_evaluation(make):
    """Else a run killed between the two would never judge that epoch."""
    setting = make(epochs=2, save_every=7, keep_checkpoints=5)
    summary = setting.run()
    assert [entry["step"] for entry in summary["log"] if "eval_runtime" in entry] == [7, 14]
    for step in (7, 14):
        state = json.loads((setting.directory / f"checkpoint-{step}" / "trainer_state.json").read_text())
        assert any("eval_runtime" in entry and entry["step"] == step for entry in state["log_history"])


def test_only_the_newest_checkpoints_stay_and_each_is_marked(make):
    setting = make(epochs=1, save_every=2, keep_checkpoints=2)
    setting.run()
    left = sorted(path.name for path in setting.directory.glob("checkpoint-*"))
    assert left == ["checkpoint-6", "checkpoint-7"]
    for name in left:
        marker = json.loads((setting.directory / name / "complete.json").read_text())
        assert marker == {"step": int(name.rsplit("-")[-1]), "processes": 1}


def test_a_checkpoint_of_another_number_of_processes_is_refused(make):
    setting = make(epochs=1, save_every=2)
    setting.run()
    marker = setting.directory / "checkpoint-7" / "complete.json"
    marker.write_text('{"step": 7, "processes": 2}')
    with pytest.raises(RecipeError, match="written by 2 processes and cannot resume with 1"):
        make(epochs=1, save_every=2).run()


def test_a_resume_in_mid_epoch_ends_bit_for_bit_the_same(make):
    """Seven steps an epoch; what is left after the cut is the checkpoint of step 8."""
    options = {"epochs": 2, "save_every": 4, "keep_checkpoints": 9, "dropout": 0.1, "learning_rate": 3e-3}
    options["data"] = {"crop_seconds": 0.5, "gain_db": 6.0}
    unbroken = make(**options)
    summary = unbroken.run()
    expected = weights(unbroken.model)
    for step in (12, 14):
        shutil.rmtree(unbroken.directory / f"checkpoint-{step}")
    resumed = make(**options)
    again = resumed.run()
    assert changed(expected, resumed.model) == set()
    assert again["best"] == summary["best"] and again["last_loss"] == summary["last_loss"]
    # Data, patches and dropout of the two epochs differ, or the above would say nothing.
    losses = [entry["loss"] for entry in summary["log"] if "loss" in entry]
    assert len(set(losses)) == 14


def test_gradient_accumulation_draws_patches_anew_each_time(make):
    trainer = make().trainer()
    draws = [torch.rand(1, generator=trainer._token_drop_generator()).item() for _ in range(3)]
    assert len(set(draws)) == 3
    trainer.state.global_step = 1
    draws.append(torch.rand(1, generator=trainer._token_drop_generator()).item())
    assert len(set(draws)) == 4
    # Another run of the same seed draws the same, whatever the state of torch's own generator.
    torch.manual_seed(99)
    again = make().trainer()
    assert torch.rand(1, generator=again._token_drop_generator()).item() == draws[0]


def test_settings_that_do_not_fit_the_data_are_errors_of_the_recipe(make):
    with pytest.raises(RecipeError, match="28 training rows do not fill one batch of 64"):
        make(batch_size=64).run()
    with pytest.raises(RecipeError, match=r"crop_seconds=1.5 is longer than a segment \(1.0 s\)"):
        make(data={"crop_seconds": 1.5}).run()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can")
def test_half_precision_without_a_gpu_is_an_error_of_the_recipe(make):
    with pytest.raises(RecipeError, match="fp16 needs a GPU"):
        make(precision="fp16").run()
