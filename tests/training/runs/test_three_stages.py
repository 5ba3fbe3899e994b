"""Two teachers, distillation with augmented captions, cluster heads: one recipe, run as people run it."""

import json

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from tiny_models import tiny_audio_config
from tiny_recipes import run_train, tiny_recipe, weights_of, write_captioned_folder, write_recipe

from auricle.data import load_captioned_folder
from auricle.encoders.auricle_embedding import embed_captions
from auricle.hub.model_card import CardError, render_model_card
from auricle.training.clusters.caption_clusters import CaptionClusters
from auricle.training.models.model_building import load_model
from auricle.training.teachers.aligned_teachers import AlignedTeachers
from auricle.training.teachers.teacher_bank import TeacherBank

pytestmark = pytest.mark.slow


def three_stages(folder):
    sounds = write_captioned_folder(folder / "sounds", {"train": 12, "validation": 3, "test": 3})
    recipe = tiny_recipe(folder, sounds)
    recipe["training"] |= {"epochs": 1}
    recipe["stages"] = [
        {"name": "pretrain"},
        {
            "name": "pretrain_other",
            "starts_from": "pretrained",
            "model": {"audio": {"config": tiny_audio_config(hidden_size=16)}, "projection_dim": 6},
        },
        {
            "name": "finetune",
            "starts_from": "pretrain",
            "distillation": {"teachers": ["pretrain", {"source": "pretrain_other", "weight": 3}]},
            "augmentation": {"word_deletion": 0.8},
        },
        {
            "name": "refinetune",
            "distillation": {"teachers": ["pretrain", "pretrain_other"]},
            "clusters": {"embed_with": "finetune", "method": "kmeans", "num_clusters": 3},
        },
    ]
    return recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    recipe = write_recipe(folder / "recipe.yaml", three_stages(folder))
    run_train(recipe, "--stage", "pretrain")
    early = run_train(recipe, "--stage", "finetune", code=2)
    assert "'finetune' learns from 'pretrain_other', which is not finished" in early.stderr
    done = run_train(recipe)
    return folder / "run", done.stdout, recipe


def stage(run, name):
    return json.loads((run[0] / name / "stage.json").read_text())


def test_every_stage_ran_and_the_last_one_is_the_result(run):
    assert f"model: {run[0] / 'refinetune' / 'model'}" in run[1]
    assert stage(run, "pretrain_other")["weights"]["audio"] == "random weights"
    other = json.loads((run[0] / "pretrain_other" / "model" / "config.json").read_text())
    assert (other["projection_dim"], other["audio_config"]["hidden_size"]) == (6, 16)


def test_teachers_are_read_from_banks_of_their_own_widths(run):
    teachers = stage(run, "finetune")["teachers"]
    assert [(teacher["source"], teacher["weight"]) for teacher in teachers] == [
        ("pretrain", 1),
        ("pretrain_other", 3),
    ]
    banks = sorted((run[0] / "finetune" / "teachers").iterdir())
    assert [TeacherBank.load(bank).fingerprint for bank in banks] == [
        teacher["fingerprint"] for teacher in teachers
    ]


def test_each_part_of_the_loss_is_logged(run):
    parts = {name for entry in stage(run, "finetune")["log"] for name in entry}
    assert {"loss", "loss_contrastive", "loss_distillation"} <= parts
    assert "loss_cluster_audio" not in parts
    parts = {name for entry in stage(run, "refinetune")["log"] for name in entry}
    assert {"loss_distillation", "loss_cluster_audio", "loss_cluster_text"} <= parts
    first = next(entry for entry in stage(run, "finetune")["log"] if "loss" in entry)
    assert first["loss"] == pytest.approx(first["loss_contrastive"] + first["loss_distillation"], abs=1e-3)


def test_cluster_heads_are_in_the_last_stage_only(run):
    heads = {
        name: [key for key in weights_of(run[0] / name / "model") if "cluster_head" in key]
        for name in ("pretrain", "finetune", "refinetune")
    }
    assert not heads["pretrain"] and not heads["finetune"]
    assert len(heads["refinetune"]) == 8
    assert CaptionClusters.load(run[0] / "refinetune" / "clusters").num_clusters == 3
    assert all(torch.isfinite(value).all() for value in weights_of(run[0] / "refinetune" / "model").values())


def test_again_everything_is_skipped(run):
    before = weights_of(run[0] / "refinetune" / "model")
    again = run_train(run[2])
    assert again.stderr.count("is finished: skipped") == 4
    after = weights_of(run[0] / "refinetune" / "model")
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_card_shows_clusters_teachers_recipe_and_metrics(run):
    card = render_model_card(run[0])
    fingerprint = stage(run, "refinetune")["teachers"][1]["fingerprint"]
    assert f"| refinetune | pretrain_other | 1.0 | `{fingerprint[:16]}` |" in card
    assert "Stage refinetune: 3 clusters by kmeans" in card
    assert "word_deletion: 0.8" in card
    figures = json.loads((run[0] / "results.json").read_text())["figures"]["test"]
    results = json.loads((run[0] / "results.json").read_text())
    low, high = results["intervals"]["test"]["text_to_audio_mAP@16"]
    assert low <= figures["text_to_audio_mAP@16"] <= high
    shown = f"{figures['text_to_audio_mAP@16']:.3f} [{low:.3f}, {high:.3f}]"
    assert f"| test | text to audio | {shown} |" in card
    assert str(run[0].parent) not in card


def test_an_unfinished_run_has_no_card(run, tmp_path):
    with pytest.raises(CardError, match=r"no run\.json found"):
        render_model_card(tmp_path)


def test_a_frozen_text_tower_pools_the_captions_of_all_stages_once(tmp_path):
    recipe = three_stages(tmp_path)
    recipe["training"] |= {"freeze": ["text"]}
    recipe["stages"] = [recipe["stages"][0], recipe["stages"][3]]
    recipe["stages"][1]["distillation"] = {"teachers": ["pretrain"]}
    recipe["stages"][1]["clusters"]["embed_with"] = "pretrain"
    run_train(write_recipe(tmp_path / "recipe.yaml", recipe))
    (kept,) = (tmp_path / "run" / "pooled_captions").iterdir()
    tables = [
        load_captioned_folder(tmp_path / "sounds", split=split) for split in ("train", "validation", "test")
    ]
    captions = {caption for table in tables for caption in table["caption"]}
    assert sorted(parquet.read_table(kept)["caption"].to_pylist()) == sorted(captions)
    teacher = load_model(str(tmp_path / "run" / "pretrain" / "model"))
    bank = TeacherBank.load(tmp_path / "run" / "refinetune" / "teachers" / "0-pretrain")
    aligned = AlignedTeachers.align([bank], None, tables[0])
    expected = embed_captions(teacher.model, teacher.processor, list(tables[0]["caption"]))
    found = np.stack([aligned.caption_vectors(row) for row in range(len(aligned))])
    np.testing.assert_allclose(found, expected, atol=1e-6)
