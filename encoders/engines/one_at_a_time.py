"""A tower that computes the items of a batch one by one, so that each result depends only on its item."""

import functools
from typing import Any

import torch
from torch import nn


def compute_one_at_a_time(tower: nn.Module) -> None:
    """
    Makes a tower compute every item of a batch separately, sentences without their padding.

    8-bit activations share one scale per call, and kernels may sum in another order for another number of rows.
    Computed separately, an item's vector is bit-identical in any batch. On a CPU, batches are not faster.

    Args:
        tower: a model of the transformers library whose inputs are tensors by keyword, items along the first axis;
            padding, where there is an ``attention_mask``, on the right.
    """
    tower.forward = _one_at_a_time(tower.forward)


def _one_at_a_time(forward: Any) -> Any:
    @functools.wraps(forward)
    def compute(*inputs: Any, **given: Any) -> Any:
        if inputs:
            raise TypeError("inputs of a tower that computes one at a time are given by keyword.")
        tensors = {name: value for name, value in given.items() if isinstance(value, torch.Tensor)}
        others = {name: value for name, value in given.items() if name not in tensors}
        count = len(next(iter(tensors.values())))
        rows: list[Any] = []
        width = given["attention_mask"].shape[1] if given.get("attention_mask") is not None else None
        for place in range(count):
            own = {name: value[place : place + 1] for name, value in tensors.items()}
            mask = own.get("attention_mask")
            if mask is not None and mask.any():
                real = int(mask[0].nonzero().max()) + 1
                own = {
                    name: value[:, :real] if value.dim() == 2 and value.shape[1] == width else value
                    for name, value in own.items()
                }
            rows.append(forward(**own, **others))
        return _stacked(rows, width or 0)

    return compute


def _stacked(rows: list[Any], width: int) -> Any:
    """Joins outputs of single items to those of a batch; token outputs are zero-padded, to ``width`` at least."""
    first = rows[0]
    values: dict[str, Any] = {}
    for name, value in first.items():
        if not isinstance(value, torch.Tensor):
            continue
        parts = [row[name] for row in rows]
        if value.dim() == 3:
            # Some towers omit the tokens of padding.
            longest = max(width, *(part.shape[1] for part in parts), 0)
            parts = [nn.functional.pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts]
        values[name] = torch.cat(parts)
    return type(first)(**values)


__all__ = ["compute_one_at_a_time"]
