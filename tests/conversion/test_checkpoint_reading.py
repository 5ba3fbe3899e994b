"""Checkpoint files are read without running anything in them; every broken file gets one clear message."""

import argparse
import pickle
import sys
import types
import zipfile

import pytest
import torch
from parity_cases import find_checkpoints
from safetensors.torch import save_file

from auricle.conversion import ConversionError
from auricle.conversion.checkpoint_reading import InertValue, plain, read_checkpoint


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.fixture
def settings_library(monkeypatch):
    """A stand-in for the library that wrote a settings object; gone again when the file is read."""
    module = types.ModuleType("omegaconf")

    class DictConfig:
        def __init__(self, content):
            self.__dict__["_content"] = content
            self.__dict__["_metadata"] = None

        def __setstate__(self, state):
            raise AssertionError("the library's own code ran")

    class AnyNode:
        def __init__(self, value):
            self.__dict__["_val"] = value

    for kind in (DictConfig, AnyNode):
        kind.__module__, kind.__qualname__ = "omegaconf", kind.__name__
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "omegaconf", module)
    yield module
    sys.modules.pop("omegaconf", None)


@pytest.mark.parametrize("model", ["passt", "beats", "eat"])
def test_published_layouts_are_read(model):
    for path in find_checkpoints(model):
        contents = read_checkpoint(path)
        weights = contents if model == "passt" else contents["model"]
        expected = torch.load(path, weights_only=True)
        expected = expected if model == "passt" else expected["model"]
        assert weights.keys() == expected.keys()
        assert all(
            torch.equal(weights[key], expected[key]) for key in weights if torch.is_tensor(weights[key])
        )


def test_settings_objects_become_plain_values_without_their_library(tmp_path, settings_library):
    node = settings_library.AnyNode
    settings = settings_library.DictConfig({"model": settings_library.DictConfig({"num_heads": node(12)})})
    arguments = argparse.Namespace(arch="eat", layers=[1, 2])
    torch.save({"cfg": settings, "args": arguments, "model": {"w": torch.ones(2)}}, tmp_path / "a.pt")
    sys.modules.pop("omegaconf")
    contents = read_checkpoint(tmp_path / "a.pt")
    assert contents["cfg"] == {"model": {"num_heads": 12}}
    assert contents["args"] == {"arch": "eat", "layers": [1, 2]}
    assert type(contents["args"]) is dict
    assert torch.equal(contents["model"]["w"], torch.ones(2))


def test_the_allow_list_is_gone_after_reading(tmp_path):
    torch.save({"args": argparse.Namespace(x=1), "model": {"w": torch.ones(1)}}, tmp_path / "a.pt")
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(tmp_path / "a.pt")
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "a.pt", weights_only=True)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", ["torch", "legacy torch", "bare pickle"])
@pytest.mark.parametrize("function", ["open", "eval", "os.system"])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, kind, protocol, function):
    import os

    trap = tmp_path / "trap"
    bomb = {
        "open": Bomb(open, str(trap), "w"),
        "eval": Bomb(eval, f"open({str(trap)!r}, 'w').close()"),
        "os.system": Bomb(os.system, f"touch {trap}"),
    }[function]
    path = tmp_path / "checkpoint.pt"
    contents = {"model": {"cls_token": torch.ones(1)}, "cfg": bomb}
    if kind == "bare pickle":
        path.write_bytes(pickle.dumps(bomb, protocol=protocol))
    else:
        torch.save(contents, path, pickle_protocol=protocol, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(ConversionError, match=r"checkpoint.pt: rejected.*None of it was run") as caught:
        read_checkpoint(path)
    assert not trap.exists()
    assert "\n" not in str(caught.value)


def test_the_refused_function_is_named(tmp_path):
    torch.save({"cfg": Bomb(eval, "1")}, tmp_path / "a.pt")
    with pytest.raises(ConversionError, match="eval"):
        read_checkpoint(tmp_path / "a.pt")


def test_settings_modules_cannot_be_used_to_call_their_functions(tmp_path):
    """A name from an accepted module is inert too: numpy's own loader does not run."""
    import numpy as np

    trap = tmp_path / "trap.npy"
    torch.save(
        {"model": {"w": torch.ones(1)}, "x": Bomb(np.save, str(trap), np.float64(1.0).item())},
        tmp_path / "a.pt",
    )
    contents = read_checkpoint(tmp_path / "a.pt")
    assert not trap.exists()
    assert contents["x"] == [str(trap), 1.0]


def make_html(path):
    path.write_text("<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>")


def make_truncated(path):
    path.write_bytes(find_checkpoints("beats")[0].read_bytes()[:100_000])


def make_truncated_safetensors(path):
    save_file({"a": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])


def make_other_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


@pytest.mark.parametrize(
    "make,message",
    [
        (make_html, "is a web page, not a checkpoint"),
        (make_truncated, "truncated or corrupt"),
        (make_truncated_safetensors, "truncated or corrupt"),
        (make_other_zip, "zip archive was not written by torch"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(b"RIFF" + bytes(100)), "neither a torch file nor a safetensors file"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0"), "Git LFS"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: None, "file not found"),
    ],
)
def test_what_is_no_checkpoint_says_so(tmp_path, make, message):
    path = tmp_path / "checkpoint.pt"
    make(path)
    with pytest.raises(ConversionError, match=f"checkpoint.pt.*{message}") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_every_length_of_a_cut_file_is_refused(tmp_path):
    whole = find_checkpoints("passt")[0].read_bytes()
    path = tmp_path / "cut.pt"
    for length in (1, 3, 10, 600, 5_000, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        with pytest.raises(ConversionError, match=r"cut\.pt"):
            read_checkpoint(path)


def test_plain_leaves_tensors_and_unwraps_single_arguments():
    value = InertValue("image")
    tensor = torch.ones(1)
    assert plain({"a": (value, InertValue(1, 2))}) == {"a": ["image", [1, 2]]}
    assert plain({"t": tensor})["t"] is tensor
