"""Identifies a public model: a digest of everything that its embeddings depend on."""

import hashlib
import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..engines.packed_linear import count_packed_weights

# Fields of a configuration that act in training only, or that say how to compute and not what.
_NOT_EMBEDDING = re.compile(
    r".*dropout.*|.*initializer.*|drop_path.*|layer_?drop|use_cache|mask_time.*|.*logit_scale.*"
    r"|transformers_version|architectures|dtype|torch_dtype|_.*|id2label|label2id|num_labels|problem_type"
    r"|return_dict|output_attentions|output_hidden_states|auto_map|is_(decoder|encoder_decoder)|num_classes"
)
# Weights that no vector passes through.
_NOT_IN_VECTORS = re.compile(r"(.*[._])?logit_(scale|bias)(_[at])?")


def library_fingerprint(settings: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> str:
    """
    A digest of settings and weights with their types; not of temperatures, names or the code.

    Args:
        settings: values for JSON, arrays and nested mappings of them.
        weights: by name, on any device.

    Returns:
        64 hexadecimal digits (SHA-256).
    """
    digest = hashlib.sha256()
    digest.update(json.dumps(_plain(settings), sort_keys=True).encode())
    for name, tensor in sorted(weights.items()):
        if _NOT_IN_VECTORS.fullmatch(name):
            continue
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def count_parameters(model: torch.nn.Module) -> int:
    """Number of weights of a library's model, without temperatures; shared weights count once."""
    counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    counts |= count_packed_weights(model)
    return sum(count for name, count in counts.items() if not _NOT_IN_VECTORS.fullmatch(name))


def config_settings(config: Any) -> dict[str, Any]:
    """
    The settings of a transformers configuration, of its parts too, that are not the library's defaults.

    A later version of the library may give it another field; this must not change the fingerprint.
    """
    return _embedding_fields({**config.to_diff_dict(), "model_type": config.model_type})


def _embedding_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _embedding_fields(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if not _NOT_EMBEDDING.fullmatch(str(name))
    }


def extractor_settings(extractor: Any) -> dict[str, Any]:
    """The arguments of a feature extractor that are not its class's defaults."""
    parameters = inspect.signature(type(extractor).__init__).parameters.values()
    values = {
        parameter.name: (_plain(getattr(extractor, parameter.name)), _plain(parameter.default))
        for parameter in parameters
        if parameter.kind is not parameter.VAR_KEYWORD and hasattr(extractor, parameter.name)
    }
    changed = {name: value for name, (value, default) in values.items() if value != default}
    return {"type": type(extractor).__name__, **changed}


def tokenizer_settings(tokenizer: Any) -> dict[str, Any]:
    """Settings of a tokenizer: vocabulary, rules and padding sides, without the state of its last call."""
    sides = {"padding_side": tokenizer.padding_side, "truncation_side": tokenizer.truncation_side}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
        return {**sides, "vocabulary": tokenizer.get_vocab(), "special": special}
    pipeline = json.loads(backend.to_str())
    names = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model")
    return {**sides, **{name: pipeline.get(name) for name in names}}


def _plain(value: Any) -> Any:
    """A value for JSON in which 10 and 10.0 are the same number."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


__all__ = [
    "config_settings",
    "count_parameters",
    "extractor_settings",
    "library_fingerprint",
    "tokenizer_settings",
]
