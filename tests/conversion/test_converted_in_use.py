"""A converted retrieval model is one like any other: it is fine-tuned, teaches, is published and exported."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from miniature_retrieval import miniature, published_weights, settings_of, tokenizer_dir, write_lightning
from tiny_recipes import run_train, weights_of, write_captioned_folder, write_recipe
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.conversion import convert_retrieval
from auricle.encoders.auricle_checkpoint import load_pretrained
from auricle.encoders.auricle_embedding import embed_captions
from auricle.encoders.model_fingerprint import model_fingerprint
from auricle.encoders.onnx_towers import OnnxTextTower
from auricle.training.teachers.teacher_bank import TeacherBank

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def converted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    path = write_lightning(
        folder / "salsa.ckpt", published_weights(miniature(), "salsa"), settings_of("salsa")
    )
    convert_retrieval(path, folder / "model", tokenizer=tokenizer_dir(folder / "words"))
    write_captioned_folder(folder / "sounds", {"train": 4, "validation": 2, "test": 2}, seconds=(0.7, 1.5))
    return folder


def recipe(folder: Path, name: str, **more) -> dict:
    return {
        "name": name,
        "output_dir": str(folder / name),
        "data": {
            "source": "folder",
            "folder": {"path": str(folder / "sounds")},
            "cache_dir": str(folder / "cache"),
        },
        "training": {"epochs": 1, "batch_size": 4, "learning_rate": 1.0e-3, "log_every": 1},
        "stages": [{"name": "tune", "starts_from": str(folder / "model")}],
        **more,
    }


def run(*arguments) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.output


def test_it_is_fine_tuned_with_its_own_rules_and_published(converted):
    run_train(write_recipe(converted / "tuned.yaml", recipe(converted, "tuned")))
    tuned = converted / "tuned" / "tune" / "model"
    before, after = weights_of(converted / "model"), weights_of(tuned)
    assert before.keys() == after.keys()
    assert not torch.equal(before["audio_projection.weight"], after["audio_projection.weight"])
    _, processor = load_pretrained(tuned)
    assert (processor.caption_normalization, processor.feature_extractor.min_tail_seconds) == (
        "publisher",
        0.0,
    )
    shown = run("push", converted / "tuned", "someone/tuned", "--dry-run")
    for name in ("model.safetensors", "caption_normalizer.py", "tokenizer.json", "README.md"):
        assert name in shown
    assert str(converted) not in shown
    assert "wrote" in run("card", converted / "tuned")


def test_it_teaches(converted):
    run("embed", converted / "model", converted / "sounds", "--out", converted / "bank", "--no-progress")
    model, processor = load_pretrained(converted / "model")
    bank = TeacherBank.load(converted / "bank")
    assert bank.fingerprint == model_fingerprint(model, processor)
    teachers = {"teachers": [str(converted / "bank")]}
    run_train(write_recipe(converted / "taught.yaml", recipe(converted, "taught", distillation=teachers)))
    stage = json.loads((converted / "taught" / "tune" / "stage.json").read_text())
    assert len(stage["teachers"]) == 1


def test_it_is_exported(converted):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    run("export", converted / "model", converted / "onnx")
    captions = ["A dog barks, twice.", "Rain - and  wind", "rain"]
    model, processor = load_pretrained(converted / "model")
    expected = embed_captions(model, processor, captions)
    assert np.abs(OnnxTextTower(converted / "onnx").embed(captions) - expected).max() < 1e-5
    assert json.loads((converted / "onnx" / "onnx.json").read_text())["caption_normalization"] == "publisher"
