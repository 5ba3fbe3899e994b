"""Exported towers answer like the model, with any number of captions and segments, without torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import saved_tiny_model
from transformers import AutoTokenizer
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.encoders.auricle_embedding import embed_captions, embed_clips
from auricle.encoders.onnx_towers import OnnxAudioTower, OnnxTextTower
from auricle.hub import onnx_export
from auricle.hub.onnx_export import ExportError, export_onnx
from auricle.processing import AuricleProcessor

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

CAPTIONS = [
    "A dog barks!",
    "rain",
    "two short tones, then a long low tone on and on and on while a bell rings",
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp("export")
    model, processor = saved_tiny_model(root / "model")
    record = export_onnx(root / "model", root / "onnx")
    return root, model, processor, record


def test_captions_alone_and_together(exported):
    root, model, processor, record = exported
    tower = OnnxTextTower(root / "onnx")
    expected = embed_captions(model, processor, CAPTIONS)
    assert np.abs(tower.embed(CAPTIONS) - expected).max() < 1e-5
    for caption, row in zip(CAPTIONS, expected, strict=True):
        assert np.abs(tower.embed([caption])[0] - row).max() < 1e-5
    assert record["towers"]["text"]["largest_difference"] < 1e-5
    assert tower.fingerprint == record["fingerprint"]


@pytest.mark.parametrize("name", ["text_tower.onnx", "audio_tower.onnx"])
def test_an_export_names_no_path_of_this_machine(exported, name):
    content = (exported[0] / "onnx" / name).read_bytes()
    assert b".py" not in content and str(Path(torch.__file__).parents[1]).encode() not in content


def test_long_captions_are_cut_alike(exported):
    root, model, processor, _ = exported
    caption = "dog rain bell siren bird engine " * 20
    tower = OnnxTextTower(root / "onnx")
    assert tower.record["max_text_tokens"] == 32
    assert tower.count_tokens(["a dog", caption]) == [4, 122]
    assert (
        np.abs(
            OnnxTextTower(root / "onnx").embed([caption]) - embed_captions(model, processor, [caption])
        ).max()
        < 1e-5
    )


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5, 7.9])
def test_sounds_of_any_length(exported, seconds):
    root, model, processor, _ = exported
    sound = {
        "array": 0.1 * np.random.default_rng(0).standard_normal(round(16_000 * seconds)).astype(np.float32),
        "sampling_rate": 16_000,
    }
    expected, _ = embed_clips(model, processor, [sound])
    assert np.abs(OnnxAudioTower(root / "onnx").embed([sound], batch_size=2) - expected).max() < 1e-5


def test_8_bits_are_smaller_and_near(exported, tmp_path):
    root, model, processor, record = exported
    small = export_onnx(root / "model", tmp_path, int8=True)
    assert small["int8"] and small["fingerprint"] == record["fingerprint"]
    assert small["towers"]["text"]["lowest_cosine"] > 0.9
    # The networks are tiny: what is left is mostly the graph.
    assert small["towers"]["audio"]["bytes"] != record["towers"]["audio"]["bytes"]
    near = (OnnxTextTower(tmp_path).embed(CAPTIONS) * embed_captions(model, processor, CAPTIONS)).sum(axis=1)
    assert near.min() > 0.9


def test_the_text_tower_needs_neither_torch_nor_transformers(exported):
    root, model, processor, _ = exported
    code = (
        "import sys, json\n"
        "from auricle.encoders.onnx_towers import OnnxTextTower\n"
        f"rows = OnnxTextTower({str(root / 'onnx')!r}).embed(['a dog barks'])\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'heavy'\n"
        "print(json.dumps(rows.tolist()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (
        np.abs(np.array(json.loads(done.stdout)) - embed_captions(model, processor, ["a dog barks"])).max()
        < 1e-5
    )


FORMS = ["A “dog” barks — LOUD!", 'A "dog" barks - LOUD!', "rain  rain"]


def test_captions_have_the_models_own_form(exported, tmp_path):
    root, model, processor, record = exported
    assert record["caption_normalization"] == "auricle-2"
    captions = embed_captions(model, processor, FORMS)
    assert np.abs(OnnxTextTower(root / "onnx").embed(FORMS) - captions).max() < 1e-5
    assert np.abs(captions[0] - captions[1]).max() == 0.0
    # Another form needs no other graph: the caption's form comes before it.
    shutil.copytree(root / "onnx", tmp_path / "onnx")
    publishers = AuricleProcessor(
        processor.feature_extractor, processor.tokenizer, caption_normalization="publisher"
    )
    publishers.save_pretrained(tmp_path / "onnx")
    (tmp_path / "onnx" / "onnx.json").write_text(json.dumps({**record, "caption_normalization": "publisher"}))
    tower = OnnxTextTower(tmp_path / "onnx")
    assert np.abs(tower.embed(FORMS) - embed_captions(model, publishers, FORMS)).max() < 1e-5
    with pytest.raises(ValueError, match="contains no word"):
        tower.embed(["rain", "?!"])


@pytest.mark.parametrize(("older", "name"), [(True, "auricle-1"), (False, "none")])
def test_an_export_from_before_forms_had_names_answers_as_then(exported, tmp_path, older, name):
    root, model, processor, record = exported
    shutil.copytree(root / "onnx", tmp_path / "onnx")
    before = {key: value for key, value in record.items() if key != "caption_normalization"}
    (tmp_path / "onnx" / "onnx.json").write_text(json.dumps({**before, "normalize_captions": older}))
    tokenizer = AutoTokenizer.from_pretrained(root / "text")
    tokenizer.save_pretrained(tmp_path / "onnx")
    then = AuricleProcessor(processor.feature_extractor, tokenizer, caption_normalization=name)
    got = OnnxTextTower(tmp_path / "onnx").embed(FORMS)
    assert np.abs(got - embed_captions(model, then, FORMS)).max() < 1e-5


def test_one_tower_alone(exported, tmp_path):
    root, *_ = exported
    done = CliRunner().invoke(app, ["export", str(root / "model"), str(tmp_path), "--towers", "text"])
    assert done.exit_code == 0, done.output
    assert "text: text_tower.onnx" in done.output and not (tmp_path / "audio_tower.onnx").exists()
    with pytest.raises(ValueError, match=r"no exported audio tower found, only \['text'\]"):
        OnnxAudioTower(tmp_path)


def test_an_export_that_answers_otherwise_is_refused(exported, tmp_path, monkeypatch):
    root, *_ = exported
    monkeypatch.setattr(onnx_export, "LARGEST_DIFFERENCE", 0.0)
    with pytest.raises(ExportError, match="outputs of the exported audio tower differ from the model"):
        export_onnx(root / "model", tmp_path, towers=("audio",))
    assert not (tmp_path / "audio_tower.onnx").exists()


def test_bad_questions(exported, tmp_path):
    root, *_ = exported
    with pytest.raises(ValueError, match="contains no words to search for"):
        OnnxTextTower(root / "onnx").embed(["!?"])
    with pytest.raises(ValueError, match="not written by"):
        OnnxTextTower(root / "model")
    with pytest.raises(ValueError, match="expected 'text', 'audio' or both"):
        export_onnx(root / "model", tmp_path, towers=("video",))
