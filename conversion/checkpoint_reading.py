"""
Reads published checkpoint files without running any code in them.

A torch file is a pickle, and a pickle can call any function. Files are read with torch's restricted reader, which
accepts tensors and plain containers. Some published files also contain settings objects of the libraries that
wrote them; those become inert values that keep their contents, so none of these libraries is needed. A file that
refers to anything else is refused before any of it is read.
"""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from .key_plan import ConversionError

# Settings, numbers and containers in files of the fairseq family and of sacred's experiments, next to tensors.
INERT_MODULES = ("argparse", "omegaconf", "fairseq", "sacred", "numpy", "typing", "pathlib", "enum")
CHECKPOINT_ENDINGS = (".ckpt", ".pt", ".pth", ".bin", ".safetensors")
INERT_NAMES = frozenset(
    {"collections.defaultdict"}
    | {f"builtins.{name}" for name in ("dict", "list", "tuple", "int", "float", "bool", "str", "object")}
)


class InertValue:
    """Represents an object of a class that is not imported: keeps its contents, does nothing."""

    def __init__(self, *arguments: Any):
        self.arguments = arguments
        self.state: Any = None

    def __new__(cls, *arguments: Any):
        value = super().__new__(cls)
        value.arguments, value.state = arguments, None
        return value

    def __setstate__(self, state: Any) -> None:
        self.state = state


def read_checkpoint(path: str | Path) -> Any:
    """
    The contents of a checkpoint file, tensors on the CPU.

    Args:
        path: a torch file (zip or the older format) or a safetensors file.

    Returns:
        Usually a dict. Objects of settings classes are turned into plain dicts, lists and values.

    Raises:
        ConversionError: if the file is missing, is not a checkpoint, is damaged or truncated, or asks for code.
    """
    path = Path(path)
    if not path.exists():
        raise ConversionError(f"{path}: file not found.")
    if not path.is_file():
        raise ConversionError(f"{path}: this is a directory; give the checkpoint file in it.")
    with open(path, "rb") as file:
        head = file.read(512)
    if not head:
        raise ConversionError(f"{path}: the file is empty (0 bytes).")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        raise ConversionError(
            f"{path}: this is a web page, not a checkpoint. The download returned a page (a login, a warning, an "
            "error) instead of the file. Download it again and check its size."
        )
    if head.startswith(b"version https://git-lfs"):
        raise ConversionError(
            f"{path}: this is a Git LFS pointer, not the file; fetch the file with `git lfs pull`."
        )
    if head.startswith(b"PK\x03\x04"):
        return plain(_read_torch_zip(path))
    if head[8:9] == b"{":
        return _read_safetensors(path)
    if head[:1] == b"\x80":
        return plain(_read_legacy_torch(path))
    raise ConversionError(f"{path}: neither a torch file nor a safetensors file.")


def plain(value: Any) -> Any:
    """Containers and inert values as plain dicts, lists and values; tensors stay unchanged."""
    if isinstance(value, InertValue):
        if isinstance(value.state, Mapping):
            # OmegaConf keeps the contents of a container and the value of a node under these names.
            for name in ("_content", "_val"):
                if name in value.state:
                    return plain(value.state[name])
            return plain(dict(value.state))
        return plain(value.arguments[0]) if len(value.arguments) == 1 else plain(list(value.arguments))
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _read_torch_zip(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise ConversionError(
            f"{path}: the file is truncated or corrupt: the table of contents at its end is missing. Download it "
            "again and compare the size; if it is one of several parts, put the others next to it."
        ) from error
    if any(name.endswith("constants.pkl") for name in names):
        raise ConversionError(f"{path}: is a TorchScript program, not a checkpoint: it contains code.")
    if not any(name.endswith("data.pkl") for name in names):
        packed = [name for name in names if name.endswith(CHECKPOINT_ENDINGS)]
        hint = f" It contains {packed[0]}: unpack it and give that file." if packed else ""
        raise ConversionError(f"{path}: this zip archive was not written by torch.{hint}")
    try:
        wanted = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception as error:
        raise _unreadable(path, error) from error
    return _load(path, wanted, mmap=True)


def _read_legacy_torch(path: Path) -> Any:
    """The format before torch 1.6: a bare pickle, which has no list of names."""
    return _load(path, [], mmap=False)


def _load(path: Path, wanted: list[str], mmap: bool) -> Any:
    refused = sorted(name for name in wanted if not _may_be_inert(name))
    if refused:
        raise ConversionError(
            f"{path}: rejected: the file refers to {', '.join(refused[:5])}, which no published encoder needs and "
            "which could run code. None of it was run."
        )
    stand_ins = [(type("InertValue", (InertValue,), {}), name) for name in wanted]
    try:
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ConversionError:
    """Distinguishes a file that needs more than data from a broken one."""
    text = str(error)
    if isinstance(error, pickle.UnpicklingError) and any(
        sign in text
        for sign in ("Unsupported global", "unsupported GLOBAL", "Trying to call", "Unsupported operand")
    ):
        return ConversionError(
            f"{path}: rejected: the file contains more than tensors and settings, which could run code "
            f"({_first_line(error)}). None of it was run."
        )
    return _damaged(path, error)


def _may_be_inert(name: str) -> bool:
    return name in INERT_NAMES or name.split(".", 1)[0] in INERT_MODULES


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ConversionError:
    return ConversionError(
        f"{path}: the file is truncated or corrupt, or not a checkpoint ({_first_line(error)}). Download it again "
        "and compare the size."
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = next((line for line in lines if "Unsupported" in line or "Trying" in line), lines[0])
    return text.strip()[:160]


__all__ = ["InertValue", "plain", "read_checkpoint"]
