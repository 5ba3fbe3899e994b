"""Pure functions of searching: combined scores, percentiles, fused ranks, merged spans."""

from collections.abc import Sequence

import numpy as np

RANK_FUSION_CONSTANT = 60
NEGATIVE_WEIGHT = 0.5
# Chosen on recordings of their own: benchmarks/bench_moments.py.
SHORTEST_SPAN = 1.5
ROUNDING_SECONDS = 1e-6

# Common queries: a score is easier to interpret in comparison with theirs.
BACKGROUND_QUERIES = (
    "a dog barks", "rain falls", "a bird sings", "people talk", "a car passes by", "music plays", "wind blows",
    "water flows", "a door closes", "footsteps on gravel", "a bell rings", "an engine idles", "a child laughs",
    "a crowd cheers", "thunder rolls", "a clock ticks", "a phone rings", "a train passes", "a cat meows",
    "waves on a beach", "a siren wails", "keys jingle", "glass breaks", "a fire crackles",
    "an aeroplane flies over",
    "insects buzz", "somebody coughs", "a hammer hits metal", "paper rustles", "a machine hums", "silence",
    "a drum is played", "a frog croaks", "hands clap", "a saw cuts wood", "a whistle blows", "coins fall",
    "food sizzles in a pan", "a baby cries", "a cow moos", "static noise", "a horn honks", "a toilet is flushed",
    "typing on a keyboard", "a helicopter hovers", "church bells", "a rooster crows", "somebody snores",
)  # fmt: skip


def combine_scores(wanted: np.ndarray, unwanted: Sequence[np.ndarray]) -> np.ndarray:
    """
    Scores ``(rows,)`` of a sentence, minus half of the highest positive score of the unwanted sentences.

    Args:
        wanted: cosines of the sentence, ``(rows,)``.
        unwanted: cosines of each unwanted sentence, ``(rows,)``; none changes nothing.
    """
    if not len(unwanted):
        return wanted
    worst = np.max(np.stack(list(unwanted)), axis=0)
    return wanted - NEGATIVE_WEIGHT * np.maximum(worst, 0.0)


def percentile_of(score: float, background: np.ndarray) -> float:
    """Share of background scores below a score, in percent; ties count half."""
    if not len(background):
        return 0.0
    return float(100 * ((background < score).mean() + 0.5 * (background == score).mean()))


def fuse_ranks(rankings: Sequence[np.ndarray]) -> np.ndarray:
    """
    Reciprocal rank fusion (Cormack et al., SIGIR 2009): the sum of 1 / (60 + rank).

    Args:
        rankings: scores ``(rows,)`` of each ranking, higher is better; equal scores share the best of their ranks,
            rows of minus infinity add nothing.

    Returns:
        Fused scores ``(rows,)``.
    """
    fused = np.zeros(len(rankings[0]), dtype=np.float64)
    for scores in rankings:
        ranks = 1 + np.searchsorted(np.sort(-scores), -scores, side="left")
        fused += np.where(np.isfinite(scores), 1.0 / (RANK_FUSION_CONSTANT + ranks), 0.0)
    return fused


def merge_spans(
    starts: np.ndarray,
    ends: np.ndarray,
    scores: np.ndarray,
    *,
    top: int,
    threshold: float,
    shortest: float = SHORTEST_SPAN,
) -> list[tuple[float, float, float]]:
    """
    Ranked spans of a recording: each best window, extended by overlapping windows that score nearly as well.

    A window that contains only the end of a sound scores well too. To cover the sound, a span first adds the better
    of its neighbours until it is one and a half windows long, and then those that score nearly as well.

    Args:
        starts, ends: of the windows, seconds, rising, ``(windows,)``.
        scores: scores of the windows.
        top: spans at most.
        threshold: how far below its best window a span's further windows may score.
        shortest: minimum length of a span, in lengths of its best window; 1 does not extend it.

    Returns:
        (start, end, best score), the best first; spans do not overlap.
    """
    free = np.ones(len(scores), dtype=bool)
    spans = []
    while free.any() and len(spans) < top:
        best = int(np.flatnonzero(free)[np.argmax(scores[free])])
        first = last = best
        enough = shortest * (ends[best] - starts[best]) - ROUNDING_SECONDS
        while True:
            short = ends[last] - starts[first] < enough
            least = -np.inf if short else scores[best] - threshold
            beside = []
            if first > 0 and free[first - 1] and ends[first - 1] > starts[first]:
                beside.append(first - 1)
            if last + 1 < len(scores) and free[last + 1] and starts[last + 1] < ends[last]:
                beside.append(last + 1)
            beside = [place for place in beside if scores[place] >= least]
            if not beside:
                break
            taken = max(beside, key=lambda place: scores[place])
            first, last = min(first, taken), max(last, taken)
        start, end = float(starts[first]), float(ends[last])
        spans.append((start, end, float(scores[best])))
        free &= (ends <= start) | (starts >= end)
        free[first : last + 1] = False
    return spans


__all__ = [
    "BACKGROUND_QUERIES",
    "combine_scores",
    "fuse_ranks",
    "merge_spans",
    "percentile_of",
]
