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
    cosines = rows["vector"] @ vector
    scores = combine_scores(cosines, [rows["vector"] @ other for other in unwanted]).astype(np.float64)
    if name_query is not None:
        scores = fuse_ranks([scores, name_scores(name_query, labels(rows))])
    scores = np.where(filters.mask(rows), scores, -np.inf)
    hits, seen = [], set()
    for place in np.argsort(-scores, kind="stable"):
        path = rows["path"][place]
        if not np.isfinite(scores[place]) or len(hits) == top:
            break
        if path in seen or (min_score is not None and scores[place] < min_score):
            continue
        seen.add(path)
        percentile = None
        if background is not None:
            percentile = percentile_of(float(cosines[place]), background() @ rows["vector"][place])
        hits.append(
            Hit(
                path=path,
                start=float(rows["start"][place]),
                end=float(rows["end"][place]),
                score=float(scores[place]),
                cosine=float(cosines[place]),
                percentile=percentile,
                duration=float(rows["duration"][place]),
                tags=rows["tags"][place],
                license=rows["license"][place],
                metadata=json.loads(rows["metadata"][place]),
            )
        )
    return hits


def ask_table(
    store: Store,
    files: Mapping[str, np.ndarray],
    vector: np.ndarray,
    unwanted: Sequence[np.ndarray],
    filters: Filters,
    *,
    exact: bool,
    top: int,
    name_query: str | None,
    **options: Any,
) -> list[Hit]:
    """
    [`rank_rows`] of the rows of a large table that are near enough to matter.

    Args:
        store: of the index.
        files: path and tags of every file.
        exact: compare with every vector, on disk.
        options: the others of `rank_rows`.

    Raises:
        StoreError: if the table cannot be read.
    """
    condition, limit = filters.sql(), max(FEWEST_ROWS, ROWS_AN_ANSWER * top)
    named = _well_named(files, name_query, limit) if name_query is not None else []
    while True:
        table = near = store.nearest(vector, limit, condition, exact=exact)
        if named:
            # Their windows may be far from the question, and are few.
            own = " OR ".join(f"({Filters(file=path).sql()})" for path in named)
            table = store.nearest(
                vector, limit, f"({own})" + (f" AND {condition}" if condition else ""), exact=True
            )
            table = arrow.concat_tables([near, table.filter(compute.invert(_among(table, near)))])
        rows = read_columns(table)["windows"]
        hits = rank_rows(rows, vector, unwanted, filters, top=top, name_query=name_query, **options)
        if len(hits) == top or len(near) < limit or limit >= MOST_ROWS:
            return hits
        # Few files own the best windows, or rows of whole files or unwanted ones stood among them.
        limit *= 4


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
