"""Finds moments by short windows, computed from a recording or stored in an index."""

from typing import TYPE_CHECKING

import numpy as np

from ..query.hits import Hit
from ..query.ranking import percentile_of
from .score_curve import contrast_vector, find_spans, smoothed

if TYPE_CHECKING:
    from ...encoders.recordings.short_windows import ShortWindows

# Share of common queries, in per cent, whose best moment in a recording a result has to exceed.
DEFAULT_MIN_PERCENTILE = 80.0


def rank_dense_spans(
    recording: "ShortWindows",
    path: str,
    query: np.ndarray,
    background: np.ndarray,
    *,
    top: int,
    min_percentile: float = 0.0,
) -> list[Hit]:
    """
    Spans of a recording, the best first; spans no better than chance are skipped.

    A score is the sentence's cosine less the mean cosine of the common queries, smoothed over three scores
    ([`score_curve.find_spans`] makes spans of them). What chance gives is measured on the recording itself: each
    common query has a best score in it, and a span stays if its own best score exceeds ``min_percentile`` per cent
    of these.

    Args:
        recording: a vector each hop; those of short windows are compared with one another and never with windows'.
        path: of the recording.
        query: unit vector ``(width,)``.
        background: those of common queries ``(questions, width)``.
        top: spans at most.
        min_percentile: 0 to 100; 0 keeps all.

    Returns:
        Hits with the strength of [`find_spans`] as score, and as cosine the mean of the span's own.
    """
    vectors = recording.vectors
    scores = smoothed(vectors @ contrast_vector(query, background))
    hits = []
    threshold = chance_score(vectors, background, min_percentile)
    spans = find_spans(
        scores, hop_seconds=recording.hop_seconds, duration=recording.duration, top=len(scores)
    )
    for span in spans:
        if len(hits) == top:
            break
        if span.peak <= threshold:
            continue
        inside = vectors[span.first : span.last + 1].mean(axis=0)
        cosine = float(inside @ query)
        percentile = percentile_of(cosine, background @ inside)
        hits.append(
            Hit(path, span.start, span.end, span.strength, cosine, percentile, recording.duration, ())
        )
    return hits


def chance_score(vectors: np.ndarray, background: np.ndarray, min_percentile: float) -> float:
    """
    The score that ``min_percentile`` per cent of the common queries do not exceed anywhere in a recording.

    Args:
        vectors: of the recording ``(n, width)``.
        background: of the common queries ``(questions, width)``.
        min_percentile: 0 to 100; 0 gives minus infinity.
    """
    if min_percentile <= 0 or not len(background):
        return -np.inf
    scores = smoothed(vectors @ (background - background.mean(axis=0)).T)
    return float(np.quantile(scores.max(axis=0), min_percentile / 100))


__all__ = ["DEFAULT_MIN_PERCENTILE", "chance_score", "rank_dense_spans"]
