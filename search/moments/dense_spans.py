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
        Hits with the strength of [`find_spans`] as score, which orders them; as cosine that of the sentence with the
        mean of the span's vectors; as percentile the share of common queries whose best score in the recording is
        below the span's own best one, which is what ``min_percentile`` is compared with.
    """
    vectors = recording.vectors
    scores = smoothed(vectors @ contrast_vector(query, background))
    hits = []
    best_by_chance = best_scores(vectors, background)
    threshold = chance_score(best_by_chance, min_percentile)
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
        percentile = percentile_of(span.peak, best_by_chance)
        hits.append(
            Hit(path, span.start, span.end, span.strength, cosine, percentile, recording.duration, ())
        )
    return hits


def best_scores(vectors: np.ndarray, background: np.ndarray) -> np.ndarray:
    """
    The best score of each common query in a recording, ``(questions,)``.

    Args:
        vectors: of the recording ``(n, width)``.
        background: of the common queries ``(questions, width)``.
    """
    if not len(background):
        return np.zeros(0)
    return smoothed(vectors @ (background - background.mean(axis=0)).T).max(axis=0)


def chance_score(best: np.ndarray, min_percentile: float) -> float:
    """
    The score that ``min_percentile`` per cent of the common queries do not exceed anywhere in a recording.

    Args:
        best: as of [`best_scores`].
        min_percentile: 0 to 100; 0 gives minus infinity.
    """
    if min_percentile <= 0 or not len(best):
        return -np.inf
    return float(np.quantile(best, min_percentile / 100))


__all__ = ["DEFAULT_MIN_PERCENTILE", "best_scores", "chance_score", "rank_dense_spans"]
