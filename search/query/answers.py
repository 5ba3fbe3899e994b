"""Ranks the rows of an index for a query; each file appears once."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute

from ..errors import SearchError
from ..store.columns import read_columns
from ..store.entries import WHOLE_FILE, matrix, paths_among
from ..store.index_store import Store
from ..store.vector_index import NearestQuery
from .filters import Filters
from .hits import Hit, check_top
from .index_contents import IndexContents
from .names import labels, name_scores
from .ranking import combine_scores, fuse_ranks, percentile_of

# An approximate index returns more rows than results, since several rows may belong to one file.
ROWS_AN_ANSWER, FEWEST_ROWS, MOST_ROWS = 20, 200, 50_000
# Columns that ranking needs; other columns are read for the results only.
RANKED_BY = ("path", "window", "start", "end", "vector")
DETAILS = ("duration", "tags", "license", "metadata", "digest")
RANKINGS = ("window", "clip")
DEFAULT_RANKING = "window"
SHORTEST = 1e-12


@dataclass(frozen=True)
class Question:
    """
    A query as vectors.

    Attributes:
        vector: vector of the query, unit length, ``(width,)``.
        unwanted: vectors of what the results should not contain, unit length, ``(unwanted, width)``.
        top: answers at most.
        min_score: minimum of the cosine minus the penalty of ``negative``; None keeps all.
        name_query: rank by these words in names too; None does not.
        background: gives the vectors of common queries ``(questions, width)`` for percentiles; None without.
        rank: "window" ranks files by their best window, "clip" by the vector of the whole file.
        same_length: vectors are stored in half precision, so their lengths differ from 1 by up to 0.0005; this
            leaves the lengths out of the comparison. The vectors of two copies then score 1, and nothing more.
    """

    vector: np.ndarray
    unwanted: Sequence[np.ndarray] = ()
    top: int = 10
    min_score: float | None = None
    name_query: str | None = None
    background: Callable[[], np.ndarray] | None = None
    rank: str = DEFAULT_RANKING
    same_length: bool = False


def check_question(question: Question) -> None:
    """
    Raises:
        SearchError: for a number of results below 1, a minimum score that is not a number, or an unknown ranking.
    """
    check_top(question.top)
    least = question.min_score
    if least is not None and (isinstance(least, bool) or not isinstance(least, Real) or math.isnan(least)):
        raise SearchError(f"min_score={least!r}: must be a number.")
    if question.rank not in RANKINGS:
        raise SearchError(f"rank {question.rank!r}: must be one of {', '.join(RANKINGS)}.")


def rank_contents(contents: IndexContents, question: Question, filters: Filters) -> list[Hit]:
    """
    The best files of an index that is in memory, each at its best window.

    With ``rank="clip"``, score and cosine are those of the whole file; the span is still its best window.

    Args:
        contents: contents of the index.
        question: the query.
        filters: only files that match them can be results.
    """
    rows, by_name = contents.windows if question.rank == "window" else contents.files, None
    if question.name_query is not None:
        by_name = contents.names.scores(question.name_query)[rows["file"]]
    return rank_rows(contents, rows, question, filters.mask(rows), by_name)


def rank_rows(
    contents: IndexContents,
    rows: Mapping[str, np.ndarray],
    question: Question,
    allowed: np.ndarray,
    by_name: np.ndarray | None = None,
) -> list[Hit]:
    """
    [`rank_contents`] for some of the rows.

    Args:
        contents: contents of the index.
        rows: rows of windows or of files, as the ranking requires, in order.
        question: the query.
        allowed: mask of the rows that may be results, ``(rows,)``.
        by_name: scores of the rows by their files' names, or None.
    """
    ranked = _ranked(rows, question, allowed, by_name)
    details = [{name: rows[name][place] for name in DETAILS} for place in ranked.places]
    hits = _hits(rows, ranked, ranked.places, details, question)
    if question.rank == "window":
        return hits
    windows, files = contents.windows, rows["file"][ranked.places]
    # Windows are sorted by file.
    edges = zip(*(np.searchsorted(windows["file"], files, side) for side in ("left", "right")), strict=True)
    parts = [
        {name: windows[name][first:behind] for name in ("start", "end", "vector")} for first, behind in edges
    ]
    return [_at_best_window(hit, part, question) for hit, part in zip(hits, parts, strict=True)]


def _at_best_window(hit: Hit, windows: Mapping[str, np.ndarray], question: Question) -> Hit:
    scores = combine_scores(
        windows["vector"] @ question.vector, [windows["vector"] @ other for other in question.unwanted]
    )
    best = int(np.argmax(scores))
    return replace(hit, start=float(windows["start"][best]), end=float(windows["end"][best]))


def ask_table(
    store: Store, contents: IndexContents, question: Question, filters: Filters, *, exact: bool
) -> list[Hit]:
    """
    [`rank_contents`] for a large table: takes the nearest rows, and rows that are not in the table yet.

    Args:
        store: store of the index.
        contents: contents of the index, for the names of its files.
        question, filters: as above.
        exact: compare with every vector, on disk.

    Raises:
        StoreError: if the table cannot be read.
    """
    kind, by_clip = "windows", question.rank == "clip"
    conditions = [filters.sql()]
    if by_clip:
        if question.name_query is not None:
            return _ask_table_by_clip_and_names(store, question, filters)
        kind = "files"
        conditions.append(f"window = {WHOLE_FILE}")
    condition = " AND ".join(part for part in conditions if part) or None
    limit = min(MOST_ROWS, max(FEWEST_ROWS, ROWS_AN_ANSWER * question.top))
    columns = RANKED_BY if question.name_query is None else (*RANKED_BY, "tags", "metadata")
    # Before the table, into which it may go at this moment.
    waiting = store.waiting()
    allowed_waiting = None if waiting is None else _filtered(waiting, filters).select(columns)
    named = _named(store, contents, question, condition, columns, limit)
    while True:
        near = store.nearest(NearestQuery(question.vector, limit, condition, columns, exact))
        fitting = _fitting(near, filters)
        # What the table has of waiting files is out of date.
        parts = [_without_files(fitting, waiting)]
        if named is not None:
            parts.append(_without_rows(_without_files(_fitting(named, filters), waiting), fitting))
        if allowed_waiting is not None:
            parts.append(allowed_waiting)
        rows = read_columns(arrow.concat_tables(parts))[kind]
        by_name = None
        if question.name_query is not None:
            by_name = name_scores(question.name_query, labels(rows))
        ranked = _ranked(rows, question, np.ones(len(rows["path"]), dtype=bool), by_name)
        if len(ranked.places) == question.top or len(near) < limit or limit >= MOST_ROWS:
            break
        if question.min_score is not None and _farthest(near, question.vector) < question.min_score:
            # All that is further away scores lower still.
            break
        # A few files own the best windows, or other rows (whole files, unwanted sounds) took their places.
        limit *= 4
    paths = [rows["path"][place] for place in ranked.places]
    found = store.file_rows(["path", *DETAILS], paths).to_pylist() if paths else []
    by_path = {row.pop("path"): {**row, "tags": tuple(row["tags"])} for row in found}
    # A file that another process removes at this moment cannot be a result.
    there = [place for place in ranked.places if rows["path"][place] in by_path]
    hits = _hits(rows, ranked, there, [by_path[rows["path"][place]] for place in there], question)
    return _at_best_windows(store, hits, question) if by_clip else hits


def _ask_table_by_clip_and_names(store: Store, question: Question, filters: Filters) -> list[Hit]:
    """By whole files and their names, all of them: one row a file is few."""
    rows = read_columns(store.file_rows(["path", "window", "start", "end", "vector", *DETAILS]))["files"]
    by_name = None
    if question.name_query is not None:
        by_name = name_scores(question.name_query, labels(rows))
    ranked = _ranked(rows, question, filters.mask(rows), by_name)
    details = [{name: rows[name][place] for name in DETAILS} for place in ranked.places]
    return _at_best_windows(store, _hits(rows, ranked, ranked.places, details, question), question)


def _at_best_windows(store: Store, hits: Sequence[Hit], question: Question) -> list[Hit]:
    entries = store.entries([hit.path for hit in hits]) if hits else {}
    return [
        _at_best_window(hit, {"start": entry.starts, "end": entry.ends, "vector": entry.vectors}, question)
        for hit in hits
        if (entry := entries.get(hit.path)) is not None
    ]


@dataclass(frozen=True)
class _Ranked:
    """Rows of the best files, the best first; scores by row, and cosines of all rows."""

    places: list[int]
    scores: Mapping[int, float]
    cosines: np.ndarray


def _ranked(
    rows: Mapping[str, np.ndarray], question: Question, allowed: np.ndarray, by_name: np.ndarray | None
) -> _Ranked:
    cosines = rows["vector"] @ question.vector
    if question.same_length:
        lengths = np.linalg.norm(rows["vector"], axis=1) * np.linalg.norm(question.vector)
        cosines = cosines / np.maximum(lengths, SHORTEST)
    unwanted = [rows["vector"] @ other for other in question.unwanted]
    scores = combine_scores(cosines, unwanted).astype(np.float64)
    if question.min_score is not None:
        allowed = allowed & (scores >= question.min_score)
    order = np.flatnonzero(allowed)
    order = order[np.argsort(-scores[order], kind="stable")]
    if by_name is not None:
        # Files are ranked by two orders, each file at its best window.
        _, first = np.unique(rows["file"][order], return_index=True)
        order = order[np.sort(first)]
        scores[order] = fuse_ranks([scores[order], by_name[order]])
        order = order[np.argsort(-scores[order], kind="stable")]
    places: list[int] = []
    seen: set[int] = set()
    for place in order:
        if len(places) == question.top:
            break
        if rows["file"][place] not in seen:
            seen.add(rows["file"][place])
            places.append(int(place))
    return _Ranked(places, {place: float(scores[place]) for place in places}, cosines)


def _hits(
    rows: Mapping[str, np.ndarray],
    ranked: _Ranked,
    places: Sequence[int],
    details: Sequence[Mapping[str, Any]],
    question: Question,
) -> list[Hit]:
    hits = []
    for place, known in zip(places, details, strict=True):
        cosine, percentile = float(ranked.cosines[place]), None
        if question.background is not None:
            percentile = percentile_of(cosine, question.background() @ rows["vector"][place])
        hits.append(
            Hit(
                path=rows["path"][place],
                start=float(rows["start"][place]),
                end=float(rows["end"][place]),
                score=ranked.scores[place],
                cosine=cosine,
                percentile=percentile,
                duration=float(known["duration"]),
                tags=known["tags"],
                license=known["license"],
                metadata=json.loads(known["metadata"]),
                digest=known["digest"],
            )
        )
    return hits


def _named(
    store: Store,
    contents: IndexContents,
    question: Question,
    condition: str | None,
    columns: tuple[str, ...],
    most: int,
) -> arrow.Table | None:
    """Rows of the best-named files: they may be far from the query, and are few."""
    if question.name_query is None:
        return None
    scores = contents.names.scores(question.name_query)
    best = np.argsort(-scores, kind="stable")[:most]
    paths = [contents.files["path"][place] for place in best if np.isfinite(scores[place])]
    if not paths:
        return None
    own = " OR ".join(f"({Filters(file=path).sql()})" for path in paths)
    where = f"({own})" + (f" AND {condition}" if condition else "")
    return store.nearest(NearestQuery(question.vector, MOST_ROWS, where, columns, exact=True))


def _filtered(table: arrow.Table, filters: Filters) -> arrow.Table:
    files = read_columns(table)["files"]
    left = arrow.array(files["path"][filters.mask(files)].tolist(), arrow.string())
    return table.filter(compute.is_in(table.column("path"), value_set=left))


def _fitting(table: arrow.Table, filters: Filters) -> arrow.Table:
    """Rows whose path fits the glob: the table's own condition leaves a few too many."""
    if filters.glob is None:
        return table
    paths = [path for path in compute.unique(table.column("path")).to_pylist() if filters.fits(path)]
    return table.filter(compute.is_in(table.column("path"), value_set=arrow.array(paths, arrow.string())))


def _without_files(table: arrow.Table, others: arrow.Table | None) -> arrow.Table:
    return table if others is None else table.filter(compute.invert(paths_among(table, others)))


def _without_rows(table: arrow.Table, others: arrow.Table) -> arrow.Table:
    """The rows that are not also in another table."""
    keys = [
        compute.binary_join_element_wise(
            part.column("path"), part.column("window").cast(arrow.string()), "\0"
        ).combine_chunks()
        for part in (table, others)
    ]
    return table.filter(compute.invert(compute.is_in(keys[0], value_set=keys[1])))


def _farthest(near: arrow.Table, vector: np.ndarray) -> float:
    """Cosine of the last of the rows that an approximate index gave; they come in order."""
    return float(matrix(near.slice(len(near) - 1))[0] @ vector)


__all__ = ["DETAILS", "Question", "ask_table", "check_question", "check_top", "rank_contents", "rank_rows"]
