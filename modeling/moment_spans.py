"""Spans of time from a moment head's outputs: suppression of repeats, voting, parts of long recordings."""

import torch


def span_iou(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """
    Intersection over union of spans, broadcast over all leading dimensions.

    Args:
        first, second: ``(..., 2)`` start and end, the end not before the start.

    Returns:
        ``(...)`` in [0, 1]; 0 for two spans of length zero.
    """
    shared = torch.minimum(first[..., 1], second[..., 1]) - torch.maximum(first[..., 0], second[..., 0])
    shared = shared.clamp(min=0)
    union = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0]) - shared
    return shared / union.clamp(min=1e-9)


def generalized_iou(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """
    Generalised intersection over union of spans (Rezatofighi et al., CVPR 2019) in one dimension.

    The IoU less the share of the smallest span around both that neither covers: below 0 for spans that are apart,
    so that a loss of it has a gradient there.

    Args:
        first, second: ``(..., 2)``, broadcast.

    Returns:
        ``(...)`` in (-1, 1].
    """
    shared = torch.minimum(first[..., 1], second[..., 1]) - torch.maximum(first[..., 0], second[..., 0])
    shared = shared.clamp(min=0)
    union = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0]) - shared
    around = torch.maximum(first[..., 1], second[..., 1]) - torch.minimum(first[..., 0], second[..., 0])
    return shared / union.clamp(min=1e-9) - (around - union) / around.clamp(min=1e-9)


def best_spans(
    spans: torch.Tensor, scores: torch.Tensor, *, top: int, same_span_iou: float, vote_iou: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The best spans that do not repeat one another (non-maximum suppression), with edges voted on.

    Args:
        spans: ``(candidates, 2)`` start and end.
        scores: ``(candidates,)``, at least 0.
        top: spans at most.
        same_span_iou: a candidate with at least this IoU with a kept one is dropped.
        vote_iou: a kept span becomes the score-weighted mean of all candidates that have at least this IoU with it.

    Returns:
        Spans ``(kept, 2)`` and scores ``(kept,)``, the best first; of equal scores the earlier candidate first.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    free = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    kept, voted = [], []
    for place in order.tolist():
        if len(kept) == top:
            break
        if not free[place]:
            continue
        ious = span_iou(spans, spans[place])
        if vote_iou < 1:
            weights = torch.where(ious >= vote_iou, scores, scores.new_zeros(()))
            total = weights.sum()
            # A score of 0 has no weight: the span stays unchanged.
            voted.append((weights[:, None] * spans).sum(dim=0) / total if total > 0 else spans[place])
        else:
            voted.append(spans[place])
        kept.append(place)
        free &= ious < same_span_iou
        free[place] = False
    if not kept:
        return spans[:0], scores[:0]
    return torch.stack(voted), scores[kept]


def parts_of(frames: int, at_once: int) -> list[tuple[int, int, int, int]]:
    """
    Parts in which a recording is read, and the frames that each part predicts.

    Args:
        frames: frames of the recording, at least 1.
        at_once: frames of a part, at least 4.

    Returns:
        ``(first, end, own first, own end)``: parts overlap by half, their own frames divide the recording, and
        are at least a quarter of a part from an edge inside the recording.
    """
    if frames <= at_once:
        return [(0, frames, 0, frames)]
    hop = at_once // 2
    firsts = [*range(0, frames - at_once, hop), frames - at_once]
    parts = []
    for place, first in enumerate(firsts):
        own_first = 0 if place == 0 else parts[-1][3]
        own_end = frames if place + 1 == len(firsts) else (firsts[place + 1] + first + at_once) // 2
        parts.append((first, first + at_once, own_first, own_end))
    return parts


__all__ = ["best_spans", "generalized_iou", "parts_of", "span_iou"]
