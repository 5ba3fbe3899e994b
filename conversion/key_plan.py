"""Maps a checkpoint's weights to a model's: the code that all plans share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedConfig

SHOWN = 4


class ConversionError(ValueError):
    """A checkpoint cannot be converted. The message names the file or key, the fault and what is accepted."""


@dataclass
class Checkpoint:
    """
    A checkpoint file taken apart.

    Attributes:
        name: what messages call it.
        weights: tensors by their published names; values that are not tensors are kept unchanged.
        settings: the file's own description of the model, or an empty dict.
    """

    name: str
    weights: dict[str, Any]
    settings: dict[str, Any]


@dataclass
class KeyPlan:
    """
    A model's config and weights as taken from a checkpoint.

    Attributes:
        config: config of the model.
        tensors: float32 tensors by our names.
        dropped: published name to the reason why it is omitted.
        published_name: our name of a tensor to the published one, for messages.
    """

    config: PreTrainedConfig
    tensors: dict[str, torch.Tensor]
    dropped: dict[str, str] = field(default_factory=dict)
    published_name: Callable[[str], str] = str


def take_apart(contents: Any, name: str, settings_keys: tuple[str, ...] = ("cfg", "args")) -> Checkpoint:
    """
    Finds weights and settings in the content of a checkpoint file.

    Args:
        contents: a flat dict of tensors, or a dict with them under ``model`` (or ``state_dict``) and settings
            next to them.
        name: the file's, for messages.
        settings_keys: keys that may have the settings; the first one found is used. By default those of fairseq.

    Raises:
        ConversionError: if there are no weights.
    """
    settings: Any = {}
    if isinstance(contents, Mapping):
        settings = next((contents[key] for key in settings_keys if contents.get(key)), {})
        for key in ("model", "state_dict"):
            if isinstance(contents.get(key), Mapping):
                contents = contents[key]
                break
    if not isinstance(contents, Mapping) or not any(torch.is_tensor(value) for value in contents.values()):
        found = (
            f"the keys {sorted(map(str, contents))[:SHOWN]}" if isinstance(contents, Mapping) else "no dict"
        )
        raise ConversionError(f"{name}: no model weights in this file; found {found}.")
    return Checkpoint(name, dict(contents), dict(settings) if isinstance(settings, Mapping) else {})


def split_dropped(
    weights: Mapping[str, Any], reasons: Mapping[str, str]
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """
    Separates what a tower needs from what it does not.

    Args:
        weights: by published name.
        reasons: prefix of names that are omitted, to why.

    Returns:
        The remaining weights in float32 and, by name, why each of the others is omitted.
    """
    kept, dropped = {}, {}
    for name, value in weights.items():
        reason = next((why for prefix, why in reasons.items() if name.startswith(prefix)), None)
        if reason is not None:
            dropped[name] = reason
        else:
            kept[name] = value.float() if torch.is_tensor(value) and value.is_floating_point() else value
    return kept, dropped


def need(checkpoint: Checkpoint, name: str, dimensions: int) -> torch.Tensor:
    """
    A tensor that the geometry is read from.

    Raises:
        ConversionError: if it is missing or has another number of axes.
    """
    tensor = checkpoint.weights.get(name)
    if not torch.is_tensor(tensor):
        raise ConversionError(f"{checkpoint.name}: the key {name!r} is missing.")
    if tensor.dim() != dimensions:
        raise ConversionError(
            f"{checkpoint.name}: {name} has shape {tuple(tensor.shape)}, but must have {dimensions} dimensions."
        )
    return tensor


def count_blocks(checkpoint: Checkpoint, prefix: str) -> int:
    """
    Number of blocks named ``prefix.0``, ``prefix.1``, ...

    Raises:
        ConversionError: if there are no layers, or one in between is missing.
    """
    numbers = {
        int(name[len(prefix) + 1 :].split(".", 1)[0])
        for name in checkpoint.weights
        if name.startswith(f"{prefix}.") and name[len(prefix) + 1 :].split(".", 1)[0].isdigit()
    }
    if not numbers:
        raise ConversionError(f"{checkpoint.name}: no key starts with {prefix}.0.")
    for number in range(max(numbers)):
        if number not in numbers:
            raise ConversionError(f"{checkpoint.name}: all keys of {prefix}.{number} are missing.")
    return max(numbers) + 1


def attention_heads(checkpoint: Checkpoint, width: int, stated: int | None) -> int:
    """
    Number of heads: as stated, or one for every 64 channels as in the published sizes.

    Raises:
        ConversionError: if neither fits the width.
    """
    heads = stated if stated is not None else width // 64
    if heads < 1 or width % heads:
        raise ConversionError(
            f"{checkpoint.name}: {'stated' if stated else 'derived'} {heads} attention heads do not divide the "
            f"width {width}; set the number of heads with --attention-heads."
        )
    return heads


def check_plan(plan: KeyPlan, expected: Mapping[str, torch.Tensor], name: str) -> None:
    """
    Compares every name and shape with the model's own.

    Args:
        plan: what was taken from the checkpoint.
        expected: the model's state, by our names; only shapes are read.
        name: the file's, for the message.

    Raises:
        ConversionError: one message with all that is missing, left over or of a wrong shape.
    """
    faults = []
    missing = [plan.published_name(key) for key in expected if key not in plan.tensors]
    if missing:
        faults.append(f"missing {_some(missing)}")
    extra = [plan.published_name(key) for key in plan.tensors if key not in expected]
    if extra:
        faults.append(f"not part of the model {_some(extra)}")
    shapes = [
        f"{plan.published_name(key)} {_shape(plan.tensors[key])} in place of {tuple(expected[key].shape)}"
        for key in expected
        if key in plan.tensors and _shape(plan.tensors[key]) != tuple(expected[key].shape)
    ]
    if shapes:
        faults.append(f"wrong shape {_some(shapes)}")
    if faults:
        raise ConversionError(f"{name}: the weights do not fit the model: {'; '.join(faults)}.")


def _shape(value: Any) -> tuple[int, ...] | str:
    return tuple(value.shape) if torch.is_tensor(value) else f"({type(value).__name__})"


def _some(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return f"({len(items)}): {', '.join(items[:SHOWN])}{more}"
