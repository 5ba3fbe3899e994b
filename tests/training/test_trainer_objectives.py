"""The trainer with teachers and cluster heads: the weighted loss, its parts in the log, an exact resume."""

import shutil

import numpy as np
import pytest
import torch
from tiny_recipes import tiny_recipe, weights_of, write_captioned_folder

from auricle.modeling import contrastive_loss
from auricle.training.losses.cluster_loss import cluster_losses
from auricle.training.losses.distillation_loss import distillation_loss
from auricle.training.losses.objective import Objective
from auricle.training.models.model_building import build_model
from auricle.training.recipe.reading import resolve_stages
from auricle.training.recipe.schema import Recipe
from auricle.training.retrieval_trainer import RetrievalTrainer
from auricle.training.rows.collator import RetrievalCollator
from auricle.training.rows.split_loading import load_splits
from auricle.training.rows.training_clips import TrainingClips
from auricle.training.runs.stage_objective import StageObjective
from auricle.training.runs.stage_running import _training_arguments, run_stage
from auricle.training.teachers.aligned_teachers import AlignedTeachers
from auricle.training.teachers.teacher_bank import write_teacher_bank

CLUSTERS = 3
EVERYTHING = Objective(0.9, 0.7, None, 0.05)
PARTS = ("loss_contrastive", "loss_distillation", "loss_cluster_audio", "loss_cluster_text")


class Shared:
    """A folder with 12 clips of two captions, two teachers' vectors of them, and clusters of their captions."""

    def __init__(self, folder):
        self.folder = folder
        write_captioned_folder(folder / "sounds", {"train": 12})
        self.recipe = tiny_recipe(folder, folder / "sounds")
        _, stage = self.stage()
        self.splits = load_splits(stage.data, progress=False)
        table = self.splits["train"]
        self.clusters = np.arange(len(table), dtype=np.int64) // 2 % CLUSTERS
        banks = []
        for seed in (5, 6):
            teacher = build_model(Recipe.model_validate(self.recipe).model, seed)
            banks.append(
                write_teacher_bank(
                    folder / f"bank{seed}",
                    teacher.encoder(),
                    self.splits,
                    model_name=f"{seed}",
                )
            )
        self.teachers = AlignedTeachers.align(banks, [1, 2], table)

    def stage(self, *, model=None, data=None, augmentation=None, dropout=0.0, **training):
        values = tiny_recipe(self.folder, self.folder / "sounds", dropout=dropout)
        values["model"] |= model or {}
        values["data"] |= data or {}
        values["training"] |= training
        values["augmentation"] = augmentation or {}
        recipe = Recipe.model_validate(values)
        return recipe, resolve_stages(recipe)[0]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return Shared(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def make(shared, tmp_path):
    """A trainer of an objective on a new model with as many heads as asked for."""

    def build(objective, *, heads=CLUSTERS, teachers=True, clusters=True, **settings) -> RetrievalTrainer:
        recipe, stage = shared.stage(**settings)
        built = build_model(recipe.model, 0)
        built.model.set_num_clusters(heads, torch.Generator().manual_seed(0))
        clips = TrainingClips(
            shared.splits["train"],
            built.processor.feature_extractor,
            stage.data,
            seed=0,
            teachers=shared.teachers if teachers else None,
            cluster_of_row=shared.clusters if clusters else None,
        )
        return RetrievalTrainer(
            built.model,
            built.processor,
            stage.training,
            recipe.evaluation,
            objective=objective,
            run_seed=0,
            args=_training_arguments(stage, tmp_path / "stage", "tiny/first", 0, False, False),
            train_dataset=clips,
            data_collator=RetrievalCollator(built.processor),
        )

    return build


def batch_of(trainer):
    """Rows 0 to 3, two clips of two captions, and 6."""
    return trainer.data_collator([trainer.train_dataset[row] for row in (0, 1, 2, 3, 6)])


def terms_of(trainer, shared, tau):
    """The four losses of the batch from their definitions, of the model in evaluation mode."""
    model, batch = trainer.model, batch_of(trainer)
    rows = (0, 1, 2, 3, 6)
    with torch.no_grad():
        pooled = model.pool_audio(batch["input_features"])
        clips = torch.stack([part.mean(0) for part in pooled.split(batch["segment_counts"].tolist())])
        text = model.pool_text(batch["input_ids"], batch["attention_mask"])
        cosines = model.project_audio(clips) @ model.project_text(text).T
        positives = torch.tensor([[a // 2 == b // 2 for b in rows] for a in rows])
        teachers = torch.zeros(5, 5)
        for bank, weight in zip(shared.teachers.banks, (1 / 3, 2 / 3), strict=True):
            audio, captions = (torch.tensor(np.asarray(part)) for part in (bank.audio, bank.captions))
            clip_of_row = bank.rows["clip_index"].to_numpy()
            teachers += weight * audio[clip_of_row[list(rows)]] @ captions[list(rows)].T
        labels = torch.tensor(shared.clusters[list(rows)])
        return {
            "loss_contrastive": contrastive_loss(cosines / model.config.temperature, positives),
            "loss_distillation": distillation_loss(cosines, teachers, tau),
            **dict(
                zip(
                    ("loss_cluster_audio", "loss_cluster_text"),
                    cluster_losses(model.audio_cluster_head(clips), model.text_cluster_head(text), labels),
                    strict=True,
                )
            ),
        }


@pytest.mark.parametrize("temperature", [None, 0.2])
def test_the_loss_is_the_weighted_sum_of_its_definitions(make, shared, temperature):
    trainer = make(Objective(0.9, 0.7, temperature, 0.05), model={"temperature": 0.07})
    trainer.model.eval()
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model, batch_of(trainer))
    terms = terms_of(trainer, shared, temperature or 0.07)
    assert min(term.item() for term in terms.values()) > 0.1
    weights = (0.9, 0.7, 0.05, 0.05)
    expected = sum(weight * terms[name] for weight, name in zip(weights, PARTS, strict=True))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_losses_are_summed_over_prefixes(make):
    """Contrastive loss alone: of the first 3 numbers, the first 8 and all 12."""
    trainer = make(Objective(), heads=0, matryoshka_dims=[3, 8])
    model, batch = trainer.model.eval(), batch_of(trainer)
    assert model.config.matryoshka_dims == [3, 8]
    with torch.no_grad():
        loss = trainer.compute_loss(model, batch)
        inputs = {
            name: value for name, value in batch.items() if name in ("input_features", "segment_counts")
        }
        audio = model.get_audio_features(**inputs).pooler_output
        text = model.get_text_features(batch["input_ids"], batch["attention_mask"]).pooler_output
        positives = batch["groups"][:, None] == batch["groups"][None, :]
        expected = 0.0
        for width in (3, 8, 12):
            cosines = torch.cosine_similarity(audio[:, None, :width], text[None, :, :width], dim=-1)
            expected += contrastive_loss(cosines / model.config.temperature, positives).item()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_prefixes_longer_than_the_embedding_are_refused(make):
    with pytest.raises(ValueError, match="projection_dim=12"):
        make(Objective(), heads=0, matryoshka_dims=[3, 13])


def test_without_labels_only_the_teachers_are_heard(make, shared):
    trainer = make(Objective(0.0, 2.0), heads=0, clusters=False)
    trainer.model.eval()
    batch = batch_of(trainer)
    losses = []
    for groups in (batch["groups"], torch.zeros_like(batch["groups"])):
        with torch.no_grad():
            losses.append(trainer.compute_loss(trainer.model, {**batch, "groups": groups}).item())
    trainer.model.set_num_clusters(CLUSTERS)
    assert losses[0] == losses[1]
    assert losses[0] == pytest.approx(
        2 * terms_of(trainer, shared, 0.05)["loss_distillation"].item(), rel=1e-5
    )


def test_teachers_and_clusters_that_no_loss_asks_for_change_nothing(make):
    losses = []
    for extra in (True, False):
        trainer = make(None, heads=0, teachers=extra, clusters=extra)
        trainer.model.eval()
        with torch.no_grad():
            losses.append(trainer.compute_loss(trainer.model, batch_of(trainer)).item())
    assert losses[0] == losses[1]


def test_cluster_heads_count_as_projections(make):
    settings = {"learning_rate": 1e-3, "projection_learning_rate": 5e-3, "weight_decay": 0.1}
    trainer = make(EVERYTHING, **settings)
    rates = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in trainer.create_optimizer().param_groups
        for parameter in group["params"]
    }
    assert len(rates) == len(list(trainer.model.parameters()))
    heads = [name for name, _ in trainer.model.named_parameters() if "_cluster_head." in name]
    assert len(heads) == 8
    for name, parameter in trainer.model.named_parameters():
        if name in heads:
            assert rates[id(parameter)] == (5e-3, 0.1 if parameter.dim() > 1 else 0.0), name


def test_every_parameter_that_is_trained_gets_a_gradient(make):
    """Distributed training waits for all of them."""
    for objective, heads in ((EVERYTHING, CLUSTERS), (Objective(0, 1), 0), (Objective(), 0)):
        trainer = make(objective, heads=heads, freeze=["text"], model={"learn_temperature": True})
        trainer.compute_loss(trainer.model, batch_of(trainer)).backward()
        missing = [n for n, p in trainer.model.named_parameters() if p.requires_grad and p.grad is None]
        assert missing == []


@pytest.mark.parametrize(
    ("objective", "given", "message"),
    [
        (EVERYTHING, {"heads": 0}, "the model has no cluster heads; call model.set_num_clusters"),
        (Objective(), {}, r"heads for 3 clusters, but cluster_weight is 0; call model.set_num_clusters\(0\)"),
        (EVERYTHING, {"teachers": False}, "the training rows have no teachers"),
        (EVERYTHING, {"clusters": False}, "the training rows have no clusters"),
    ],
)
def test_an_objective_that_does_not_fit_is_refused_before_training(make, objective, given, message):
    with pytest.raises(ValueError, match=message):
        make(objective, **given)


@pytest.mark.parametrize(("accumulation", "log_every"), [(1, 1), (2, 1), (1, 4), (4, 2)])
def test_the_log_has_each_part_averaged_like_the_whole(make, accumulation, log_every):
    """Six batches an epoch: four a step leave a step of two."""
    trainer = make(EVERYTHING, gradient_accumulation_steps=accumulation, log_every=log_every, epochs=2)
    trainer.train()
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(log) == -(-6 // accumulation) * 2 // log_every
    for entry in log:
        contrastive, distillation, audio, text = (entry[name] for name in PARTS)
        whole = 0.9 * contrastive + 0.7 * distillation + 0.05 * (audio + text)
        assert entry["loss"] == pytest.approx(whole, rel=1e-5)
    assert len({entry["loss_distillation"] for entry in log}) == len(log)


@pytest.mark.parametrize(("objective", "part"), [(Objective(), PARTS[0]), (Objective(0, 1), PARTS[1])])
def test_the_log_names_only_parts_that_are_trained(make, objective, part):
    trainer = make(objective, heads=0, epochs=0.5)
    trainer.train()
    entry = next(entry for entry in trainer.state.log_history if "loss" in entry)
    assert entry[part] == pytest.approx(entry["loss"], rel=1e-6)
    assert [name for name in PARTS if name in entry] == [part]


def test_mixed_precision_trains_nearly_the_same(make):
    logs = []
    for precision in ("bf16", "fp32"):
        trainer = make(EVERYTHING, precision=precision, epochs=1)
        trainer.train()
        logs.append([entry for entry in trainer.state.log_history if "loss" in entry])
    for name in PARTS:
        ours, theirs = ([entry[name] for entry in log] for log in logs)
        assert ours != theirs and ours == pytest.approx(theirs, rel=0.05)


@pytest.mark.parametrize(("size", "accumulation"), [(3, 1), (1, 2)])
def test_micro_batches_train_like_the_whole_batch(make, size, accumulation):
    """With clipping, accumulated steps, token drop and a learned temperature; batches of four pairs."""
    logs, weights = [], []
    for micro_batch_size in (size, None):
        trainer = make(
            EVERYTHING,
            micro_batch_size=micro_batch_size,
            gradient_accumulation_steps=accumulation,
            max_grad_norm=0.5,
            model={"learn_temperature": True},
            epochs=1,
        )
        trainer.train()
        logs.append([entry for entry in trainer.state.log_history if "loss" in entry])
        weights.append(trainer.model.state_dict())
    assert len(logs[0]) == 6 // accumulation
    for name in ("loss", *PARTS, "grad_norm"):
        ours, theirs = ([entry[name] for entry in log] for log in logs)
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4)
    assert torch.allclose(weights[0]["logit_scale"], weights[1]["logit_scale"], rtol=0, atol=1e-5)


def test_the_heads_learn_clusters(make, shared):
    trainer = make(Objective(1, 0, None, 1.0), epochs=12, learning_rate=1e-2)
    trainer.train()
    model = trainer.model.eval()
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(24)])
    inputs = {
        name: batch[name] for name in ("input_features", "segment_counts", "input_ids", "attention_mask")
    }
    with torch.no_grad():
        output = model(**inputs, return_cluster_logits=True)
    for logits in (output.audio_cluster_logits, output.text_cluster_logits):
        assert (logits.argmax(-1) == batch["cluster_labels"]).float().mean() > 0.8


def test_a_resume_in_mid_epoch_ends_bit_for_bit_the_same(shared, tmp_path):
    """With teachers, clusters, edited captions, crops, dropout and patchout; six steps an epoch."""
    recipe, stage = shared.stage(
        dropout=0.1,
        data={"crop_seconds": 0.5, "gain_db": 6.0},
        augmentation={"word_deletion": 0.8},
        epochs=2,
        save_every=4,
        keep_checkpoints=9,
        learning_rate=3e-3,
    )
    objective = StageObjective(EVERYTHING, shared.teachers, shared.clusters, CLUSTERS)

    def run():
        built = build_model(recipe.model, recipe.seed)
        options = {"directory": tmp_path, "run_name": "tiny/first", "seed": recipe.seed, "progress": False}
        return run_stage(stage, built, shared.splits, recipe.evaluation, objective, **options)

    summary, expected = run(), weights_of(tmp_path / "model")
    assert len({entry["loss"] for entry in summary["log"]}) == 12
    assert sum("cluster_head" in name for name in expected) == 8
    for name in ("checkpoint-8", "checkpoint-12", "model"):
        shutil.rmtree(tmp_path / name)
    again, resumed = run(), weights_of(tmp_path / "model")
    assert [name for name, value in expected.items() if not torch.equal(value, resumed[name])] == []
    assert again["log"] == summary["log"]


def test_averaged_weights_are_saved_and_resume_exactly(shared, tmp_path):
    """The moving average of the checkpoints' own weights, one a step; resumed in mid-epoch."""
    recipe, stage = shared.stage(
        dropout=0.1, epochs=1, save_every=1, keep_checkpoints=9, learning_rate=3e-3, weight_averaging=0.25
    )

    def run():
        built = build_model(recipe.model, recipe.seed)
        options = {"directory": tmp_path, "run_name": "tiny/first", "seed": recipe.seed, "progress": False}
        run_stage(stage, built, shared.splits, recipe.evaluation, **options)
        return weights_of(tmp_path / "model")

    averaged = run()
    name = "audio_projection.weight"
    expected = build_model(recipe.model, recipe.seed).model.state_dict()[name]
    for step in range(1, 7):
        own = weights_of(tmp_path / f"checkpoint-{step}")[name]
        decay = min(0.25, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * own
    assert torch.allclose(averaged[name], expected, atol=1e-6)
    assert (averaged[name] - own).abs().max() > 1e-5
    for left in ("checkpoint-4", "checkpoint-5", "checkpoint-6", "model"):
        shutil.rmtree(tmp_path / left)
    resumed = run()
    assert [name for name, value in averaged.items() if not torch.equal(value, resumed[name])] == []
