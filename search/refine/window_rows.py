"""Windows of an index that classifiers need: random ones, those near a direction, and which of them are marked."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as arrow

from ..query.answers import DETAILS
from ..query.filters import Filters
from ..query.hits import Hit
from ..query.index_contents import IndexContents
from ..query.known_vectors import SAME_MOMENT_SECONDS
from ..store.columns import read_columns
from ..store.entries import WHOLE_FILE
from ..store.index_store import Store
from ..store.vector_index import NearestQuery
from .classifiers import LinearScorer, random_rows
from .marked_index import MarkedIndex
from .matching import MatchedMarks

COLUMNS = ("path", "window", "start", "end", "vector", *DETAILS)
# Of a library too large for memory: windows that a view of the least sure ones is chosen from.
RANDOM_WINDOWS, NEAR_WINDOWS = 10_000, 5_000
Rows = Mapping[str, np.ndarray]


def marked_mask(rows: Rows, matched: MatchedMarks) -> np.ndarray:
    """
    Which rows of windows are marked, bool ``(rows,)``.

    Args:
        rows: columns path, start and end.
        matched: the marks.
    """
    marked = np.zeros(len(rows["path"]), dtype=bool)
    moments: dict[str, list[tuple[float, float]]] = {}
    for path, start, end in matched.windows:
        moments.setdefault(path, []).append((start, end))
    if not moments:
        return marked
    # Look texts up: comparing all texts of a large index takes longer than ranking it.
    inside = np.fromiter((path in moments for path in rows["path"]), dtype=bool, count=len(marked))
    for row in np.flatnonzero(inside):
        for start, end in moments[rows["path"][row]]:
            near = abs(rows["start"][row] - start) + abs(rows["end"][row] - end)
            marked[row] |= near < SAME_MOMENT_SECONDS
    return marked


def random_windows(index: MarkedIndex, matched: MatchedMarks, count: int, *, seed: int = 0) -> np.ndarray:
    """
    Vectors of random unmarked windows, at most ``(count, width)`` float32; deterministic for an index.

    Args:
        index: a [`SoundIndex`].
        matched: the marks.
        count: number of windows at most.
        seed: seed of the draw.
    """
    if index.store.approximate:
        rows = _random_rows_on_disk(index.store, count, ("path", "window", "start", "end", "vector"), seed)
        return rows["vector"][~marked_mask(rows, matched)]
    windows = index._contents.get().windows
    excluded = np.flatnonzero(marked_mask(windows, matched))
    return windows["vector"][random_rows(len(windows["path"]), count, excluded, seed=seed)]


def unmarked_rows(
    index: MarkedIndex, contents: IndexContents, scorer: LinearScorer, filters: Filters, matched: MatchedMarks
) -> tuple[Rows, np.ndarray]:
    """
    Unmarked windows that pass the filters: all of them; for a library too large for memory, random ones and those near
    a direction.

    Args:
        index: a [`SoundIndex`].
        contents: contents of the index.
        scorer: gives the direction.
        filters: resolved.
        matched: the marks.

    Returns:
        Columns of [`read_columns`], and a mask of the selected rows, bool ``(rows,)``.
    """
    if index.store.approximate:
        near = index.store.nearest(NearestQuery(scorer.direction, NEAR_WINDOWS, filters.sql(), COLUMNS))
        # Windows of both kinds once.
        parts = {
            (path, window): row
            for table in (near, _random_table(index.store, RANDOM_WINDOWS, COLUMNS, 0))
            for row, (path, window) in _keyed(table)
        }
        rows: Rows = (
            read_columns(arrow.concat_tables(parts.values()))["windows"] if parts else {"path": np.zeros(0)}
        )
    else:
        rows = contents.windows
    return rows, filters.mask(rows) & ~marked_mask(rows, matched)


def _keyed(table: arrow.Table) -> Sequence[tuple[arrow.Table, tuple[str, int]]]:
    keys = zip(table.column("path").to_pylist(), table.column("window").to_pylist(), strict=True)
    return [(table.slice(row, 1), key) for row, key in enumerate(keys) if key[1] != WHOLE_FILE]


def _random_table(store: Store, count: int, columns: Sequence[str], seed: int) -> arrow.Table:
    table = store.table
    offsets = random_rows(table.count_rows(), count, seed=seed)
    return table.take_offsets(offsets.tolist()).select(list(columns)).to_arrow()


def _random_rows_on_disk(store: Store, count: int, columns: Sequence[str], seed: int) -> Rows:
    return read_columns(_random_table(store, count, columns, seed))["windows"]


def hits_of(rows: Rows, places: Sequence[int], cosines: np.ndarray, scores: np.ndarray) -> list[Hit]:
    """
    Windows as results.

    Args:
        rows: columns of [`read_columns`].
        places: which of them, in the order of the results.
        cosines, scores: of all rows, ``(rows,)``.
    """
    return [
        Hit(
            path=rows["path"][place],
            start=float(rows["start"][place]),
            end=float(rows["end"][place]),
            score=float(scores[place]),
            cosine=float(cosines[place]),
            percentile=None,
            duration=float(rows["duration"][place]),
            tags=rows["tags"][place],
            license=rows["license"][place],
            metadata=_metadata(rows["metadata"][place]),
            digest=rows["digest"][place] if "digest" in rows else None,
        )
        for place in places
    ]


def _metadata(text: str) -> dict[str, Any]:
    return {} if text == "{}" else json.loads(text)


__all__ = ["hits_of", "marked_mask", "random_windows", "unmarked_rows"]
