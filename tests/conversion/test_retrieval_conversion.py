"""salsa and the DCASE 2025 baseline become dual encoders whose similarities are the publishers'."""

import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from miniature_retrieval import (
    AUDIO,
    cut,
    miniature,
    published_weights,
    refused,
    settings_of,
    tokenizer_dir,
    write_lightning,
    write_miniature,
)
from parity_cases import parity_roots
from safetensors.torch import load_file
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.conversion import convert_retrieval
from auricle.conversion.convert import sha256_of
from auricle.encoders.auricle_checkpoint import load_pretrained
from auricle.encoders.model_fingerprint import model_fingerprint

PUBLISHERS = ("salsa", "dcase2025_baseline")
CAPTIONS = ["A dog barks, twice.", "Rain - and  wind", 'It\'s raining "loudly" ;']
# Whole checkpoints in the publishers' format beside the publishers' own outputs.
RECORDED = [
    checkpoint
    for root in parity_roots()
    for case in sorted(root.rglob("case.json"))
    for checkpoint in sorted(case.parent.glob("*.ckpt"))
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    return tokenizer_dir(tmp_path_factory.mktemp("tokenizer"))


# ------------------------------------------------------------------------------ the publishers' outputs

ANSWER_ELSEWHERE = """
import json, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "auricle":
            raise ModuleNotFoundError("the package is not here", name=name)
sys.meta_path.insert(0, Absent())
import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoProcessor
for directory, case in json.loads(sys.argv[1]):
    captions = json.load(open(f"{case}/case.json"))["captions"]
    clips = [f"{case}/{name}" for name in json.load(open(f"{case}/case.json"))["clips"]]
    model = AutoModel.from_pretrained(directory, trust_remote_code=True).eval()
    processor = AutoProcessor.from_pretrained(directory, trust_remote_code=True)
    with torch.no_grad():
        text = model.get_text_features(**processor(text=captions)).pooler_output
        audio = model.get_audio_features(**processor(audio=clips)).pooler_output
    save_file({"text_embeds": text, "audio_embeds": audio}, f"{directory}.answers")
"""


@pytest.mark.skipif(
    not RECORDED, reason="AURICLE_PARITY_DIR names no directory with whole retrieval checkpoints"
)
def test_similarities_are_the_publishers_in_a_process_without_the_package(tmp_path):
    work = []
    for number, checkpoint in enumerate(RECORDED):
        case = json.loads((checkpoint.parent / "case.json").read_text())
        words = checkpoint.parent / case["tokenizer"]
        arguments = ["convert", "retrieval", checkpoint, tmp_path / str(number), "--tokenizer", words]
        done = CliRunner().invoke(app, list(map(str, arguments)))
        assert done.exit_code == 0, done.output
        work.append((str(tmp_path / str(number)), str(checkpoint.parent)))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-I", "-c", ANSWER_ELSEWHERE, json.dumps(work)],
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    for directory, case in work:
        expected = load_file(f"{case}/expected.safetensors")
        got = load_file(f"{directory}.answers")
        for name in ("text_embeds", "audio_embeds"):
            assert (got[name] - expected[f"out/{name}"]).abs().max() <= 1e-5, (case, name)
        similarities = got["text_embeds"] @ got["audio_embeds"].T
        assert (similarities - expected["out/similarities"]).abs().max() <= 1e-5, case


# ----------------------------------------------------------------------------------------- miniatures


@pytest.mark.parametrize(
    ("publisher", "compiled"), [("salsa", False), ("dcase2025_baseline", False), ("dcase2025_baseline", True)]
)
def test_every_weight_goes_to_its_place(publisher, compiled, tokenizer, tmp_path):
    path = write_miniature(tmp_path, publisher, compiled=compiled)
    report = convert_retrieval(path, tmp_path / "out", tokenizer=tokenizer)
    model, processor = load_pretrained(tmp_path / "out")
    expected = miniature().state_dict()
    assert model.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    config = model.config
    assert (config.temperature, config.learn_temperature, config.text_pooling) == (0.05, False, "cls")
    assert (config.text_config.hidden_dropout_prob, config.text_config.attention_probs_dropout_prob) == (
        0.2,
        0.2,
    )
    assert (config.audio_config.patchout_time, config.audio_config.patchout_frequency) == (15, 2)
    extractor = processor.feature_extractor
    assert (extractor.min_tail_seconds, extractor.segment_seconds, extractor.sampling_rate) == (
        0.0,
        10.0,
        32000,
    )
    assert (processor.caption_normalization, processor.max_text_tokens) == ("publisher", 32)
    dropped = {
        f"{AUDIO}{name}.{part}" for name in ("head.0", "head.1", "head_dist") for part in ("weight", "bias")
    }
    if publisher == "salsa":
        dropped |= {"timing_tau", "audio_token", "posencode.w", "posencode.pe"}
    assert set(report.dropped) == dropped and all(report.dropped.values())
    assert report.source_sha256 == sha256_of(path)
    assert report.weights_sha256 == sha256_of(tmp_path / "out" / "model.safetensors")
    assert report.parameters == sum(tensor.numel() for tensor in expected.values())
    assert any("_orig_mod." in note for note in report.notes) == compiled
    record = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert record["tower"] == "retrieval" and record["dropped"] == report.dropped
    assert str(tmp_path) not in json.dumps(record)


def test_inputs_follow_the_publishers_rules(tokenizer, tmp_path):
    """White space is kept, and a rest of 50 ms makes a segment."""
    convert_retrieval(write_miniature(tmp_path, "salsa"), tmp_path / "out", tokenizer=tokenizer)
    _, processor = load_pretrained(tmp_path / "out")
    assert processor.prepare_text(CAPTIONS) == ["a dog barks twice", "rain  and  wind", "its raining loudly "]
    with pytest.raises(ValueError, match="contains no word"):
        processor.prepare_text(" - ; ")
    clip = {"array": torch.zeros(round(10.05 * 32000)).numpy() + 0.1, "sampling_rate": 32000}
    assert processor(audio=clip)["segment_counts"].tolist() == [2]


@pytest.mark.parametrize(
    ("publisher", "settings", "expected"),
    [
        ("salsa", {"sentence_features.use_first_token": False}, {"text_pooling": "mean"}),
        ("salsa", {"freeze_tau": False}, {"learn_temperature": True}),
        ("dcase2025_baseline", {"tau_trainable": True}, {"learn_temperature": True}),
        ("salsa", {"audio_features.model_config.s_patchout_t": 0}, {"audio_config.patchout_time": 0}),
        ("dcase2025_baseline", {"s_patchout_f": 99}, {"audio_config.patchout_frequency": 7}),
    ],
)
def test_settings_become_the_configs(publisher, settings, expected, tokenizer, tmp_path):
    path = write_miniature(tmp_path, publisher, settings=settings, tau=-0.07)
    convert_retrieval(path, tmp_path / "out", tokenizer=tokenizer)
    model, _ = load_pretrained(tmp_path / "out")
    for name, value in expected.items():
        *inner, name = name.split(".")
        assert getattr(getattr(model.config, inner[0]) if inner else model.config, name) == value
    assert model.config.temperature == 0.07
    with torch.no_grad():
        scale = float(model.current_logit_scale())
    assert scale == pytest.approx(1 / 0.07, rel=1e-6)


def test_a_bert_and_another_limit_of_tokens(tmp_path):
    from tiny_models import tiny_text_encoder_dir

    path = write_miniature(
        tmp_path,
        "salsa",
        text="bert",
        settings={
            "sentence_features.model": "bert-base-uncased",
            "sentence_features.max_sentence_tokens": 12,
        },
    )
    words = tiny_text_encoder_dir(tmp_path / "bert")
    convert_retrieval(path, tmp_path / "out", tokenizer=words)
    model, processor = load_pretrained(tmp_path / "out")
    assert model.config.text_config.model_type == "bert" and model.config.text_config.layer_norm_eps == 1e-12
    assert processor(text="rain " * 50)["input_ids"].shape == (1, 12)


def test_half_precision_becomes_float32(tokenizer, tmp_path):
    weights = {name: tensor.half() for name, tensor in published_weights(miniature(), "salsa").items()}
    path = write_lightning(tmp_path / "half.ckpt", weights, settings_of("salsa"))
    convert_retrieval(path, tmp_path / "out", tokenizer=tokenizer)
    state = load_file(tmp_path / "out" / "model.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert torch.equal(state["audio_projection.bias"], weights["project_audio.0.bias"].float())


def test_a_bare_state_dict_of_the_baseline_is_enough_and_salsas_is_not(tokenizer, tmp_path):
    for publisher in PUBLISHERS:
        torch.save(published_weights(miniature(), publisher), tmp_path / f"{publisher}.pt")
    report = convert_retrieval(tmp_path / "dcase2025_baseline.pt", tmp_path / "out", tokenizer=tokenizer)
    assert any("no hyper_parameters" in note for note in report.notes)
    assert "has no hyper_parameters" in refused(tmp_path / "salsa.pt", tmp_path / "other", tokenizer)


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("normalize", False),
        ("audio_features.model", "mn40_as_ext"),
        ("audio_features.aggregate", "none"),
        ("audio_features.adopt_n_layers", 1),
        ("audio_features.sequence_model.num_layers", 2),
        ("audio_features.model_config.return_sequence", True),
        ("audio_features.use_local_model", True),
        ("audio_features.hop_length", 5),
        ("audio_features.segment_length", 7),
        ("audio_features.segment_length", 30),
        ("sentence_features.model", "gpt2"),
        ("sentence_features.model", "openai/clip-vit-base-patch32"),
        ("sentence_features.adopt_n_layers", 1),
        ("sentence_features.remove_punctuation", False),
        ("audio_dataset.sample_rate", 44100),
        ("use_keywords", True),
    ],
)
def test_settings_that_are_not_supported_are_named(path, value, tokenizer, tmp_path):
    changes = {path: value}
    if path == "audio_features.segment_length":
        changes["audio_features.hop_length"] = value
    message = refused(write_miniature(tmp_path, "salsa", settings=changes), tmp_path / "target", tokenizer)
    assert path in message and repr(value).strip("'") in message and "model.ckpt" in message
    assert "support" in message


@pytest.mark.parametrize("publisher", PUBLISHERS)
def test_missing_extra_and_misshapen_keys_go_by_the_publishers_names(publisher, tokenizer, tmp_path):
    text = "sentence_embedding_model." if publisher == "salsa" else "text_embedding_model."
    name = f"{text}encoder.layer.0.output.dense.bias"

    def message_of(change) -> str:
        weights = published_weights(miniature(), publisher)
        change(weights)
        path = write_lightning(tmp_path / "model.ckpt", weights, settings_of(publisher))
        return refused(path, tmp_path / "target", tokenizer)

    assert f"missing (1): {name}" in message_of(lambda weights: weights.pop(name))
    assert "not part of the model (1): audio_sequence.0.norm1.weight" in message_of(
        lambda weights: weights.update({"audio_sequence.0.norm1.weight": torch.ones(3)})
    )
    assert f"wrong shape (1): {name} (7,)" in message_of(
        lambda weights: weights.update({name: torch.ones(7)})
    )
    assert "'tau' is missing" in message_of(lambda weights: weights.pop("tau"))
    assert "tau, the temperature, is 0.0" in message_of(lambda weights: weights.update(tau=torch.zeros(1)))
    broken = f"{AUDIO}blocks.0.norm1.bias"
    assert f"1 tensors have NaN or infinite values; the first is {broken}" in message_of(
        lambda weights: weights[broken].fill_(float("inf"))
    )


def test_tokenizers_that_do_not_fit_are_refused(tokenizer, tmp_path):
    path = write_miniature(tmp_path, "salsa")
    (tmp_path / "empty").mkdir()
    assert "empty: cannot be loaded" in refused(path, tmp_path / "target", tmp_path / "empty")
    missing = refused(path, tmp_path / "target", "no/such-tokenizer")
    assert "no/such-tokenizer: not a directory" in missing and "roberta-large" in missing
    from tiny_models import tiny_text_encoder_dir

    other = tiny_text_encoder_dir(tmp_path / "bert")
    assert "its pad token is 0, that of the checkpoint's roberta is 1" in refused(
        path, tmp_path / "target", other
    )
    larger = tokenizer_dir(tmp_path / "larger")
    saved = json.loads((larger / "tokenizer.json").read_text())
    start = len(saved["model"]["vocab"])
    saved["model"]["vocab"] |= {f"word{number}": start + number for number in range(400)}
    (larger / "tokenizer.json").write_text(json.dumps(saved))
    assert "tokens, the checkpoint's text tower expects" in refused(path, tmp_path / "target", larger)


def test_a_form_of_captions_in_the_given_tokenizer_gives_way(tokenizer, tmp_path):
    path = write_miniature(tmp_path, "salsa")
    convert_retrieval(path, tmp_path / "first", tokenizer=tokenizer)
    model, processor = load_pretrained(tmp_path / "first")
    processor.caption_normalization = "auricle-2"
    processor.save_pretrained(tmp_path / "changed")
    convert_retrieval(path, tmp_path / "second", tokenizer=tmp_path / "changed")
    again, same = load_pretrained(tmp_path / "second")
    processor.caption_normalization = "publisher"
    assert model_fingerprint(again, same) == model_fingerprint(model, processor)
    assert same.tokenizer.backend_tokenizer.to_str() == processor.tokenizer.backend_tokenizer.to_str()


# --------------------------------------------------------------------------------------- command line


def run(*arguments) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    assert "Traceback" not in done.output
    return done.exit_code, done.output


def test_the_command_says_what_was_done(tokenizer, tmp_path):
    parts = cut(write_miniature(tmp_path, "salsa"), 3)
    code, output = run("retrieval", *parts, tmp_path / "out", "--tokenizer", tokenizer)
    assert code == 0, output
    for sign in (
        "verified after reloading",
        "skipped timing_tau",
        f"skipped {AUDIO}head.0.weight and 5 more",
    ):
        assert sign in output
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_the_command_refuses_options_of_the_other_kind(tokenizer, tmp_path):
    path = write_miniature(tmp_path, "salsa")
    for arguments, message in (
        (["retrieval", path, tmp_path / "out"], "give its directory or Hub id with --tokenizer"),
        (
            ["retrieval", path, tmp_path / "out", "--tokenizer", tokenizer, "--pooling", "mean"],
            "--pooling does not",
        ),
        (["passt", path, tmp_path / "out", "--tokenizer", tokenizer], "--tokenizer does not apply"),
        (["passt", path, path, tmp_path / "out"], "got 2 files for one passt encoder"),
    ):
        code, output = run(*arguments)
        assert code == 2 and message in output and not (tmp_path / "out").exists()


# --------------------------------------------------------------------------------------------- memory

MEASURE = """
import sys
from auricle.conversion import convert_retrieval
import resource, torch, transformers
def kilobytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
before = kilobytes("VmRSS")
convert_retrieval(sys.argv[1], sys.argv[2], tokenizer=sys.argv[3])
print(kilobytes("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_the_optimizers_state_is_not_read(tokenizer, tmp_path):
    """5 GB of it lie beside weights of half a megabyte; the file is sparse, so that it costs no disk."""
    weights = published_weights(miniature(), "dcase2025_baseline")
    large = {"state": {0: {"exp_avg": torch.empty(5_000, 250_000)}}, "param_groups": []}
    path = tmp_path / "large.ckpt"

    def save_sparse(contents, place):
        with torch.serialization.skip_data():
            torch.save(contents, place)

    write_lightning(path, weights, settings_of("dcase2025_baseline"), large, save_sparse)
    with torch.serialization.set_default_mmap_options(mmap.MAP_SHARED):
        for name, tensor in torch.load(path, mmap=True, weights_only=True)["state_dict"].items():
            tensor.copy_(weights[name])
    assert path.stat().st_size > 5e9 and path.stat().st_blocks * 512 < 1e8
    arguments = [sys.executable, "-c", MEASURE, path, tmp_path / "out", tokenizer]
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300_000, f"{int(done.stdout) / 1000:.0f} MB more than before"
