"""Key plan of EAT's published checkpoints: the fairseq file, or the Hub port's flat tensors."""

from typing import Any, Literal

from ..modeling import EatConfig
from .key_plan import Checkpoint, ConversionError, KeyPlan, attention_heads, count_blocks, need, split_dropped

FAIRSEQ_PREFIX = "modality_encoders.IMAGE."
PORT_PREFIX = "model."
DROPPED = {
    "_ema": "the teacher of pre-training; features come from the student",
    f"{FAIRSEQ_PREFIX}decoder.": "decoder of pre-training",
    "shared_decoder.": "decoder of pre-training",
    "recon_proj.": "decoder of pre-training",
    "cls_proj.": "decoder of pre-training",
    "center": "running mean of pre-training",
    "fc_norm.": "classifier of a fine-tuned file",
    "head.": "classifier of a fine-tuned file",
}
ROWS = 8
FRAMES_OF_TRAINING = 1024


def plan_eat(
    checkpoint: Checkpoint, heads: int | None = None, pooling: Literal["cls", "mean"] = "cls"
) -> KeyPlan:
    """
    Config and weights of an EAT.

    Args:
        checkpoint: checkpoint of EAT, in either published form.
        heads: number of attention heads, if the file does not give it and it differs from one per 64 channels.
        pooling: pooling of the config.

    Raises:
        ConversionError: if the settings ask for another architecture, or the geometry cannot be read.
    """
    from_fairseq = any(name.startswith(FAIRSEQ_PREFIX) for name in checkpoint.weights)
    if not from_fairseq and any(name.startswith(PORT_PREFIX) for name in checkpoint.weights):
        stripped = {name.removeprefix(PORT_PREFIX): value for name, value in checkpoint.weights.items()}
        checkpoint = Checkpoint(checkpoint.name, stripped, checkpoint.settings)
    settings = _model_settings(checkpoint.settings)
    image = settings.get("modalities", {}).get("image", {})
    _check_settings(settings, image, checkpoint.name)

    kept, dropped = split_dropped(checkpoint.weights, DROPPED)
    renamed = Checkpoint(checkpoint.name, {_our_name(name): value for name, value in kept.items()}, settings)
    published_name = _fairseq_name if from_fairseq else str
    width = need(renamed, "extra_tokens", 3).shape[2]
    table = need(renamed, "fixed_positional_encoder.positions", 3)
    columns = table.shape[1] // ROWS
    stated = heads if heads is not None else settings.get("num_heads")
    config = EatConfig(
        hidden_size=width,
        num_hidden_layers=count_blocks(renamed, "blocks"),
        num_attention_heads=attention_heads(checkpoint, width, stated),
        intermediate_size=need(renamed, "blocks.0.mlp.fc1.weight", 2).shape[0],
        layer_norm_eps=float(settings.get("norm_eps", 1e-6)),
        num_frames=min(FRAMES_OF_TRAINING, columns * 16),
        max_time_patches=columns,
        pooling=pooling,
    )
    return KeyPlan(config, renamed.weights, dropped, published_name)


def _model_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """fairseq nests the model's settings under ``model``; older files have them at the top."""
    model = settings.get("model")
    return model if isinstance(model, dict) else settings


def _check_settings(settings: dict[str, Any], image: dict[str, Any], name: str) -> None:
    fixed = {"layer_norm_first": (settings, False)}
    fixed |= {"prenet_depth": (image, 0), "num_extra_tokens": (image, 1), "patch_size": (image, 16)}
    fixed |= {"in_chans": (image, 1), "use_alibi_encoder": (image, False)}
    for field, (place, value) in fixed.items():
        if place.get(field, value) != value:
            raise ConversionError(
                f"{name}: the settings have {field}={place[field]!r}; only {value!r}, the value of the published "
                "EAT, is supported."
            )


def _our_name(name: str) -> str:
    name = name.removeprefix(FAIRSEQ_PREFIX)
    return name.replace("context_encoder.norm.", "pre_norm.", 1)


def _fairseq_name(name: str) -> str:
    if name.startswith("blocks."):
        return name
    return FAIRSEQ_PREFIX + name.replace("pre_norm.", "context_encoder.norm.", 1)
