"""Moment retrieval metrics: how well predicted time spans match the true moments of a query.

The measures follow DCASE 2026 Task 6 and earlier benchmarks of video moment retrieval
(QVHighlights, Lei et al., 2021):

* **IoU** of two spans: the length of their intersection divided by the length of their union. Spans that only
  touch have an IoU of 0.
* ``R1@t``: 1 if the first prediction has an IoU of at least t with *any* true moment of the query, else 0.
* ``mIoU``: the largest IoU of the first prediction with a true moment.
* ``AP@t``: interpolated average precision (PASCAL VOC 2011) over the first ten predictions. Predictions are
  taken in their order; each one claims the free true moment of largest IoU, if that IoU is at least t.
  Of several true moments with equal IoU the last one in the list is claimed first.
* ``mAP``: the mean of ``AP@t`` over t = .5, .55, ..., .95.

A query without a prediction scores 0 on every measure. The published code averages over the queries that were
predicted, so a missing query raises the values; here the caller passes every query. All values are in
[0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
RECALL_THRESHOLDS = (0.5, 0.7)
REPORTED_PRECISIONS = (0.5, 0.75)
MOST_PREDICTIONS = 10

Spans = Sequence[Sequence[float]]


def temporal_iou(first: Spans, second: Spans) -> np.ndarray:
    """
    Intersection over union of every pair of two lists of spans.

    Args:
        first: ``(n, 2)`` start and end in seconds, each end after its start.
        second: ``(m, 2)``, likewise.

    Returns:
        ``(n, m)`` float64 in [0, 1].

    Raises:
        ValueError: if a span is not finite, or does not end after it starts.
    """
    one, other = _checked_spans("first", first), _checked_spans("second", second)
    intersections = np.minimum(one[:, None, 1], other[None, :, 1]) - np.maximum(
        one[:, None, 0], other[None, :, 0]
    )
    intersections = np.maximum(intersections, 0.0)
    unions = (one[:, 1] - one[:, 0])[:, None] + (other[:, 1] - other[:, 0])[None, :] - intersections
    return intersections / unions


def average_precision(
    predicted: Spans, true: Spans, thresholds: Sequence[float] = IOU_THRESHOLDS
) -> np.ndarray:
    """
    Interpolated average precision of one query at each IoU threshold.

    Args:
        predicted: ``(n, 2)`` spans, the best first; all count. None at all scores 0.
        true: ``(m, 2)`` true moments, at least one.
        thresholds: IoU from which a prediction matches, each in (0, 1].

    Returns:
        ``(thresholds,)`` float64 in [0, 1].

    Raises:
        ValueError: if there is no true moment, a span is invalid or a threshold out of range.
    """
    limits = np.asarray(thresholds, dtype=np.float64)
    if not ((limits > 0) & (limits <= 1)).all():
        raise ValueError(f"thresholds={list(thresholds)} must be in (0, 1].")
    if len(true) == 0:
        raise ValueError("a query has no true moment, but needs at least one.")
    if len(predicted) == 0:
        _checked_spans("second", true)
        return np.zeros(len(limits))
    ious = temporal_iou(predicted, true)
    order = np.argsort(ious, axis=1, kind="stable")[:, ::-1]
    free = np.ones((len(limits), len(true)), dtype=bool)
    hits = np.zeros((len(limits), len(ious)), dtype=bool)
    for place, row in enumerate(ious):
        for level, limit in enumerate(limits):
            for moment in order[place]:
                if row[moment] < limit:
                    break
                if free[level, moment]:
                    free[level, moment] = False
                    hits[level, place] = True
                    break
    return np.array([_interpolated(row, len(true)) for row in hits])


def query_moment_values(
    predicted: Sequence[Spans], true: Sequence[Spans], *, most_predictions: int = MOST_PREDICTIONS
) -> dict[str, np.ndarray]:
    """
    Every measure of every query.

    Args:
        predicted: for each query ``(n, 2)`` or ``(n, 3)`` spans, the best first, possibly none; a third
            column, a score, is ignored.
        true: for each query ``(m, 2)`` true moments, at least one.
        most_predictions: only the first predictions, up to this number, count.

    Returns:
        By measure ``(queries,)`` float64 in [0, 1]: ``R1@0.5``, ``R1@0.7``, ``mAP``, ``mAP@0.5``,
        ``mAP@0.75``, ``mIoU``.

    Raises:
        ValueError: naming the query at fault: no true moment, an invalid span; or if the numbers of queries
            differ or there are no queries.
    """
    if len(predicted) != len(true):
        raise ValueError(f"predictions of {len(predicted)} queries against {len(true)} queries.")
    if not len(true):
        raise ValueError("there are no queries.")
    if most_predictions < 1:
        raise ValueError(f"most_predictions={most_predictions} must be at least 1.")
    firsts = np.zeros(len(true))
    precisions = np.zeros((len(true), len(IOU_THRESHOLDS)))
    for query, (spans, moments) in enumerate(zip(predicted, true, strict=True)):
        ranked = [tuple(span)[:2] for span in spans][:most_predictions]
        try:
            precisions[query] = average_precision(ranked, moments)
            if ranked:
                firsts[query] = temporal_iou(ranked[:1], moments).max()
        except ValueError as error:
            raise ValueError(f"query {query}: {error}") from error
    values = {f"R1@{limit:g}": (firsts >= limit).astype(np.float64) for limit in RECALL_THRESHOLDS}
    values["mAP"] = precisions.mean(axis=1)
    for limit in REPORTED_PRECISIONS:
        values[f"mAP@{limit:g}"] = precisions[:, IOU_THRESHOLDS.index(limit)]
    values["mIoU"] = firsts
    return values


def moment_metrics(predicted: Sequence[Spans], true: Sequence[Spans]) -> dict[str, float]:
    """
    Means over queries of [`query_moment_values`].

    Args:
        predicted: as there. true: as there.

    Raises:
        ValueError: as there.
    """
    return {name: float(values.mean()) for name, values in query_moment_values(predicted, true).items()}


def ceiling_ious(
    starts: np.ndarray, ends: np.ndarray, true: Spans, *, shortest: float, longest: float
) -> np.ndarray:
    """
    The largest IoU that a span finder could reach with each true moment: an oracle among the spans it can give.

    Args:
        starts: seconds at which its spans may begin, ``(n,)``.
        ends: seconds at which they may end, ``(m,)``.
        true: ``(moments, 2)`` true moments of a query.
        shortest, longest: lengths that its spans have, in seconds.

    Returns:
        ``(moments,)`` float64 in [0, 1]; 0 where no span overlaps the moment.

    Raises:
        ValueError: if a true moment is invalid.
    """
    best = []
    for start, end in _checked_spans("true", true):
        # Spans that start after the moment's end, or end before its start, do not overlap it.
        own_starts = starts[(starts < end) & (starts >= start - longest)]
        own_ends = ends[(ends > start) & (ends <= end + longest)]
        lengths = own_ends[None, :] - own_starts[:, None]
        shared = np.minimum(own_ends, end)[None, :] - np.maximum(own_starts, start)[:, None]
        possible = (lengths >= shortest - 1e-6) & (lengths <= longest + 1e-6) & (shared > 0)
        ious = np.where(possible, shared / np.maximum(lengths + (end - start) - shared, 1e-12), 0.0)
        best.append(float(ious.max()) if ious.size else 0.0)
    return np.array(best)


def _interpolated(hits: np.ndarray, moments: int) -> float:
    """Area under the interpolated precision-recall curve of predictions in their order."""
    found = np.cumsum(hits)
    recall = np.concatenate([[0.0], found / moments, [1.0]])
    precision = np.concatenate([[0.0], found / np.arange(1, len(hits) + 1), [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(np.sum((recall[steps] - recall[steps - 1]) * envelope[steps]))


def _checked_spans(name: str, spans: Spans) -> np.ndarray:
    table = np.asarray(spans, dtype=np.float64).reshape(len(spans), -1) if len(spans) else np.zeros((0, 2))
    if table.shape[1] != 2:
        raise ValueError(f"{name} has spans of {table.shape[1]} numbers, but needs start and end.")
    for start, end in table:
        if not (np.isfinite(start) and np.isfinite(end)):
            raise ValueError(f"the span [{start:g}, {end:g}] is not finite.")
        if end <= start:
            raise ValueError(f"the span [{start:g}, {end:g}] does not end after it starts.")
    return table


__all__ = [
    "IOU_THRESHOLDS",
    "MOST_PREDICTIONS",
    "average_precision",
    "ceiling_ious",
    "moment_metrics",
    "query_moment_values",
    "temporal_iou",
]
