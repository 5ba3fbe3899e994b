"""The rows of an index in memory, and which of them a filter leaves."""

import fnmatch
import os
from typing import Any

import numpy as np
import pyarrow as arrow

from .hits import SearchError
from .store import WHOLE_FILE, matrix


def read_columns(table: arrow.Table) -> dict[str, dict[str, np.ndarray]]:
    """
    An index's table as arrays, ``windows`` and ``files`` apart, sorted by path and window.

    Each holds ``path``, ``start``, ``end``, ``duration``, ``tags`` and ``vector`` ``(rows, width)`` float32.
    """
    window, vectors = table.column("window").to_numpy(), matrix(table)
    encoded = table.column("path").combine_chunks().dictionary_encode()
    paths = np.array(encoded.dictionary.to_pylist(), dtype=object)
    sorted_paths = np.argsort(paths, kind="stable")
    place_of = np.empty(len(paths), dtype=np.int64)
    place_of[sorted_paths] = np.arange(len(paths))
    place, paths = place_of[encoded.indices.to_numpy()], paths[sorted_paths]
    # A file's folders stand in each of its rows: read once a file.
    whole = np.flatnonzero(window == WHOLE_FILE)
    tags = np.empty(len(paths), dtype=object)
    for row, found in zip(whole, table.column("tags").take(whole).to_pylist(), strict=True):
        tags[place[row]] = tuple(found)
    numbers = {name: table.column(name).to_numpy() for name in ("start", "end", "duration")}
    parts = {}
    for kind, rows in (("windows", window != WHOLE_FILE), ("files", window == WHOLE_FILE)):
        order = np.flatnonzero(rows)
        order = order[np.lexsort((window[order], place[order]))]
        parts[kind] = {name: values[order] for name, values in numbers.items()} | {
            "path": paths[place[order]],
            "tags": tags[place[order]],
            "vector": vectors[order],
        }
    return parts


def kept_rows(rows: dict[str, np.ndarray], filters: dict[str, Any]) -> np.ndarray:
    """
    Which windows the filters leave, bool ``(windows,)``; filters that are None are not set.

    Args:
        rows: the windows of [`read_columns`].
        filters: ``glob`` of the path, ``tag``, ``min_duration`` and ``max_duration`` (seconds), ``file``.

    Raises:
        SearchError: for an unknown filter.
    """
    known = {"glob", "tag", "min_duration", "max_duration", "file"}
    unknown = set(filters) - known
    if unknown:
        raise SearchError(f"{sorted(unknown)[0]!r} is no filter; there are {sorted(known)}.")
    kept = np.ones(len(rows["path"]), dtype=bool)
    if filters.get("min_duration") is not None:
        kept &= rows["duration"] >= filters["min_duration"]
    if filters.get("max_duration") is not None:
        kept &= rows["duration"] <= filters["max_duration"]
    if filters.get("glob") is not None:
        kept &= np.array([fnmatch.fnmatch(path, filters["glob"]) for path in rows["path"]], dtype=bool)
    if filters.get("tag") is not None:
        kept &= np.array([filters["tag"] in tags for tags in rows["tags"]], dtype=bool)
    if filters.get("file") is not None:
        kept &= rows["path"] == os.path.abspath(filters["file"])
    return kept


__all__ = ["kept_rows", "read_columns"]
