"""What travels with a checkpoint is safe to trust: it computes, and reads the sounds that it is given."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for room in ("modeling", "processing") for path in (ROOT / room).glob("*.py"))
STANDARD = {
    *(
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "difflib",
        "enum",
        "functools",
        "importlib",
        "inspect",
    ),
    *(
        "io",
        "itertools",
        "json",
        "math",
        "numbers",
        "operator",
        "os",
        "pathlib",
        "re",
        "stat",
        "string",
        "typing",
    ),
    *("fractions", "logging", "struct", "warnings", "__future__"),
}
OTHERS = {"torch", "transformers", "numpy", "soundfile", "soxr", "av", "huggingface_hub"}
# Calls that run code, start processes, reach the network or write files, by their last name.
FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "system", "popen", "run", "Popen", "urlopen", "urlretrieve", "socket",
    "remove", "unlink", "rmtree", "rename", "replace_file", "write_text", "write_bytes", "makedirs", "mkdir",
    "fromfile", "load_dataset", "hf_hub_download", "snapshot_download",
}  # fmt: skip
MODELS_OWN = {"eval"}  # model.eval() puts a module into evaluation mode


def faults(text: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        found += [name for name in names if name.split(".")[0] not in STANDARD | OTHERS]
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            allowed = isinstance(called, ast.Attribute) and (name in MODELS_OWN or _is_pattern(called))
            if name in FORBIDDEN and not allowed:
                found.append(name)
            if name == "open" and isinstance(called, ast.Name) and not _reads(node):
                found.append("open for writing")
    return found


def _is_pattern(called: ast.Attribute) -> bool:
    return called.attr == "compile" and isinstance(called.value, ast.Name) and called.value.id == "re"


def _reads(call: ast.Call) -> bool:
    modes = [*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    return all(isinstance(mode, ast.Constant) and set(mode.value) <= set("rbt") for mode in modes)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_but_computing(path):
    if path.name == "__init__.py":
        pytest.skip("does not travel")
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "import requests",
        "from urllib.request import urlopen",
        "import subprocess",
        "eval('1')",
        "exec('1')",
        "import os\nos.system('ls')",
        "open('x', 'w')",
        "open('x', mode='ab')",
        "__import__('os')",
        "from pathlib import Path\nPath('x').write_text('')",
        "import shutil",
        "import pickle",
    ],
)
def test_what_is_unsafe_is_seen(text):
    assert faults(text)


def test_harmless_code_passes():
    assert faults("import re, torch\nre.compile('a')\nmodel.eval()\nwith open('x', 'rb') as f: pass") == []


def test_ffmpeg_opens_files_in_one_place_only():
    """It reads addresses and playlists where it is let; `container_opening` says what it may."""
    asking = [
        path.name for path in FILES if "library.open(" in path.read_text() or "av.open(" in path.read_text()
    ]
    assert asking == ["container_opening.py"]
