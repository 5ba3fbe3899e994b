"""Predicted moments: reading, checking and writing them in the form of DCASE 2026 Task 6."""

import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ...files.replacing import replace_path
from ..metrics.moment_metrics import MOST_PREDICTIONS
from .moment_queries import (
    ROUNDING_SECONDS,
    MomentFileError,
    MomentQuery,
    as_float,
    checked_span,
    read_json_lines,
)

Span = tuple[float, float, float]


class MomentPredictions(NamedTuple):
    """Spans ``(start, end, score)`` by ``qid``, the best first, and what a reader should know of the file."""

    spans: Mapping[str, tuple[Span, ...]]
    remarks: tuple[str, ...]


def read_moment_predictions(
    path: str | os.PathLike[str], queries: Sequence[MomentQuery]
) -> MomentPredictions:
    """
    Reads predictions of the given queries.

    One JSON object a line with ``qid`` and ``pred_relevant_windows``, a list of ``[start, end, score]``, the
    best first, possibly empty. ``vid`` and ``query`` are optional and are checked. Every query needs a line.
    Predictions after the tenth are ignored, with a remark.

    Args:
        path: file of JSON lines.
        queries: the queries that the predictions answer.

    Raises:
        MomentFileError: for a line of an unknown query or recording, a query that occurs twice or has no line,
            a span that is reversed, of length zero or outside its recording by more than a second, a score that is not
            finite, and scores that increase within a query.
    """
    path = Path(path)
    asked = {query.qid: query for query in queries}
    spans: dict[str, tuple[Span, ...]] = {}
    longer = 0
    for place, record in read_json_lines(path):
        qid = record.get("qid")
        qid = str(qid) if isinstance(qid, int) and not isinstance(qid, bool) else qid
        if not isinstance(qid, str) or qid not in asked:
            raise MomentFileError(f"{place}: qid {qid!r} is not among the {len(asked)} queries.")
        query = asked[qid]
        if qid in spans:
            raise MomentFileError(f"{place}: qid {qid!r} occurs a second time.")
        if record.get("vid", query.vid) != query.vid:
            raise MomentFileError(
                f"{place}: predicts recording {record['vid']!r}, but query {qid!r} is about {query.vid!r}."
            )
        found = record.get("pred_relevant_windows")
        if not isinstance(found, list):
            raise MomentFileError(
                f"{place}: pred_relevant_windows {found!r} must be a list of [start, end, score]."
            )
        spans[qid] = tuple(_prediction(place, window, query) for window in found)
        scores = [score for _, _, score in spans[qid]]
        rising = next((later for sooner, later in itertools.pairwise(scores) if later > sooner), None)
        if rising is not None:
            raise MomentFileError(f"{place}: scores must fall, but {rising:g} follows a lower one.")
        longer += len(found) > MOST_PREDICTIONS
    missing = [qid for qid in asked if qid not in spans]
    if missing:
        raise MomentFileError(
            f"{path}: {len(missing)} of {len(asked)} queries are missing, first {missing[0]!r}. A query without "
            "a prediction needs a line with an empty pred_relevant_windows."
        )
    remarks = []
    if longer:
        remarks.append(
            f"{path}: {longer} queries have more than {MOST_PREDICTIONS} predictions; the first "
            f"{MOST_PREDICTIONS} count."
        )
    return MomentPredictions(spans, tuple(remarks))


def write_moment_predictions(
    path: str | os.PathLike[str],
    queries: Sequence[MomentQuery],
    spans: Mapping[str, Sequence[Span]],
    *,
    most_predictions: int = MOST_PREDICTIONS,
) -> None:
    """
    Writes predictions of all queries, as the challenge takes them.

    Args:
        path: file of JSON lines; replaced at once.
        queries: those asked, in the order of the file.
        spans: by ``qid`` ``(start, end, score)`` in seconds, the best first.
        most_predictions: spans a query, at most.

    Raises:
        MomentFileError: if a query has no entry, or a span is invalid.
    """
    path = Path(path)
    lines = []
    for query in queries:
        if query.qid not in spans:
            raise MomentFileError(f"{path}: there are no predictions of query {query.qid!r}.")
        place = f"{path}, query {query.qid!r}"
        found = [_prediction(place, list(span), query) for span in spans[query.qid][:most_predictions]]
        lines.append(
            {
                "qid": query.qid,
                "query": query.query,
                "vid": query.vid,
                "pred_relevant_windows": [
                    [*_in_milliseconds(start, end), round(score, 6)] for start, end, score in found
                ],
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    replace_path(temporary, path)


def _in_milliseconds(start: float, end: float) -> tuple[float, float]:
    """Rounded times, but for a span so short that rounding would leave it without length."""
    rounded = round(start, 3), round(end, 3)
    return rounded if rounded[1] > rounded[0] else (start, end)


def _prediction(place: str, window: object, query: MomentQuery) -> Span:
    # Durations are rounded to seconds: a span in the last part of a second may start after them.
    start, end = checked_span(
        place,
        "the prediction",
        window,
        query.duration,
        latest_start=query.duration + ROUNDING_SECONDS,
    )
    score = window[2] if isinstance(window, list) and len(window) > 2 else None
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(as_float(score)):
        raise MomentFileError(f"{place}: the prediction {window!r} needs a finite score as its third number.")
    return start, end, float(score)


__all__ = ["MomentPredictions", "Span", "read_moment_predictions", "write_moment_predictions"]
