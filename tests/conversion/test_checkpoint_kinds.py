"""A file of another kind than was asked for is called what it is, in one line; wrappers' prefixes come off."""

import os
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from miniature_retrieval import (
    miniature,
    published_weights,
    sacred,
    settings_of,
    tokenizer_dir,
    write_lightning,
)
from parity_cases import find_checkpoints
from safetensors.torch import save_file
from tiny_models import saved_tiny_model
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.conversion import ConversionError, convert_retrieval, load_published
from auricle.conversion.checkpoint_reading import read_checkpoint
from auricle.conversion.key_plan import Checkpoint
from auricle.conversion.key_wrappers import without_wrappers

TOWERS = ("passt", "beats", "eat")
HEADS = {"passt": 4, "beats": None, "eat": None}


@pytest.fixture(scope="module")
def retrieval(tmp_path_factory) -> Path:
    """A miniature of the DCASE 2025 baseline."""
    weights = published_weights(miniature(), "dcase2025_baseline")
    folder = tmp_path_factory.mktemp("retrieval")
    return write_lightning(folder / "retrieval.ckpt", weights, settings_of("dcase2025_baseline"))


def refusal(kind: str, path: Path, tmp_path: Path) -> str:
    """What the command prints about a file that it does not take; nothing is left behind."""
    out = tmp_path / "made" / "out"
    more = ["--tokenizer", str(tokenizer_dir(tmp_path / "words"))] if kind == "retrieval" else []
    done = CliRunner().invoke(app, ["convert", kind, str(path), str(out), *more])
    assert done.exit_code == 2 and "Traceback" not in done.output
    assert done.output.startswith("error: ") and done.output.count("\n") == 1
    assert path.name in done.output and (not out.parent.exists() or not list(out.parent.iterdir()))
    return done.output


# ------------------------------------------------------------------------------------------ wrong kind


@pytest.mark.parametrize("tower", TOWERS)
def test_an_encoder_is_no_retrieval_model_and_the_other_way_round(tower, retrieval, tmp_path):
    encoder = find_checkpoints(tower)[0]
    message = refusal("retrieval", encoder, tmp_path)
    assert "only an audio encoder" in message and f"run `auricle convert {tower}` on it" in message
    message = refusal(tower, retrieval, tmp_path)
    assert "is a whole retrieval model in the format of DCASE 2025 baseline" in message
    assert "run `auricle convert retrieval` on it" in message


FOREIGN = {
    "LAION CLAP": {
        "module.audio_branch.patch_embed.proj.weight": (2, 2),
        "module.text_branch.embeddings.x": (2,),
        "module.logit_scale_a": (1,),
    },
    "CLAP in transformers' form": {
        "audio_model.audio_encoder.layers.0.x": (2,),
        "text_model.embeddings.word_embeddings.weight": (2, 2),
    },
    "MS-CLAP": {"caption_encoder.base.x": (2,), "audio_encoder.base.x": (2,)},
    "only a text encoder": {"embeddings.word_embeddings.weight": (2, 2), "encoder.layer.0.x": (2,)},
}


@pytest.mark.parametrize("kind", ["passt", "retrieval"])
@pytest.mark.parametrize("what", FOREIGN)
def test_models_of_others_are_called_by_their_names(what, kind, tmp_path):
    path = tmp_path / "foreign.pt"
    torch.save({"state_dict": {name: torch.ones(shape) for name, shape in FOREIGN[what].items()}}, path)
    assert f"is {what}, not " in refusal(kind, path, tmp_path)


def test_a_finished_model_needs_no_conversion(tmp_path):
    saved_tiny_model(tmp_path / "model")
    for kind in ("passt", "retrieval"):
        message = refusal(kind, tmp_path / "model" / "model.safetensors", tmp_path)
        assert "is a finished Auricle model" in message and "use its directory" in message


def test_an_unknown_file_is_described_by_its_keys(tmp_path):
    save_file({"layer.weight": torch.ones(2)}, tmp_path / "unknown.safetensors")
    message = refusal("retrieval", tmp_path / "unknown.safetensors", tmp_path)
    assert "neither salsa's nor the DCASE 2025 baseline's" in message and "'layer.weight'" in message


def make_zip_of_a_checkpoint(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("download/passt_roberta.ckpt", b"x")


def make_other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", b"x")


def make_program(path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), str(path))


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.parametrize("kind", ["beats", "retrieval"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_zip_of_a_checkpoint, "It contains download/passt_roberta.ckpt: unpack it and give that file"),
        (make_other_zip, "this zip archive was not written by torch"),
        (make_program, "is a TorchScript program, not a checkpoint"),
        (
            lambda path: path.write_text("<!DOCTYPE html><title>Sign in</title>"),
            "is a web page, not a checkpoint",
        ),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: None, "file not found"),
    ],
)
def test_what_is_no_checkpoint_says_what_it_is(kind, make, message, tmp_path):
    make(tmp_path / "thing.bin")
    assert message in refusal(kind, tmp_path / "thing.bin", tmp_path)


# --------------------------------------------------------------------------------------------- wrappers


@pytest.mark.parametrize(
    "prefix", ["net.", "model.", "module.", "_orig_mod.", "module._orig_mod.", "net.model."]
)
@pytest.mark.parametrize("tower", TOWERS)
def test_a_wrappers_prefix_comes_off_and_is_told(tower, prefix, tmp_path):
    contents = read_checkpoint(find_checkpoints(tower)[0])
    weights = contents if tower == "passt" else contents["model"]
    wrapped = {prefix + name: value for name, value in weights.items()}
    torch.save(wrapped if tower == "passt" else {**contents, "model": wrapped}, tmp_path / "wrapped.pt")
    model, report = load_published(tower, tmp_path / "wrapped.pt", attention_heads=HEADS[tower])
    plain, bare = load_published(tower, find_checkpoints(tower)[0], attention_heads=HEADS[tower])
    assert all(torch.equal(tensor, plain.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert report.dropped == bare.dropped and bare.notes == []
    told = " ".join(report.notes)
    for part in ("_orig_mod.", prefix.replace("_orig_mod.", "")):
        assert part not in prefix or part in told


@pytest.mark.parametrize("prefix", ["net.", "module.model."])
def test_a_wrapped_retrieval_model_converts_too(prefix, tmp_path):
    weights = published_weights(miniature(), "salsa")
    wrapped = {prefix + name: value for name, value in weights.items()}
    path = write_lightning(tmp_path / "wrapped.ckpt", wrapped, settings_of("salsa"))
    report = convert_retrieval(path, tmp_path / "out", tokenizer=tokenizer_dir(tmp_path / "words"))
    assert f"removed the prefix '{prefix}' from all {len(wrapped)} keys" in report.notes
    assert "timing_tau" in report.dropped


def test_a_prefix_of_most_keys_stays_and_is_pointed_out(tmp_path):
    weights = {f"net.{name}": value for name, value in read_checkpoint(find_checkpoints("passt")[0]).items()}
    torch.save({**weights, "mel.window": torch.ones(3)}, tmp_path / "mixed.pt")
    message = refusal("passt", tmp_path / "mixed.pt", tmp_path)
    assert f"{len(weights)} of its {len(weights) + 1} keys begin with 'net.'" in message


def test_names_that_would_fall_together_are_refused():
    both = Checkpoint("twice.pt", {"a._orig_mod.b": torch.ones(1), "a.b": torch.ones(1)}, {})
    with pytest.raises(ConversionError, match=r"twice\.pt: contains 'a\.b' twice"):
        without_wrappers(both)


# -------------------------------------------------------------------------------------- sacred's settings


def test_sacreds_containers_come_out_as_plain_values_without_sacred(tmp_path):
    path = write_lightning(tmp_path / "a.ckpt", {"tau": torch.ones(1)}, settings_of("salsa"))
    assert b"custom_containers" in path.read_bytes() and "sacred" not in sys.modules
    settings = read_checkpoint(path)["hyper_parameters"]
    assert settings == settings_of("salsa")
    assert type(settings) is dict and type(settings["audio_features"]) is dict
    assert type(settings["distill_from"]) is list


def test_sacreds_own_code_does_not_run_even_where_it_is_installed(tmp_path):
    path = write_lightning(tmp_path / "a.ckpt", {"tau": torch.ones(1)}, settings_of("salsa"))
    with sacred():
        kind = sys.modules["sacred.config.custom_containers"].ReadOnlyDict
        kind.__init__ = lambda self, *_: pytest.fail("the library's code ran")
        assert read_checkpoint(path)["hyper_parameters"]["normalize"] is True


def test_code_hidden_in_the_settings_is_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'trap'}",)

    settings = settings_of("salsa", {"distill_from": [Bomb()]})
    path = write_lightning(tmp_path / "bomb.ckpt", published_weights(miniature(), "salsa"), settings)
    with pytest.raises(ConversionError, match=r"bomb\.ckpt: rejected: the file refers to \w+\.system"):
        convert_retrieval(path, tmp_path / "out", tokenizer=tokenizer_dir(tmp_path / "words"))
    assert not (tmp_path / "trap").exists() and not (tmp_path / "out").exists()
