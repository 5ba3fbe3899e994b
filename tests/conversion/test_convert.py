"""Published checkpoints become directories that load anywhere and give the reference's outputs."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from parity_cases import case_id, find_cases, find_checkpoints, read_case
from safetensors.torch import save_file
from typer.testing import CliRunner

from auricle.cli.convert import convert
from auricle.conversion import ConversionError, convert_checkpoint, load_published
from auricle.conversion.convert import sha256_of
from auricle.modeling import AUDIO_MODELS, BeatsModel
from auricle.processing import AuricleFeatureExtractor

TOWERS = ("passt", "beats", "eat")
HEADS = {"passt": 4, "beats": None, "eat": None}
PUBLISHED = [(tower, path) for tower in TOWERS for path in find_checkpoints(tower)]
STAGED = [
    (tower, path)
    for tower in TOWERS
    for path in find_cases(tower)
    if {"hidden_01"} <= read_case(path).outputs.keys()
]


def pair_id(value):
    return case_id(value) if isinstance(value, Path) else value


def published(tower: str) -> dict:
    return torch.load(find_checkpoints(tower)[0], weights_only=True)


def write_published(tower: str, case, path: Path) -> int | None:
    """A recorded case's weights in the layout of the published file; the heads if the file does not tell."""
    reference = case.meta["config"]
    if tower == "passt":
        weights = {
            key: value for key, value in case.weights.items() if not key.startswith("audio_projection")
        }
        torch.save(weights, path)
        return reference["num_heads"]
    if tower == "beats":
        torch.save({"cfg": reference, "model": case.weights}, path)
        return None
    model = {"depth": reference["depth"], "num_heads": reference["num_heads"], "layer_norm_first": False}
    torch.save({"args": None, "cfg": {"model": model}, "model": case.weights, "criterion": None}, path)
    return None


@pytest.mark.parametrize("tower,path", PUBLISHED, ids=pair_id)
def test_published_files_convert_tensor_by_tensor(tower, path, tmp_path):
    report = convert_checkpoint(tower, path, tmp_path / "out", attention_heads=HEADS[tower])
    model = AUDIO_MODELS[f"auricle_{tower}"].from_pretrained(tmp_path / "out")
    contents = torch.load(path, weights_only=True)
    weights = contents if tower == "passt" else contents["model"]
    state = model.state_dict()
    names = {
        name: name.removeprefix("modality_encoders.IMAGE.").replace("context_encoder.norm", "pre_norm")
        for name in weights
        if name not in report.dropped
    }
    assert sorted(names.values()) == sorted(state)
    assert all(torch.equal(state[ours], weights[theirs]) for theirs, ours in names.items())
    assert all(reason for reason in report.dropped.values())
    assert report.parameters == sum(tensor.numel() for tensor in state.values())
    assert report.weights_sha256 == sha256_of(tmp_path / "out" / "model.safetensors")
    assert report.source_sha256 == sha256_of(path)
    record = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert record["source_sha256"] == report.source_sha256 and record["dropped"] == report.dropped
    assert AuricleFeatureExtractor.from_pretrained(tmp_path / "out").front_end == tower
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("tower,path", STAGED, ids=pair_id)
def test_converted_encoders_give_the_recorded_outputs(tower, path, tmp_path):
    case = read_case(path)
    heads = write_published(tower, case, tmp_path / "published.pt")
    convert_checkpoint(tower, tmp_path / "published.pt", tmp_path / "out", attention_heads=heads)
    model = AUDIO_MODELS[f"auricle_{tower}"].from_pretrained(tmp_path / "out").eval()
    if any(name.startswith("keep_") or name == "time_pos_offset" for name in case.outputs):
        pytest.skip("recorded in training mode")
    if tower == "passt":
        arguments, expected = (case.outputs["logmel"].transpose(1, 2),), case.outputs["pooled"]
    elif tower == "eat":
        padded = case.inputs.get("patch_padding_mask")
        arguments = (case.outputs["fbank"][:, 0], None if padded is None else ~padded)
        expected = case.outputs["cls"]
    else:
        model.config.padding_mask = "reference"
        arguments = (case.outputs["fbank"],)
        if "frame_mask" in case.outputs:
            arguments += (~case.outputs["frame_mask"],)
        expected = case.outputs.get("mean_valid")
    with torch.no_grad():
        output = model(*arguments)
    if expected is not None:
        assert (output.pooler_output - expected).abs().max() <= 1e-5
    else:
        last = max(name for name in case.outputs if name.startswith("hidden_"))
        assert (output.last_hidden_state - case.outputs[last]).abs().max() <= 1e-5


def test_eat_converts_from_the_port_on_the_hub_too(tmp_path):
    contents = published("eat")["model"]
    prefix = "modality_encoders.IMAGE."
    port = {
        "model." + name.removeprefix(prefix).replace("context_encoder.norm", "pre_norm"): tensor
        for name, tensor in contents.items()
        if torch.is_tensor(tensor) and "decoder" not in name
    }
    port |= {"model.fc_norm.weight": torch.ones(48), "model.head.weight": torch.ones(5, 48)}
    save_file(port, tmp_path / "model.safetensors")
    model, report = load_published("eat", tmp_path / "model.safetensors", attention_heads=4, pooling="mean")
    other, _ = load_published("eat", find_checkpoints("eat")[0])
    assert set(report.dropped) == {"fc_norm.weight", "head.weight"}
    assert model.config.pooling == "mean" and other.config.pooling == "cls"
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_half_precision_files_become_float32(tmp_path):
    weights = {name: tensor.half() for name, tensor in published("passt").items()}
    torch.save({"model": weights}, tmp_path / "half.pt")
    model, _ = load_published("passt", tmp_path / "half.pt", attention_heads=4)
    assert all(tensor.dtype == torch.float32 for tensor in model.state_dict().values())
    assert torch.equal(model.cls_token, weights["cls_token"].float())


def test_newer_names_of_weight_norm_are_known(tmp_path):
    contents = published("beats")
    weights = contents["model"]
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        weights[f"encoder.pos_conv.0.parametrizations.weight.{new}"] = weights.pop(
            f"encoder.pos_conv.0.{old}"
        )
    torch.save(contents, tmp_path / "new.pt")
    model, _ = load_published("beats", tmp_path / "new.pt")
    other, _ = load_published("beats", find_checkpoints("beats")[0])
    assert torch.equal(model.encoder.pos_conv[0].weight_v, other.encoder.pos_conv[0].weight_v)


def refuse(tower: str, contents, tmp_path: Path, message: str) -> None:
    """Conversion fails with one line that matches, and leaves nothing behind."""
    source = tmp_path / "source" / "bad.pt"
    source.parent.mkdir(exist_ok=True)
    torch.save(contents, source)
    target = tmp_path / "target"
    target.mkdir(exist_ok=True)
    with pytest.raises(ConversionError, match=message) as caught:
        convert_checkpoint(tower, source, target / "out", attention_heads=HEADS[tower])
    assert "bad.pt" in str(caught.value) and "\n" not in str(caught.value)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(("right", "wrong"), itertools.permutations(TOWERS, 2))
def test_another_models_file_is_recognised(right, wrong, tmp_path):
    refuse(wrong, published(right), tmp_path, f"run `auricle convert {right}`")


def test_an_unknown_models_file_is_described(tmp_path):
    refuse(
        "eat",
        {"encoder.embed.weight": torch.ones(2, 2)},
        tmp_path,
        "not a checkpoint of EAT.*encoder.embed.weight",
    )
    refuse("eat", {"epoch": 3}, tmp_path, "no model weights.*epoch")
    refuse("eat", [1, 2], tmp_path, "no model weights")


MISSING = {"passt": "norm.bias", "beats": "encoder.layers.1.fc2.bias", "eat": "blocks.1.attn.proj.bias"}


@pytest.mark.parametrize("tower", TOWERS)
def test_a_missing_an_extra_and_a_misshapen_key_are_named(tower, tmp_path):
    def weights_of(contents):
        return contents if tower == "passt" else contents["model"]

    contents = published(tower)
    del weights_of(contents)[MISSING[tower]]
    refuse(tower, contents, tmp_path, rf"missing \(1\): {MISSING[tower]}")

    contents = published(tower)
    weights_of(contents)["blocks.0.layer_scale"] = torch.ones(3)
    refuse(tower, contents, tmp_path, r"not part of the model \(1\): blocks.0.layer_scale")

    contents = published(tower)
    weights_of(contents)[MISSING[tower]] = torch.ones(7)
    refuse(tower, contents, tmp_path, rf"wrong shape \(1\): {MISSING[tower]} \(7,\) in place of")

    contents = published(tower)
    for name in [name for name in weights_of(contents) if ".0." in name and not name.startswith("head")]:
        del weights_of(contents)[name]
    refuse(tower, contents, tmp_path, "missing")


def test_eat_messages_use_the_published_names(tmp_path):
    contents = published("eat")
    del contents["model"]["modality_encoders.IMAGE.context_encoder.norm.bias"]
    refuse("eat", contents, tmp_path, "missing.*modality_encoders.IMAGE.context_encoder.norm.bias")


@pytest.mark.parametrize(
    "field,value", [("layer_norm_first", True), ("gru_rel_pos", False), ("activation_fn", "glu")]
)
def test_beats_of_another_architecture_are_refused(field, value, tmp_path):
    contents = published("beats")
    contents["cfg"][field] = value
    refuse("beats", contents, tmp_path, field)


def test_beats_without_its_settings_is_refused(tmp_path):
    refuse("beats", published("beats")["model"], tmp_path, "'cfg' lacks")


def test_beats_with_different_position_tables_is_refused(tmp_path):
    contents = published("beats")
    contents["model"]["encoder.layers.1.self_attn.relative_attention_bias.weight"] = torch.ones(320, 4)
    refuse("beats", contents, tmp_path, "layers.1.*differs")


def test_passt_without_a_head_count_that_divides_is_refused(tmp_path):
    torch.save(published("passt"), tmp_path / "tiny.pt")
    with pytest.raises(ConversionError, match="--attention-heads"):
        convert_checkpoint("passt", tmp_path / "tiny.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_or_blocked_target_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(ConversionError, match="not an empty directory"):
        convert_checkpoint("beats", find_checkpoints("beats")[0], tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
    (tmp_path / "file").write_text("")
    with pytest.raises((ConversionError, OSError)):
        convert_checkpoint("beats", find_checkpoints("beats")[0], tmp_path / "file" / "out")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file", "out"]


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    contents = published("eat")
    contents["model"]["modality_encoders.IMAGE.context_encoder.norm.bias"][3] = float("nan")
    refuse("eat", contents, tmp_path, "1 tensors have NaN.*modality_encoders.IMAGE.context_encoder.norm.bias")


def test_a_model_that_does_not_load_back_equal_is_not_kept(tmp_path, monkeypatch):
    """A loader that changes a weight is caught, and the half-made directory goes."""
    loader = BeatsModel.from_pretrained.__func__

    def careless(cls, *arguments, **options):
        model = loader(cls, *arguments, **options)
        model.layer_norm.bias.data[0] += 1e-6
        return model

    monkeypatch.setattr(BeatsModel, "from_pretrained", classmethod(careless))
    with pytest.raises(ConversionError, match="weights differ after reloading"):
        convert_checkpoint("beats", find_checkpoints("beats")[0], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


LOAD_ELSEWHERE = """
import sys
class NoPackage:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "auricle":
            raise ImportError("the package is not here")
sys.meta_path.insert(0, NoPackage())
import numpy, torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
sound = numpy.sin(numpy.arange(16000) * 0.05).astype("float32")
for tower in sys.argv[1:]:
    assert AutoConfig.from_pretrained(tower, trust_remote_code=True).model_type == f"auricle_{tower}"
    extractor = AutoFeatureExtractor.from_pretrained(tower, trust_remote_code=True)
    model = AutoModel.from_pretrained(tower, trust_remote_code=True).eval()
    inputs = extractor(sound, sampling_rate=16000)
    with torch.no_grad():
        torch.save(model(**inputs).pooler_output, f"{tower}.pt")
"""


def test_the_directories_load_in_a_process_without_the_package(tmp_path):
    for tower in TOWERS:
        source = find_checkpoints(tower)[0]
        convert_checkpoint(tower, source, tmp_path / tower, attention_heads=HEADS[tower])
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD_ELSEWHERE, *TOWERS],
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    sound = np.sin(np.arange(16000) * 0.05).astype(np.float32)
    for tower in TOWERS:
        inputs = AuricleFeatureExtractor.from_pretrained(tmp_path / tower)(sound, sampling_rate=16000)
        inputs.pop("segment_counts")
        with torch.no_grad():
            model = AUDIO_MODELS[f"auricle_{tower}"].from_pretrained(tmp_path / tower).eval()
            expected = model(**inputs).pooler_output
        assert torch.equal(torch.load(tmp_path / f"{tower}.pt"), expected)


def test_command_line(tmp_path):
    app = typer.Typer()
    app.command()(convert)
    run = CliRunner().invoke
    source = str(find_checkpoints("beats")[0])
    good = run(app, ["beats", source, str(tmp_path / "out")])
    assert good.exit_code == 0, good.output
    assert "copy of the first layer's position table" in good.output
    assert sha256_of(source) in good.output and (tmp_path / "out" / "model.safetensors").exists()
    bad = run(app, ["eat", source, str(tmp_path / "other")])
    assert bad.exit_code == 2
    assert (
        "error:" in bad.output
        and "run `auricle convert beats`" in bad.output
        and "Traceback" not in bad.output
    )
    assert not (tmp_path / "other").exists()
