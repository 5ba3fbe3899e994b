"""Key plan of BEATs' published checkpoints: ``{"cfg": ..., "model": ...}``."""

import re
from typing import Any

import torch

from ..modeling import BeatsConfig
from .key_plan import Checkpoint, ConversionError, KeyPlan, split_dropped

DROPPED = {"predictor.": "classifier of a fine-tuned file"}
POSITION_TABLE = re.compile(r"encoder\.layers\.(\d+)\.self_attn\.relative_attention_bias\.weight")
# Newer torch spells the two halves of a weight-normalised kernel so.
WEIGHT_NORM = {
    "encoder.pos_conv.0.parametrizations.weight.original0": "encoder.pos_conv.0.weight_g",
    "encoder.pos_conv.0.parametrizations.weight.original1": "encoder.pos_conv.0.weight_v",
}
# What the published models have in common and this implementation has built in.
FIXED = {
    "layer_norm_first": False,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
    "conv_bias": False,
}
FIELDS = {
    "encoder_embed_dim": "hidden_size",
    "encoder_layers": "num_hidden_layers",
    "encoder_attention_heads": "num_attention_heads",
    "encoder_ffn_embed_dim": "intermediate_size",
    "embed_dim": "patch_embed_dim",
    "input_patch_size": "patch_size",
    "conv_pos": "num_conv_pos_embeddings",
    "conv_pos_groups": "num_conv_pos_embedding_groups",
    "num_buckets": "num_buckets",
    "max_distance": "max_bucket_distance",
    "deep_norm": "deep_norm",
    "activation_fn": "hidden_act",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "activation_dropout": "activation_dropout",
    "dropout_input": "input_dropout",
}


def plan_beats(checkpoint: Checkpoint) -> KeyPlan:
    """
    Config and weights of a BEATs.

    The config is taken only from the file: the published class's defaults describe another model.

    Raises:
        ConversionError: if settings are missing or ask for another architecture, or the layers' shared position
            tables differ.
    """
    settings = checkpoint.settings
    absent = [name for name in (*FIXED, *FIELDS) if name not in settings]
    if absent:
        raise ConversionError(
            f"{checkpoint.name}: 'cfg' lacks {absent[:4]}; a published BEATs file has 'cfg' and 'model'."
        )
    for name, value in FIXED.items():
        if settings[name] != value:
            raise ConversionError(
                f"{checkpoint.name}: cfg[{name!r}] is {settings[name]!r}; only {value!r}, the value of all "
                "published BEATs, is supported."
            )
    tensors, dropped = split_dropped(checkpoint.weights, DROPPED)
    tensors = {WEIGHT_NORM.get(name, name): tensor for name, tensor in tensors.items()}
    dropped |= _drop_copies(tensors, checkpoint.name)
    return KeyPlan(BeatsConfig(**_config_values(settings, checkpoint.name)), tensors, dropped)


def _config_values(settings: dict[str, Any], name: str) -> dict[str, Any]:
    values = {ours: settings[theirs] for theirs, ours in FIELDS.items()}
    if values["hidden_act"] not in ("gelu", "relu"):
        raise ConversionError(
            f"{name}: cfg['activation_fn'] is {values['hidden_act']!r}; expected 'gelu' or 'relu'."
        )
    return values


def _drop_copies(tensors: dict[str, Any], name: str) -> dict[str, str]:
    """Removes the later layers' copies of the position table, having seen that they are copies."""
    first = "encoder.layers.0.self_attn.relative_attention_bias.weight"
    dropped = {}
    for key in [key for key in tensors if POSITION_TABLE.fullmatch(key) and key != first]:
        if first in tensors and not torch.equal(tensors[key], tensors[first]):
            raise ConversionError(
                f"{name}: {key} differs from {first}; all layers of BEATs share one position table."
            )
        del tensors[key]
        dropped[key] = "copy of the first layer's position table, which all layers share"
    return dropped
