"""The frame-phrase loss: which phrase is heard at which frame, as a sigmoid loss over all pairs."""

import torch
from torch.nn import functional

# FineLAP's idea and values (ACL 2026): the loss of SigLIP (Zhai et al., ICCV 2023) between frames and phrases.
TEMPERATURE = 0.1
BIAS = -10.0


def frame_phrase_loss(
    frame_embeds: torch.Tensor,
    phrase_embeds: torch.Tensor,
    active: torch.Tensor,
    known: torch.Tensor,
    *,
    temperature: float = TEMPERATURE,
    bias: float = BIAS,
) -> torch.Tensor:
    """
    Sigmoid loss of all pairs of a frame and a phrase.

    Each pair is a decision of its own, ``-log sigmoid(z (cos / temperature + bias))`` with ``z`` 1 where the phrase is
    heard at the frame and -1 where it is not. The sum is divided by the number of frames with a known pair, as SigLIP
    divides by the number of clips.

    Args:
        frame_embeds: unit vectors ``(frames, width)`` of all clips.
        phrase_embeds: unit vectors ``(phrases, width)``.
        active: bool ``(frames, phrases)``, True where the phrase is heard.
        known: bool ``(frames, phrases)``; pairs that are False count nowhere, as of padding, or of a phrase that may
            or may not be true of another clip.
        temperature: divisor of the cosines, above 0.
        bias: added to them.

    Returns:
        A float32 scalar of at least 0; 0 if no pair is known.

    Raises:
        ValueError: if shapes differ or the temperature is not above 0.
    """
    shape = (len(frame_embeds), len(phrase_embeds))
    for name, mask in (("active", active), ("known", known)):
        if mask.shape != shape:
            raise ValueError(
                f"{name} has shape {tuple(mask.shape)}; with {shape[0]} frames and {shape[1]} phrases it must be "
                f"{shape}."
            )
    if not temperature > 0:
        raise ValueError(f"temperature={temperature} must be above 0.")
    logits = frame_embeds.float() @ phrase_embeds.float().T / temperature + bias
    signs = torch.where(active, 1.0, -1.0)
    losses = -functional.logsigmoid(signs * logits)
    losses = torch.where(known, losses, losses.new_zeros(()))
    return losses.sum() / known.any(dim=1).sum().clamp(min=1)


def active_frames(
    starts: torch.Tensor, ends: torch.Tensor, frames: int, frame_seconds: float
) -> torch.Tensor:
    """
    At which frames phrases are heard: those that an event covers by at least half.

    Args:
        starts, ends: of events in seconds, ``(events,)``.
        frames: of the clip.
        frame_seconds: length of a frame.

    Returns:
        bool ``(frames, events)``.
    """
    begin = torch.arange(frames, dtype=starts.dtype, device=starts.device)[:, None] * frame_seconds
    covered = torch.minimum(begin + frame_seconds, ends[None]) - torch.maximum(begin, starts[None])
    return covered >= frame_seconds / 2


__all__ = ["BIAS", "TEMPERATURE", "active_frames", "frame_phrase_loss"]
