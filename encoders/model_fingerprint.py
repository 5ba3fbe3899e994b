"""
Identifies a dual encoder: a digest of everything that an embedding depends on.

If this changes, also raise the version in `engines.known_fingerprints`.
"""

import hashlib
import inspect
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
from transformers.configuration_utils import PreTrainedConfig

from ..modeling import AuricleModel
from ..modeling.int8 import Int8Linear
from ..processing import AuricleFeatureExtractor, AuricleProcessor
from ..processing.caption_normalizer import own_normalizer
from .engines.packed_linear import count_packed_weights

# Weights that no embedding passes through: of the loss, and of the third stage's cluster heads.
_NOT_EMBEDDING = re.compile(r"logit_scale|(audio|text)_cluster_head\..*")
# Fields that act in training only, or that say how to compute and not what.
_TRAINING_ONLY = re.compile(
    r".*dropout.*|.*patchout.*|.*initializer.*|drop_path.*|layer_?drop|random_time_offset|use_cache|mask_time.*"
)
# Settings that were added after the first fingerprints, with the earlier behaviour: a model with that value keeps
# its fingerprint.
_ADDED = {"downmix": "mean", "resampler": "soxr"}


def model_fingerprint(model: AuricleModel, processor: AuricleProcessor) -> str:
    """
    A digest that two models share if, and only if, they embed alike.

    It covers the weights and their precision, the settings of both towers, of pooling, front end, segmenting,
    caption normalisation and tokenizer. It does not cover names, paths, library versions, dropout, patchout, the
    temperature or cluster heads: none of them changes an embedding. It does not cover the code either.

    Args:
        model: on any device.
        processor: the model's own.

    Returns:
        64 hexadecimal digits (SHA-256).

    Raises:
        ValueError: for a model quantised to 8 bits, whose packed weights cannot be read.
    """
    if any(isinstance(module, Int8Linear) for module in model.modules()):
        raise ValueError("a model with 8-bit layers has no fingerprint; take that of the float32 model.")
    settings = {"model": _model_settings(model), "processor": _processor_settings(processor)}
    weights = {
        name: tensor for name, tensor in model.state_dict().items() if not _NOT_EMBEDDING.fullmatch(name)
    }
    return _digest(settings, weights)


def text_fingerprint(model: AuricleModel, processor: AuricleProcessor) -> str:
    """
    A digest that two models share if, and only if, their text towers pool captions alike.

    Like [`model_fingerprint`], but of the text tower, its pooling, its tokenizer and the caption normalisation only,
    without the projection after it.

    Args:
        model: on any device, its text tower not quantised.
        processor: the model's own.

    Returns:
        64 hexadecimal digits (SHA-256).
    """
    settings = {
        "model": {
            "text_pooling": model.config.text_pooling,
            "text": _changed_settings(model.config.text_config),
        },
        "processor": _caption_settings(processor),
    }
    return _digest(settings, model.text_model.state_dict())


def count_parameters(model: AuricleModel, towers: Collection[str] = ("audio", "text")) -> int:
    """
    Number of weights that the embeddings of some towers depend on, without cluster heads and temperature.

    Args:
        model: on any device; layers that were quantised count with their weights.
        towers: "audio", "text" or both, each with its projection.
    """
    counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    counts |= count_packed_weights(model)
    for name, module in model.named_modules():
        if isinstance(module, Int8Linear):
            weight, bias = torch.ops.quantized.linear_unpack(module.packed)
            counts[name] = weight.numel() + (0 if bias is None else bias.numel())
    return sum(
        count
        for name, count in counts.items()
        if name.startswith(tuple(f"{tower}_" for tower in towers)) and not _NOT_EMBEDDING.fullmatch(name)
    )


def _digest(settings: dict[str, Any], weights: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    digest.update(json.dumps(_plain(settings), sort_keys=True).encode())
    for name, tensor in sorted(weights.items()):
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _model_settings(model: AuricleModel) -> dict[str, Any]:
    config = model.config
    return {
        "projection_dim": config.projection_dim,
        "text_pooling": config.text_pooling,
        "audio": _own_settings(config.audio_config),
        "text": _changed_settings(config.text_config),
    }


def _own_settings(config: PreTrainedConfig) -> dict[str, Any]:
    """What a config's own class declares, without what every config of the library has."""
    common = PreTrainedConfig.__dataclass_fields__.keys()
    values = {
        name: value
        for name, value in config.to_dict().items()
        if name not in common and not name.startswith("_") and name != "output_attentions"
    }
    kept = {name: value for name, value in values.items() if not _TRAINING_ONLY.fullmatch(name)}
    return {**kept, "model_type": config.model_type}


def _changed_settings(config: PreTrainedConfig) -> dict[str, Any]:
    """
    The settings of a library's encoder that are not its defaults.

    A later version of the library may give the encoder another field; this must not change the fingerprint.
    """
    defaults = _own_settings(type(config)())
    values = _own_settings(config)
    changed = {
        name: value for name, value in values.items() if name not in defaults or value != defaults[name]
    }
    return {**changed, "model_type": config.model_type}


def _processor_settings(processor: AuricleProcessor) -> dict[str, Any]:
    names = [name for name in inspect.signature(AuricleFeatureExtractor).parameters if name != "kwargs"]
    values = {name: getattr(processor.feature_extractor, name) for name in names}
    return {
        "front_end": {
            name: value for name, value in values.items() if name not in _ADDED or value != _ADDED[name]
        },
        **_caption_settings(processor),
    }


def _caption_settings(processor: AuricleProcessor) -> dict[str, Any]:
    name = processor.caption_normalization
    # The two forms that existed before forms had names keep their old names, so that older digests stay valid.
    older = {"auricle-1": True, "none": False}
    form = {"normalize_captions": older[name]} if name in older else {"caption_normalization": name}
    return {
        **form,
        "max_text_tokens": processor.max_text_tokens,
        "tokenizer": _tokenizer_settings(processor.tokenizer),
    }


def _tokenizer_settings(tokenizer: Any) -> dict[str, Any]:
    sides = {"padding_side": tokenizer.padding_side, "truncation_side": tokenizer.truncation_side}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
        return {**sides, "vocabulary": tokenizer.get_vocab(), "special": special}
    pipeline = json.loads(backend.to_str())
    # Truncation and padding are leftovers of the last call; a decoder only writes text.
    names = ("added_tokens", "pre_tokenizer", "post_processor", "model")
    # The caption form that the processor added to the tokenizer is covered by its name, so it is skipped here.
    own = own_normalizer(pipeline.get("normalizer"))
    return {**sides, "normalizer": own, **{name: pipeline.get(name) for name in names}}


def _plain(value: Any) -> Any:
    """A value for JSON in which 10 and 10.0 are the same number."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
