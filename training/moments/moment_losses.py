"""Losses of the moment head, as pure functions of its outputs and the true moments."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from ...modeling.moment_spans import generalized_iou, span_iou

# Of the focal loss (Lin et al., ICCV 2017), as that paper sets them.
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
# Costs and weights of sets of spans as in DETR (Carion et al., ECCV 2020): class, distance, overlap.
CLASS_WEIGHT, DISTANCE_WEIGHT, OVERLAP_WEIGHT = 2.0, 5.0, 2.0
# How much a query without a moment counts beside one with a moment.
EMPTY_WEIGHT = 0.2


def frame_targets(
    moments: Sequence[tuple[float, float]], frames: int, frame_seconds: float
) -> tuple[np.ndarray, np.ndarray]:
    """
    Which frames are in a moment, and in which.

    A frame is in a moment if its middle does; of several moments it belongs to the shortest, of equally long ones
    to the first. A moment that contains no frame's middle gets the frame whose middle is nearest to its own.

    Args:
        moments: ``(start, end)`` in seconds from the first frame's start.
        frames: how many there are, at least 1.
        frame_seconds: step of the frames.

    Returns:
        bool ``(frames,)``, and float32 ``(frames, 2)`` start and end of each frame's moment, 0 outside.
    """
    middles = (np.arange(frames) + 0.5) * frame_seconds
    inside = np.zeros(frames, dtype=bool)
    spans = np.zeros((frames, 2), dtype=np.float32)
    # The longest first, so that shorter ones are written over it; of equal ones the first is written last.
    order = sorted(range(len(moments)), key=lambda place: (moments[place][0] - moments[place][1], -place))
    for start, end in (moments[place] for place in order):
        own = (middles >= start) & (middles < end)
        if not own.any():
            own[int(np.argmin(np.abs(middles - (start + end) / 2)))] = True
        inside |= own
        spans[own] = start, end
    return inside, spans


def focal_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """
    Focal loss of each binary decision: easy ones count little.

    Args:
        logits: of any shape.
        targets: 0 or 1, float, of the same shape.

    Returns:
        The losses, float32, of the same shape.
    """
    logits, targets = logits.float(), targets.float()
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probabilities = logits.sigmoid()
    missing = probabilities * (1 - targets) + (1 - probabilities) * targets
    balance = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    return balance * missing**FOCAL_GAMMA * losses


def dense_losses(
    logits: torch.Tensor,
    quality_logits: torch.Tensor,
    spans: torch.Tensor,
    real: torch.Tensor,
    inside: torch.Tensor,
    true_spans: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """
    Losses of a head that predicts a span at every frame.

    Args:
        logits: of a frame lying in a moment, ``(pairs, frames)``.
        quality_logits: of its span's IoU, ``(pairs, frames)``.
        spans: predicted, ``(pairs, frames, 2)`` in seconds.
        real: bool ``(pairs, frames)``, False for padding.
        inside, true_spans: of [`frame_targets`], ``(pairs, frames)`` and ``(pairs, frames, 2)``.

    Returns:
        ``saliency``: focal loss over real frames; ``span``: 1 - gIoU of frames inside; ``quality``: cross-entropy
        of these frames with the IoU of their spans as targets. Each a sum divided by the number of frames inside.
    """
    inside = inside & real
    count = inside.sum().clamp(min=1)
    saliency = (focal_loss(logits, inside.float()) * real).sum() / count
    predicted, true = spans[inside].float(), true_spans[inside].float()
    overlap = (1 - generalized_iou(predicted, true)).sum() / count
    ious = span_iou(predicted.detach(), true)
    quality = functional.binary_cross_entropy_with_logits(
        quality_logits[inside].float(), ious, reduction="sum"
    )
    return {"saliency": saliency, "span": overlap, "quality": quality / count}


def match_spans(
    logits: torch.Tensor, spans: torch.Tensor, true: torch.Tensor, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """
    The one-to-one assignment of true moments to predicted spans of least cost (Hungarian method).

    Args:
        logits: ``(queries,)``.
        spans: ``(queries, 2)`` in seconds.
        true: ``(moments, 2)``.
        scale: seconds that distances are divided by.

    Returns:
        Places of predictions and of moments, ``(min(queries, moments),)`` each.

    Raises:
        ImportError: without SciPy, which the extra 'moments' brings.
    """
    from scipy.optimize import linear_sum_assignment

    with torch.no_grad():
        cost = (
            -CLASS_WEIGHT * logits.float().sigmoid()[:, None]
            + DISTANCE_WEIGHT * (spans[:, None].float() - true[None].float()).abs().sum(dim=-1) / scale
            - OVERLAP_WEIGHT * generalized_iou(spans[:, None].float(), true[None].float())
        )
    return linear_sum_assignment(cost.cpu().numpy())


def set_losses(
    logits: torch.Tensor,
    quality_logits: torch.Tensor,
    spans: torch.Tensor,
    saliency_logits: torch.Tensor,
    real: torch.Tensor,
    inside: torch.Tensor,
    moments: Sequence[torch.Tensor],
    scale: float,
) -> dict[str, torch.Tensor]:
    """
    Losses of a head that predicts a set of spans with learned queries.

    Args:
        logits: ``(pairs, queries)``, of a query having a moment.
        quality_logits: ``(pairs, queries)``, of its span's IoU.
        spans: ``(pairs, queries, 2)`` in seconds.
        saliency_logits: ``(pairs, frames)``.
        real, inside: bool ``(pairs, frames)``.
        moments: of each pair ``(moments, 2)`` in seconds, possibly none.
        scale: seconds that distances are divided by.

    Returns:
        ``class``, ``distance`` (L1), ``span`` (1 - gIoU), ``quality`` and ``saliency``, weighted as in DETR.
    """
    targets, predicted, true, qualities = torch.zeros_like(logits), [], [], []
    for pair, own in enumerate(moments):
        if not len(own):
            continue
        chosen, meant = match_spans(logits[pair], spans[pair], own, scale)
        targets[pair, chosen] = 1.0
        predicted.append(spans[pair, chosen])
        true.append(own[meant].to(spans))
        qualities.append(quality_logits[pair, chosen])
    count = max(1, sum(len(one) for one in true))
    weights = torch.where(targets > 0, 1.0, EMPTY_WEIGHT)
    classes = functional.binary_cross_entropy_with_logits(logits.float(), targets.float(), weights)
    inside = inside & real
    saliency = (focal_loss(saliency_logits, inside.float()) * real).sum() / inside.sum().clamp(min=1)
    losses = {"class": CLASS_WEIGHT * classes, "saliency": saliency}
    if predicted:
        found, meant = torch.cat(predicted).float(), torch.cat(true).float()
        losses["distance"] = DISTANCE_WEIGHT * (found - meant).abs().sum() / scale / count
        losses["span"] = OVERLAP_WEIGHT * (1 - generalized_iou(found, meant)).sum() / count
        ious = span_iou(found.detach(), meant)
        quality = functional.binary_cross_entropy_with_logits(
            torch.cat(qualities).float(), ious, reduction="sum"
        )
        losses["quality"] = quality / count
    return losses


__all__ = ["dense_losses", "focal_loss", "frame_targets", "match_spans", "set_losses"]
