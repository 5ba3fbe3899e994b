"""Loading a saved dual encoder: the same model, and one line about whatever is wrong with it."""

import json
import shutil

import pytest
import torch
from tiny_models import tiny_model_and_processor
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor

from auricle.auto_classes import register_auto_classes
from auricle.encoders import load_encoder
from auricle.encoders.auricle_checkpoint import load_pretrained
from auricle.modeling import AuricleConfig, AuricleModel
from auricle.processing import AuricleFeatureExtractor, AuricleProcessor


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model, processor = tiny_model_and_processor(folder, text_pooling="mean")
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    return folder


def test_it_is_the_model_that_was_saved(saved):
    expected, _ = tiny_model_and_processor(saved / "again", text_pooling="mean")
    model, processor = load_pretrained(saved / "model")
    assert type(model) is AuricleModel
    assert type(processor) is AuricleProcessor
    assert type(processor.feature_extractor) is AuricleFeatureExtractor
    assert not model.training
    for name, tensor in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_half_precision_checkpoints_load_in_single(saved, tmp_path):
    model, processor = load_pretrained(str(saved / "model"))
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, _ = load_pretrained(tmp_path)
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}


def test_auto_classes_find_the_package_without_trust(saved):
    register_auto_classes()
    register_auto_classes()
    kinds = {
        AutoConfig: AuricleConfig,
        AutoModel: AuricleModel,
        AutoFeatureExtractor: AuricleFeatureExtractor,
        AutoProcessor: AuricleProcessor,
    }
    for auto, expected in kinds.items():
        assert type(auto.from_pretrained(saved / "model", trust_remote_code=False)) is expected


def edit(folder, file, **values):
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**content, **values}))


FAULTS = {
    "no config": (lambda f: (f / "config.json").unlink(), "not a saved model (config.json is missing)"),
    "broken config": (lambda f: (f / "config.json").write_text("{"), "config.json"),
    "another model": (
        lambda f: edit(f, "config.json", model_type="bert"),
        "type 'bert'; expected 'auricle'",
    ),
    "unknown model": (lambda f: edit(f, "config.json", model_type="frobnicate"), "type 'frobnicate'"),
    "wrong type": (lambda f: edit(f, "config.json", projection_dim="wide"), "'projection_dim' expected int"),
    "wrong value": (lambda f: edit(f, "config.json", temperature=-1.0), "temperature=-1.0 must be above 0"),
    "wrong width": (lambda f: edit(f, "config.json", projection_dim=7), "such as audio_projection.bias"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no file named model.safetensors"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "weights cannot be loaded"),
    "cut weights": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:60_000]),
        "weights cannot be loaded",
    ),
    "no processor": (lambda f: (f / "processor_config.json").unlink(), "processor cannot be loaded"),
    "broken processor": (lambda f: (f / "processor_config.json").write_text("["), "processor_config.json"),
    "no words": (lambda f: (f / "tokenizer.json").unlink(), "tokenizer has no words"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_in_one_line(saved, tmp_path, fault, monkeypatch):
    spoil, message = FAULTS[fault]
    folder = tmp_path / "model"
    shutil.copytree(saved / "model", folder)
    spoil(folder)
    # A loader that would ask whether to run the checkpoint's own code fails here instead.
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked a question"))
    with pytest.raises(ValueError) as caught:
        load_pretrained(folder)
    assert str(folder) in str(caught.value)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_directory_names_its_models(saved, tmp_path):
    stages = [{"name": "first"}, {"name": "second"}, {"name": "third"}]
    (tmp_path / "run.json").write_text(json.dumps({"recipe": {"stages": stages}}))
    for stage in ("first", "second"):
        shutil.copytree(saved / "model", tmp_path / stage / "model")
    for load in (load_encoder, load_pretrained):
        with pytest.raises(ValueError) as caught:
            load(str(tmp_path))
        assert f"run; use {tmp_path / 'second' / 'model'} or {tmp_path / 'first' / 'model'}" in str(
            caught.value
        )
    with pytest.raises(ValueError, match="use .*second/model"):
        load_encoder(str(tmp_path / "second"))


def test_missing_weights_are_no_model(saved, tmp_path):
    model, processor = load_pretrained(saved / "model")
    weights = {name: tensor for name, tensor in model.state_dict().items() if "text_projection" not in name}
    model.save_pretrained(tmp_path, state_dict=weights)
    processor.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="2 tensors are missing .* such as text_projection.bias"):
        load_pretrained(tmp_path)


def test_a_text_encoder_alone_is_refused(saved):
    with pytest.raises(ValueError, match="contains a model of type 'bert'"):
        load_pretrained(saved / "text")


def test_a_name_that_nobody_has_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere/nothing: not a directory, and from the Hub it cannot"):
        load_pretrained("nowhere/nothing")
    with pytest.raises(ValueError, match="absent: not a directory"):
        load_pretrained(tmp_path / "absent")
