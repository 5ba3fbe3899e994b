"""The frame-phrase loss of a training batch: from a tower's tokens and the batch's events to a scalar."""

from collections.abc import Mapping, MutableMapping
from typing import Any

import torch

from .frame_phrase_loss import frame_phrase_loss, heard_phrases

_TEXT = ("input_ids", "attention_mask", "token_type_ids")
_NAMES = ("events", "phrase_labels", *(f"phrase_{name}" for name in _TEXT))


def take_phrases(inputs: MutableMapping[str, Any]) -> dict[str, torch.Tensor]:
    """Removes the inputs for events from a batch and returns them; empty if there are none."""
    return {name: inputs.pop(name) for name in _NAMES if name in inputs}


def check_model_keeps_frames(model: torch.nn.Module) -> None:
    """
    Raises:
        ValueError: if the audio tower drops patches in training: its frames would be incomplete.
    """
    config = model.config.audio_config
    for name in ("patchout_time", "patchout_frequency"):
        if getattr(config, name, 0):
            raise ValueError(
                f"the frame-phrase loss needs all patches: set model.audio.config.{name} to 0 (it is "
                f"{getattr(config, name)})."
            )


def frame_phrase_step(
    model: torch.nn.Module,
    tokens: torch.Tensor,
    segment_counts: torch.Tensor,
    phrases: Mapping[str, torch.Tensor],
    *,
    segment_seconds: float,
    mel_hop_seconds: float,
) -> torch.Tensor:
    """
    The loss of the tower's columns of patches with the phrases of all events of a batch.

    Args:
        model: the dual encoder, with a local projection.
        tokens: the audio tower's output ``(segments, tokens, hidden_size)``, with no patch dropped.
        segment_counts: segments of each clip, ``(clips,)``.
        phrases: result of [`take_phrases`].
        segment_seconds: length of a segment.
        mel_hop_seconds: time between the tower's mel frames.

    Returns:
        A scalar; 0 for a batch without an event.
    """
    if "phrase_input_ids" not in phrases:
        return tokens.sum() * 0.0
    columns = model.audio_model.token_columns(tokens)
    config = model.config.audio_config
    patch = config.patch_size
    stride = getattr(config, "time_stride", patch)
    places = torch.arange(columns.shape[1], device=tokens.device)
    within = (places * stride + patch / 2) * mel_hop_seconds
    clips = torch.repeat_interleave(
        torch.arange(len(segment_counts), device=tokens.device), segment_counts.to(tokens.device)
    )
    firsts = torch.cumsum(segment_counts, 0) - segment_counts
    numbers = torch.arange(len(tokens), device=tokens.device) - firsts.to(tokens.device)[clips]
    middles = (numbers[:, None] * segment_seconds + within[None]).flatten()
    text = {
        name: phrases[f"phrase_{name}"].to(tokens.device) for name in _TEXT if f"phrase_{name}" in phrases
    }
    active = heard_phrases(
        middles,
        clips.repeat_interleave(columns.shape[1]),
        phrases["events"].to(tokens.device),
        phrases["phrase_labels"].to(tokens.device),
    )
    return frame_phrase_loss(
        model.project_frames(columns).flatten(0, 1),
        model.get_text_features(**text).pooler_output,
        active,
        torch.ones_like(active),
    )


__all__ = ["check_model_keeps_frames", "frame_phrase_step", "take_phrases"]
