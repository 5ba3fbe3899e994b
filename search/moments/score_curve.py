"""Spans of a score curve: where a sentence fits, from scores at even steps of time."""

from typing import NamedTuple

import numpy as np

# Chosen on generated recordings of their own: benchmarks/bench_generated_moments.py --split validation.
LEVEL = 0.45
SMOOTHING = (0.25, 0.5, 0.25)
SHORTEST_SECONDS = 1.0
# Scores at the median that a span's mean is taken with: they hold back spans of few scores.
PRIOR_SCORES = 2
# A longer span is mostly a stretch in which the background changed, not an event: it counts a tenth.
LONG_SECONDS = 15.0
LONG_WEIGHT = 0.1


class CurveSpan(NamedTuple):
    """
    Attributes:
        start, end: seconds.
        strength: what spans are ranked by; see [`find_spans`].
        peak: the curve's highest value in it.
        first, last: first and last score that are above the span's level; none is between them that does not.
    """

    start: float
    end: float
    strength: float
    peak: float
    first: int
    last: int


def contrast_vector(query: np.ndarray, background: np.ndarray) -> np.ndarray:
    """
    A sentence less what it has in common with all sentences: its vector minus the mean of common queries'.

    The product with a sound's vector is the sentence's cosine minus the mean cosine of the common queries: how much
    better it fits than any sentence would.

    Args:
        query: unit vector ``(width,)``.
        background: unit vectors of common queries ``(questions, width)``; none at all changes nothing.
    """
    return query - background.mean(axis=0) if len(background) else query


def smoothed(scores: np.ndarray) -> np.ndarray:
    """Scores ``(n, ...)`` averaged along the first axis with both neighbours, weights 1/4, 1/2, 1/4."""
    padded = np.concatenate([scores[:1], scores, scores[-1:]])
    before, own, behind = SMOOTHING
    return before * padded[:-2] + own * padded[1:-1] + behind * padded[2:]


def find_spans(
    scores: np.ndarray,
    *,
    hop_seconds: float,
    duration: float,
    top: int,
    level: float = LEVEL,
    shortest: float = SHORTEST_SECONDS,
) -> list[CurveSpan]:
    """
    Spans of any length that stand out of a score curve, by flooding it from its peaks.

    From the highest score that no span has yet, a span continues to both sides as long as the curve is above a level
    between the curve's median and that peak. Its edges are where the curve, taken as straight between two scores,
    crosses that level. Spans are ranked by their strength: the sum of the heights above the median, divided by the
    number of scores plus two. That is their mean, held back where few scores make it up. A span of more than 15 s
    counts a tenth of that: such stretches mostly come from a change of background.

    Args:
        scores: ``(n,)``, one each ``hop_seconds``; the n-th belongs to ``(n + 0.5) * hop_seconds``.
        hop_seconds: between scores.
        duration: of the recording, seconds; no span ends later.
        top: spans at most.
        level: share of the way from median to peak, above 0 and below 1.
        shortest: seconds that a span is brought to, around its middle.

    Returns:
        The spans, the strongest first; they do not overlap, but for those brought to ``shortest``.

    Raises:
        ValueError: if there are no scores, or one is not finite.
    """
    if not len(scores) or not np.isfinite(scores).all():
        raise ValueError("the scores of a curve must be finite numbers, at least one.")
    height = np.asarray(scores, dtype=np.float64)
    height = height - np.median(height)
    free = np.ones(len(height), dtype=bool)
    spans: list[CurveSpan] = []
    # All of them: the strongest span need not hold the highest peak.
    for peak in np.argsort(-height, kind="stable").tolist():
        if height[peak] <= 0 and spans:
            break
        if not free[peak]:
            continue
        floor = level * height[peak]
        first = last = peak
        while first > 0 and free[first - 1] and height[first - 1] >= floor:
            first -= 1
        while last + 1 < len(height) and free[last + 1] and height[last + 1] >= floor:
            last += 1
        start = _crossing(height, first, first - 1, floor, hop_seconds) if first else 0.0
        end = _crossing(height, last, last + 1, floor, hop_seconds) if last + 1 < len(height) else duration
        free[first : last + 1] = False
        start, end = _at_least(shortest, start, min(end, duration), duration)
        inside = height[first : last + 1]
        strength = float(inside.sum() / (len(inside) + PRIOR_SCORES))
        if end - start > LONG_SECONDS:
            strength *= LONG_WEIGHT
        spans.append(CurveSpan(start, end, strength, float(scores[peak]), first, last))
    return sorted(spans, key=lambda span: -span.strength)[:top]


def _crossing(height: np.ndarray, inside: int, outside: int, floor: float, hop_seconds: float) -> float:
    """Seconds at which the curve falls through a level between two neighbours; midway if another span is beside it."""
    drop = height[inside] - height[outside]
    share = (height[inside] - floor) / drop if height[outside] < floor and drop > 0 else 0.5
    return float((inside + 0.5 + share * (outside - inside)) * hop_seconds)


def _at_least(shortest: float, start: float, end: float, duration: float) -> tuple[float, float]:
    lacking = min(shortest, duration) - (end - start)
    if lacking <= 0:
        return start, end
    start = min(max(0.0, start - lacking / 2), duration - min(shortest, duration))
    return start, start + min(shortest, duration)


__all__ = ["LEVEL", "SHORTEST_SECONDS", "CurveSpan", "contrast_vector", "find_spans", "smoothed"]
