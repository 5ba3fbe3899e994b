"""Approximate nearest neighbours for large libraries: IVF with RaBitQ codes, and refinement."""

import math
import warnings
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import numpy as np
import pyarrow as arrow

COLUMN, NAME = "vector", "vector_idx"
PATH_COLUMN, PATH_NAME = "path", "path_idx"
# Chosen for a recall@16 above 0.95 at 1,000,000 windows of 1,024 numbers; benchmarks/bench_million_windows.py.
PROBES, CANDIDATES = 64, 400
KMEANS_ITERATIONS, BITS, SAMPLE_A_CELL = 10, 1, 256
# Rows that the index does not know are looked at one by one with each query.
UNINDEXED_ROWS = 10_000
# Each commit adds a piece or a version; merging them rewrites most of the table.
MOST_PIECES = 16


@dataclass(frozen=True)
class NearestQuery:
    """
    The rows nearest to a vector by cosine.

    Attributes:
        vector: unit length, ``(width,)``.
        limit: rows at most.
        where: an SQL condition on the rows, or None.
        columns: columns to return; each is read at as many places, so that all of them take longer than the search.
        exact: read all vectors: the reference for approximate search, but many times slower.
    """

    vector: np.ndarray
    limit: int
    where: str | None
    columns: tuple[str, ...]
    exact: bool = False


class Engine(Protocol):
    """Builds and queries the approximate index of a table."""

    def refresh(self, table: Any, uri: str, versions_stay: timedelta, *, train: bool) -> None:
        """
        Builds the approximate index, or adds rows to it once there are many new ones.

        Args:
            table: a LanceDB table.
            uri: URI of its Lance dataset.
            versions_stay: how long older versions of the table can still be read.
            train: rebuild the index with new cells. Otherwise, build it if it does not exist, or add new rows to it.
        """

    def nearest(self, table: Any, uri: str, query: NearestQuery) -> arrow.Table:
        """
        The rows nearest to a query, in order.

        Args:
            table: a LanceDB table.
            uri: URI of its Lance dataset.
        """


class LocalEngine:
    """An [`Engine`] in this process."""

    def refresh(self, table: Any, uri: str, versions_stay: timedelta, *, train: bool) -> None:
        """See [`Engine.refresh`]."""
        from lancedb.index import IvfFlat, IvfRq

        if is_indexed(table) and not train:
            if rows_wait(table) or num_pieces(table) >= MOST_PIECES:
                merge_pieces(table, versions_stay)
            return
        forget_index(table)
        merge_pieces(table, versions_stay)
        index_paths(table)
        cells = {
            "distance_type": "cosine",
            "num_partitions": partitions(table.count_rows()),
            "max_iterations": KMEANS_ITERATIONS,
        }
        width = table.schema.field(COLUMN).type.list_size
        config = IvfRq(num_bits=BITS, **cells) if can_be_quantized(width) else IvfFlat(**cells)
        table.create_index(COLUMN, config=config, replace=True, name=NAME)

    def nearest(self, table: Any, uri: str, query: NearestQuery) -> arrow.Table:
        """See [`Engine.nearest`]."""
        search = table.search(np.asarray(query.vector, dtype=np.float32), vector_column_name=COLUMN)
        search = search.distance_type("cosine")
        # Lance gives the distance in any case, and warns at every query when it was not asked for.
        search = search.select([*query.columns, "_distance"])
        if query.exact:
            search = search.bypass_vector_index()
        else:
            search = search.nprobes(PROBES).refine_factor(refine(query.limit))
        if query.where is not None:
            search = search.where(query.where)
        return search.limit(query.limit).to_arrow().select(list(query.columns))


def partitions(rows: int) -> int:
    """Number of k-means cells for a number of rows: the power of two near its root, with enough rows per cell."""
    return max(1, min(2 ** round(math.log2(math.sqrt(max(rows, 4)))), rows // SAMPLE_A_CELL))


def refine(limit: int) -> int:
    """How many candidates per requested row are compared by their full vectors after the estimate."""
    return max(1, math.ceil(CANDIDATES / limit))


def can_be_quantized(width: int) -> bool:
    """Whether vectors of this width can be stored as bits; others are compared unchanged."""
    return width % 8 == 0


def is_indexed(table: Any) -> bool:
    """Whether a table has its approximate index."""
    return any(index.name == NAME for index in table.list_indices())


def rows_wait(table: Any) -> bool:
    """Whether enough rows are missing from the approximate index to add them."""
    return table.index_stats(NAME).num_unindexed_rows >= UNINDEXED_ROWS


def forget_index(table: Any) -> None:
    """Drops an approximate index that will be replaced: merging pieces would add every new row to it first."""
    if is_indexed(table):
        table.drop_index(NAME)


def index_paths(table: Any) -> None:
    """Adds an index of paths, so that files are found without reading the whole table."""
    from lancedb.index import BTree

    table.create_index(PATH_COLUMN, config=BTree(), replace=True, name=PATH_NAME)


def num_pieces(table: Any) -> int:
    """Number of pieces of a table, or half of the number of its stored versions, whichever is larger."""
    return max(table.stats()["fragment_stats"]["num_fragments"], len(table.list_versions()) // 2)


def merge_pieces(table: Any, versions_stay: timedelta) -> None:
    """
    Merges the pieces of single commits, adds new rows to an approximate index, and drops older versions.

    Args:
        table: a LanceDB table.
        versions_stay: 0 removes all but the newest; readers then open the newest.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        table.optimize(cleanup_older_than=versions_stay)


__all__ = [
    "Engine",
    "LocalEngine",
    "NearestQuery",
    "can_be_quantized",
    "forget_index",
    "index_paths",
    "is_indexed",
    "merge_pieces",
    "num_pieces",
    "partitions",
    "refine",
    "rows_wait",
]
