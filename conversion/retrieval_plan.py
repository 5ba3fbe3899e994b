"""Key plan of whole retrieval models: salsa (DCASE 2024) and the DCASE 2025 baseline, as Lightning checkpoints."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, PreTrainedConfig, RobertaConfig

from ..modeling import AuricleConfig
from .checkpoint_kinds import RETRIEVAL_AUDIO, publisher_of
from .key_plan import Checkpoint, ConversionError, KeyPlan, attention_heads, count_blocks, need, split_dropped
from .passt_plan import plan_passt
from .salsa_settings import check_salsa, setting

FRAMES_A_SECOND = 100
# Both publishers train their text tower with it; it changes nothing but training.
TEXT_DROPOUT = 0.2
SMALLEST_TEMPERATURE = 0.01
_AUDIOSET = "AudioSet classifier, which retrieval does not use"
_DROPPED = {
    f"{RETRIEVAL_AUDIO}head_dist.": _AUDIOSET,
    f"{RETRIEVAL_AUDIO}head.": _AUDIOSET,
    "timing_tau": "temperature of a loss on the order of sounds",
    "audio_token": "token of the sequence model over segments, which this model does not have",
    "posencode.": "positions of the sequence model over segments, which this model does not have",
    "audio_output_projection.": "entry of the sequence model over segments, which this model does not have",
}
_DROPPED_OF_TEXT = {
    "pooler.": "pooler, which retrieval does not use",
    "embeddings.position_ids": "position ids, computed again",
    "embeddings.token_type_ids": "zeros, computed again",
}


@dataclass(frozen=True)
class Layout:
    """Layout of a publisher's checkpoint; names are prefixes of keys."""

    text: str
    audio_projection: str
    text_projection: str


LAYOUTS = {
    "salsa": Layout("sentence_embedding_model.", "project_audio.0.", "project_sentence.0."),
    "DCASE 2025 baseline": Layout("text_embedding_model.", "audio_projection.", "text_projection."),
}


@dataclass
class RetrievalPlan(KeyPlan):
    """
    A dual encoder's config and weights, and how its inputs are made.

    Attributes:
        publisher: ``"salsa"`` or ``"DCASE 2025 baseline"``.
        segment_seconds: length in seconds of the audio tower's segments.
        max_text_tokens: captions are cut to so many.
        notes: what a user should know, a sentence each.
    """

    publisher: str = ""
    segment_seconds: float = 10.0
    max_text_tokens: int = 32
    notes: list[str] = field(default_factory=list)


def plan_retrieval(checkpoint: Checkpoint) -> RetrievalPlan:
    """
    Config and weights of a retrieval model, and the publisher's rules for its inputs.

    Args:
        checkpoint: with the publisher's own names of weights, and Lightning's ``hyper_parameters`` as settings.

    Raises:
        ConversionError: if a setting asks for what these classes do not have, or the geometry cannot be read.
    """
    publisher = publisher_of(checkpoint.weights)
    assert publisher is not None, "the caller has identified the file"
    if publisher == "salsa":
        check_salsa(checkpoint)
    layout, notes = LAYOUTS[publisher], []
    seconds = float(_setting(checkpoint, "audio_features.segment_length", 10))
    kept, dropped = split_dropped(checkpoint.weights, _DROPPED)
    audio = plan_passt(
        _below(kept, RETRIEVAL_AUDIO, checkpoint.name), frames=round(seconds * FRAMES_A_SECOND)
    )
    _check_segment(audio.config, seconds, checkpoint.name)
    _set_patchout(audio, checkpoint)
    text = _below(kept, layout.text, checkpoint.name)
    text_tensors, text_dropped = split_dropped(text.weights, _DROPPED_OF_TEXT)
    dropped |= {layout.text + name: reason for name, reason in text_dropped.items()}

    tensors: dict[str, torch.Tensor] = {f"audio_model.{name}": value for name, value in audio.tensors.items()}
    tensors |= {f"text_model.{name}": value for name, value in text_tensors.items()}
    prefixes = {layout.audio_projection: "audio_projection.", layout.text_projection: "text_projection."}
    for name, value in kept.items():
        ours = next(
            (new + name.removeprefix(old) for old, new in prefixes.items() if name.startswith(old)), None
        )
        if ours is not None:
            tensors[ours] = value
        elif name != "tau" and not name.startswith((RETRIEVAL_AUDIO, layout.text)):
            # Nothing is omitted without a reason: the comparison with the model names it.
            tensors[name] = value
    temperature = _temperature(checkpoint)
    learned = _is_learned(checkpoint, publisher)
    if learned:
        tensors["logit_scale"] = torch.tensor(-math.log(temperature))
        if temperature < SMALLEST_TEMPERATURE:
            notes.append(
                f"the temperature {temperature:g} counts as {SMALLEST_TEMPERATURE:g} in logits and losses"
            )
    if not checkpoint.settings:
        notes.append("the file has no hyper_parameters: patchout and dropout are the publisher's defaults")
    if setting(checkpoint.settings, "projection_dropout", 0.0):
        notes.append("projection_dropout is ignored: the publisher's code also applies dropout in evaluation")
    config = AuricleConfig(
        audio_config=audio.config,
        text_config=_text_config(text, publisher, checkpoint),
        projection_dim=need(checkpoint, f"{layout.audio_projection}weight", 2).shape[0],
        temperature=temperature,
        learn_temperature=learned,
        text_pooling="cls" if _setting(checkpoint, "sentence_features.use_first_token", True) else "mean",
    )
    return RetrievalPlan(
        config,
        tensors,
        dropped,
        _published_name(layout),
        publisher=publisher,
        segment_seconds=seconds,
        max_text_tokens=int(_setting(checkpoint, "sentence_features.max_sentence_tokens", 32)),
        notes=notes,
    )


def _setting(checkpoint: Checkpoint, path: str, default: Any) -> Any:
    return setting(checkpoint.settings, path, default)


def _below(weights: dict[str, Any], prefix: str, name: str) -> Checkpoint:
    """One tower's weights, by the names that it has by itself."""
    found = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    return Checkpoint(f"{name}: {prefix.rstrip('.')}", found, {})


def _check_segment(config: PreTrainedConfig, seconds: float, name: str) -> None:
    frames = round(seconds * FRAMES_A_SECOND)
    if config.num_frames != frames:
        raise ConversionError(
            f"{name}: audio_features.segment_length is {seconds:g} s, {frames} frames, but the audio tower's "
            f"positions are for {config.num_frames}; only segments of the tower's own length are supported."
        )


def _set_patchout(audio: KeyPlan, checkpoint: Checkpoint) -> None:
    """Training's patchout as it was, as far as the grid allows: at least one row and one column stay."""
    tables = {
        "time": audio.tensors["time_new_pos_embed"].shape[3],
        "frequency": audio.tensors["freq_new_pos_embed"].shape[2],
    }
    for axis, size in tables.items():
        name = f"s_patchout_{axis[0]}"
        value = _setting(checkpoint, name, _setting(checkpoint, f"audio_features.model_config.{name}", None))
        if value is not None:
            setattr(audio.config, f"patchout_{axis}", min(int(value), size - 1))


def _temperature(checkpoint: Checkpoint) -> float:
    tau = float(need(checkpoint, "tau", 1).float().abs()[0])
    if not math.isfinite(tau) or tau == 0:
        raise ConversionError(f"{checkpoint.name}: tau, the temperature, is {tau}; it must be above 0.")
    # The shortest number of the same float32 value: 0.05, not 0.05000000074505806.
    return float(str(np.float32(tau)))


def _is_learned(checkpoint: Checkpoint, publisher: str) -> bool:
    if publisher == "salsa":
        return not _setting(checkpoint, "freeze_tau", True)
    return bool(_setting(checkpoint, "tau_trainable", False))


def _text_config(text: Checkpoint, publisher: str, checkpoint: Checkpoint) -> PreTrainedConfig:
    vocabulary, width = need(text, "embeddings.word_embeddings.weight", 2).shape
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": count_blocks(text, "encoder.layer"),
        "num_attention_heads": attention_heads(text, width, None),
        "intermediate_size": need(text, "encoder.layer.0.intermediate.dense.weight", 2).shape[0],
        "max_position_embeddings": need(text, "embeddings.position_embeddings.weight", 2).shape[0],
        "type_vocab_size": need(text, "embeddings.token_type_embeddings.weight", 2).shape[0],
        "hidden_dropout_prob": TEXT_DROPOUT,
        "attention_probs_dropout_prob": TEXT_DROPOUT,
    }
    name = str(_setting(checkpoint, "sentence_features.model", "roberta-large"))
    if publisher == "salsa" and "roberta" not in name:
        return BertConfig(**shape, layer_norm_eps=1e-12, pad_token_id=0)
    return RobertaConfig(**shape, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2)


def _published_name(layout: Layout) -> Callable[[str], str]:
    prefixes = {
        "audio_model.": RETRIEVAL_AUDIO,
        "text_model.": layout.text,
        "audio_projection.": layout.audio_projection,
        "text_projection.": layout.text_projection,
    }

    def published(name: str) -> str:
        for ours, theirs in prefixes.items():
            if name.startswith(ours):
                return theirs + name.removeprefix(ours)
        return name

    return published


__all__ = ["RetrievalPlan", "plan_retrieval"]
