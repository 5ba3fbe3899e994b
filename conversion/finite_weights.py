"""Checks that weights are finite: weights of a diverged training are neither saved nor published."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open


class NonFiniteWeightsError(ValueError):
    """Weights contain NaN or infinity; the message names the tensors."""


def check_finite_weights(weights: Mapping[str, torch.Tensor], where: str) -> None:
    """
    Raises an error for weights that are not finite.

    Args:
        weights: tensors by name, on any device; integer tensors are always finite.
        where: start of the error message.

    Raises:
        NonFiniteWeightsError: with the number of tensors that contain NaN or infinity, and the first of them.
    """
    _refuse([name for name, tensor in weights.items() if not _is_finite(tensor)], len(weights), where)


def check_finite_files(directory: str | os.PathLike[str]) -> None:
    """
    Like [`check_finite_weights`], of every ``.safetensors`` file in a directory, one tensor in memory at a time.

    Raises:
        NonFiniteWeightsError: naming the file.
    """
    for path in sorted(Path(directory).glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            _refuse([name for name in names if not _is_finite(file.get_tensor(name))], len(names), str(path))


def _is_finite(tensor: torch.Tensor) -> bool:
    # A sum is one pass without a mask as large as the tensor; it may overflow where no value is infinite.
    if not tensor.is_floating_point() or torch.isfinite(tensor.sum(dtype=torch.float32)):
        return True
    return bool(torch.isfinite(tensor).all())


def _refuse(broken: list[str], total: int, where: str) -> None:
    if broken:
        raise NonFiniteWeightsError(
            f"{where}: {len(broken)} of {total} tensors contain NaN or infinity, such as {broken[0]!r}; these are the "
            "weights of a training that diverged."
        )


__all__ = ["NonFiniteWeightsError", "check_finite_files", "check_finite_weights"]
