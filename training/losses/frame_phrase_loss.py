"""The frame-phrase loss: a sigmoid loss over all pairs of a frame and a phrase."""

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
    Sigmoid loss over all pairs of a frame and a phrase.

    Each pair is a separate decision, ``-log sigmoid(z (cos / temperature + bias))`` with ``z`` 1 where the phrase is
    heard at the frame and -1 where it is not. The sum is divided by the number of frames with a known pair, as SigLIP
    divides by the number of clips.

    Args:
        frame_embeds: unit vectors ``(frames, width)`` of all clips.
        phrase_embeds: unit vectors ``(phrases, width)``.
        active: bool ``(frames, phrases)``, True where the phrase is heard.
        known: bool ``(frames, phrases)``; False pairs are ignored: padding, and phrases that may or may not be true of
            another clip.
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


def active_frames(middles: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """
    Mask of the frames at which events are heard: those whose centre they cover.

    Args:
        middles: centre times of frames in seconds, ``(frames,)``.
        starts, ends: of events in seconds, ``(events,)``.

    Returns:
        bool ``(frames, events)``.
    """
    return (middles[:, None] >= starts[None]) & (middles[:, None] < ends[None])


def heard_phrases(
    middles: torch.Tensor,
    clips: torch.Tensor,
    events: torch.Tensor,
    phrase_labels: torch.Tensor,
) -> torch.Tensor:
    """
    Mask of the phrases that are true at each frame: an event of the frame's clip has their label at that time.

    Args:
        middles: centre times of frames in seconds within their clip, ``(frames,)``.
        clips: each frame's clip, int64 ``(frames,)``.
        events: ``(events, 4)``: clip, label, start, end.
        phrase_labels: int64 ``(phrases,)``.

    Returns:
        bool ``(frames, phrases)``.
    """
    own = clips[:, None] == events[None, :, 0].long()
    sounding = own & active_frames(middles, events[:, 2], events[:, 3])
    of_label = events[:, 1].long()[:, None] == phrase_labels[None]
    return (sounding.float() @ of_label.float()) > 0


__all__ = ["BIAS", "TEMPERATURE", "active_frames", "frame_phrase_loss", "heard_phrases"]
