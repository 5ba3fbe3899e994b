"""Columns of large tables as Arrow and numpy arrays, since Python objects would need many times the memory and time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetInfo, Features
from datasets.fingerprint import generate_random_fingerprint

_VALUES_AT_ONCE = 10_000


def arrow_column(table: Dataset, name: str) -> pa.ChunkedArray:
    """A column as an Arrow array, in the order of the table's rows."""
    return table.with_format("arrow").select_columns([name])[:][name]


def kept_rows(table: Dataset, is_kept: np.ndarray) -> Dataset:
    """
    The rows of a table where a bool ``(rows,)`` array is True, in order; the same object if all are True.

    They are copied, because `Dataset.select` would make every later access slow.
    """
    if is_kept.all():
        return table
    return as_dataset(table.with_format("arrow")[:].filter(pa.array(is_kept)), table.features)


def as_dataset(rows: pa.Table, features: Features) -> Dataset:
    """
    An Arrow table as a `datasets.Dataset` with the given features.

    A fingerprint is given because `datasets` would otherwise serialise the whole table to compute one.
    """
    info = DatasetInfo(features=features)
    table = Dataset(rows.cast(features.arrow_schema), info=info, fingerprint=generate_random_fingerprint())
    # What building took is given back to the system.
    pa.default_memory_pool().release_unused()
    return table


def values_of(column: pa.ChunkedArray) -> Iterator[Any]:
    """Iterates over the values of a column as Python objects, a few at a time."""
    for start in range(0, len(column), _VALUES_AT_ONCE):
        yield from column.slice(start, _VALUES_AT_ONCE).to_pylist()


def numbered(column: pa.ChunkedArray) -> np.ndarray:
    """
    Replaces each value by the index of its first occurrence among the distinct values.

    Args:
        column: strings, numbers or other scalar values; nulls count as one value.

    Returns:
        int64 ``(rows,)``; numbers first occur in ascending order.
    """
    if not len(column):
        return np.zeros(0, dtype=np.int64)
    codes = pc.dictionary_encode(column, null_encoding="encode")
    # All chunks of one call share their dictionary.
    return np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in codes.chunks]).astype(
        np.int64
    )


def first_rows(numbers: np.ndarray) -> np.ndarray:
    """The row at which each number of [`numbered`] first occurs, int64, ascending."""
    return np.unique(numbers, return_index=True)[1]


__all__ = ["arrow_column", "as_dataset", "first_rows", "kept_rows", "numbered", "values_of"]
