"""From the rows a question is asked of to ranked answers, each file once."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute

from .columns import read_columns
from .filters import Filters
from .hits import Hit
from .ranking import combine_scores, fuse_ranks, name_scores, percentile_of
from .store import Store

# Rows asked of an approximate index: several of one file may be among the best.
ROWS_AN_ANSWER, FEWEST_ROWS, MOST_ROWS = 20, 200, 50_000


# What is needed of rows to rank them; the rest is read of the answers alone.
RANKED_BY = ["path", "window", "start", "end", "vector"]


def rank_rows(
    rows: Mapping[str, np.ndarray],
    vector: np.ndarray,
    unwanted: Sequence[np.ndarray],
    filters: Filters,
    *,
    top: int,
    min_score: float | None,
    name_query: str | None,
    background: Callable[[], np.ndarray] | None,
) -> list[Hit]:
    """
    The best files among rows, each at its best window.

    Args:
        rows: windows as [`columns.read_columns`] has them.
        vector: of the question, unit length, ``(width,)``.
        unwanted: of what should not fit.
        filters: rows that they do not leave are no answers.
        top: answers at most.
        min_score: leave out what scores lower.
        name_query: rank by these words in names too.
        background: gives the vectors of common questions ``(questions, width)`` for percentiles; None without.
    """
    places, scores, cosines = _ranked(rows, vector, unwanted, filters.mask(rows), top, min_score, name_query)
    details = [{name: rows[name][place] for name in _DETAILS} for place in places]
    return _hits(rows, places, scores, cosines, details, background)


def ask_table(
    store: Store,
    files: Callable[[], Mapping[str, np.ndarray]],
    vector: np.ndarray,
    unwanted: Sequence[np.ndarray],
    filters: Filters,
    *,
    exact: bool,
    top: int,
    min_score: float | None,
    name_query: str | None,
    background: Callable[[], np.ndarray] | None,
) -> list[Hit]:
    """
    [`rank_rows`] of the rows of a large table that are near enough to matter.

    Args:
        store: of the index.
        files: gives path and tags of every file.
        exact: compare with every vector, on disk.

    Raises:
        StoreError: if the table cannot be read.
    """
    condition, limit = filters.sql(), max(FEWEST_ROWS, ROWS_AN_ANSWER * top)
    columns = RANKED_BY if name_query is None else [*RANKED_BY, "tags"]
    named = _well_named(files(), name_query, limit) if name_query is not None else []
    while True:
        table = near = store.nearest(vector, limit, condition, columns=columns, exact=exact)
        if named:
            # Their windows may be far from the question, and are few.
            own = " OR ".join(f"({Filters(file=path).sql()})" for path in named)
            where = f"({own})" + (f" AND {condition}" if condition else "")
            table = store.nearest(vector, limit, where, columns=columns, exact=True)
            table = arrow.concat_tables([near, table.filter(compute.invert(_among(table, near)))])
        rows = read_columns(table)["windows"]
        allowed = np.ones(len(rows["path"]), dtype=bool)
        places, scores, cosines = _ranked(rows, vector, unwanted, allowed, top, min_score, name_query)
        if len(places) == top or len(near) < limit or limit >= MOST_ROWS:
            break
        if min_score is not None and named == [] == list(unwanted) and cosines.min(initial=1.0) < min_score:
            # All that is further away scores lower still.
            break
        # Few files own the best windows, or rows of whole files or unwanted ones stood among them.
        limit *= 4
    if not places:
        return []
    found = store.file_rows(["path", *_DETAILS], [rows["path"][place] for place in places]).to_pylist()
    by_path = {row.pop("path"): {**row, "tags": tuple(row["tags"])} for row in found}
    # A file that another process takes out at this moment is no answer.
    there = [place for place in places if rows["path"][place] in by_path]
    details = [by_path[rows["path"][place]] for place in there]
    return _hits(rows, there, scores, cosines, details, background)


_DETAILS = ("duration", "tags", "license", "metadata")


def _ranked(
    rows: Mapping[str, np.ndarray],
    vector: np.ndarray,
    unwanted: Sequence[np.ndarray],
    allowed: np.ndarray,
    top: int,
    min_score: float | None,
    name_query: str | None,
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Rows of the best files, the best first; and the scores and cosines of all rows."""
    cosines = rows["vector"] @ vector
    scores = combine_scores(cosines, [rows["vector"] @ other for other in unwanted]).astype(np.float64)
    if name_query is not None:
        scores = fuse_ranks([scores, name_scores(name_query, labels(rows))])
    scores = np.where(allowed, scores, -np.inf)
    places: list[int] = []
    seen: set[str] = set()
    for place in np.argsort(-scores, kind="stable"):
        path = rows["path"][place]
        if not np.isfinite(scores[place]) or len(places) == top:
            break
        if path in seen or (min_score is not None and scores[place] < min_score):
            continue
        seen.add(path)
        places.append(int(place))
    return places, scores, cosines


def _hits(
    rows: Mapping[str, np.ndarray],
    places: Sequence[int],
    scores: np.ndarray,
    cosines: np.ndarray,
    details: Sequence[Mapping[str, Any]],
    background: Callable[[], np.ndarray] | None,
) -> list[Hit]:
    hits = []
    for place, known in zip(places, details, strict=True):
        percentile = None
        if background is not None:
            percentile = percentile_of(float(cosines[place]), background() @ rows["vector"][place])
        hits.append(
            Hit(
                path=rows["path"][place],
                start=float(rows["start"][place]),
                end=float(rows["end"][place]),
                score=float(scores[place]),
                cosine=float(cosines[place]),
                percentile=percentile,
                duration=float(known["duration"]),
                tags=known["tags"],
                license=known["license"],
                metadata=json.loads(known["metadata"]),
            )
        )
    return hits


def _well_named(files: Mapping[str, np.ndarray], name_query: str, most: int) -> list[str]:
    scores = name_scores(name_query, labels(files))
    best = np.argsort(-scores, kind="stable")[:most]
    return [files["path"][place] for place in best if np.isfinite(scores[place])]


def _among(table: arrow.Table, others: arrow.Table) -> arrow.Array:
    """Which rows are also in another table."""
    keys = [
        compute.binary_join_element_wise(
            part.column("path"), part.column("window").cast(arrow.string()), "\0"
        )
        for part in (table, others)
    ]
    return compute.is_in(keys[0], value_set=keys[1].combine_chunks())


def labels(rows: Mapping[str, np.ndarray]) -> list[str]:
    """The words of each row's file name and tags."""
    pairs = zip(rows["path"].tolist(), rows["tags"], strict=True)
    return [" ".join((*tags, Path(path).stem)) for path, tags in pairs]


__all__ = ["ask_table", "labels", "rank_rows"]
