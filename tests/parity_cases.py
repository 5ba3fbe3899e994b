"""Finds and reads the golden cases: the set in tests/fixtures and any further directories."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

FIXTURES = Path(__file__).parent / "fixtures" / "parity"


@dataclass
class ParityCase:
    """One recorded case: metadata, reference weights, inputs and outputs by their published names."""

    path: Path
    meta: dict
    weights: dict[str, torch.Tensor]
    inputs: dict[str, torch.Tensor]
    outputs: dict[str, torch.Tensor]


def parity_roots() -> list[Path]:
    """The project's own cases, then every directory named in AURICLE_PARITY_DIR (separated as in PATH)."""
    extra = [Path(item) for item in os.environ.get("AURICLE_PARITY_DIR", "").split(os.pathsep) if item]
    return [FIXTURES, *extra]


def find_cases(model: str) -> list[Path]:
    """Case files of a model below every root, whatever the folders between are called."""
    paths = []
    for root in parity_roots():
        if not root.is_dir():
            raise FileNotFoundError(f"AURICLE_PARITY_DIR names {root}, which is not a directory")
        paths += sorted(path for path in root.rglob("*.json") if path.parent.name == model)
    return paths


def find_checkpoints(model: str) -> list[Path]:
    """Miniature checkpoints in the published layout, below every root."""
    return [path for root in parity_roots() for path in sorted(root.rglob(f"{model}/published_format*.pt"))]


def _in_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def read_case(path: Path) -> ParityCase:
    """Reads a case: shared state files first, the case's own weights on top of them."""
    meta = json.loads(path.read_text())
    groups: dict[str, dict[str, torch.Tensor]] = {"sd": {}, "in": {}, "out": {}}
    files = [*meta.get("state_files", []), path.with_suffix(".safetensors").name]
    for file in files:
        for key, tensor in load_file(path.parent / file).items():
            group, name = key.split("/", 1)
            groups[group][name] = _in_float32(tensor)
    return ParityCase(path, meta, groups["sd"], groups["in"], groups["out"])


def case_id(path: Path) -> str:
    """Readable test id: the last folders and the case's name."""
    return "/".join((*path.parent.parts[-2:], path.stem))
