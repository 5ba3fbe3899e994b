"""Several datasets as one: joins their tables, removes clips shared with evaluation, weights their rows."""

import csv
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Features, Value, concatenate_datasets

from .columns import arrow_column, first_rows, kept_rows, numbered
from .schema import SCHEMA, DataError, unique_clips

logger = logging.getLogger(__name__)

ID_COLUMNS = ("freesound_id", "youtube_id")
# Splits whose rows come into training only where a recipe names them.
HELD_OUT = ("validation", "test")
# How often an epoch sees a row; a table without the column weighs 1.
WEIGHT_COLUMN = "epoch_weight"


def weighted(table: Dataset, weight: float) -> Dataset:
    """
    A table with a weight of its rows in training, see [`EpochRows`].

    Raises:
        DataError: if the weight is not above 0.
    """
    if not 0 < weight < float("inf"):
        raise DataError(f"the weight of a dataset is {weight}, but must be above 0.")
    if weight == 1 and WEIGHT_COLUMN not in table.column_names:
        return table
    if WEIGHT_COLUMN in table.column_names:
        table = table.remove_columns(WEIGHT_COLUMN)
    return table.add_column(WEIGHT_COLUMN, np.full(len(table), float(weight)), feature=Value("float64"))


def join_tables(tables: Sequence[Dataset]) -> Dataset:
    """
    Concatenates the rows of several tables.

    Columns of recording ids and weights are kept, with null and 1 for tables without them; other columns beyond the
    schema are kept if every table has them with the same type.

    Raises:
        DataError: if two tables contain a row with the same id, or there are no tables.
    """
    if not tables:
        raise DataError("no tables to concatenate.")
    if len(tables) == 1:
        return tables[0]
    shared = {
        name: feature
        for name, feature in tables[0].features.items()
        if name not in SCHEMA and all(table.features.get(name) == feature for table in tables)
    }
    ids = {
        name: Value("string")
        for name in ID_COLUMNS
        if name not in shared and any(name in table.column_names for table in tables)
    }
    if any(WEIGHT_COLUMN in table.column_names for table in tables):
        tables = [
            table if WEIGHT_COLUMN in table.column_names else _with_weight_of_one(table) for table in tables
        ]
        shared[WEIGHT_COLUMN] = Value("float64")
    features = Features({**SCHEMA, **shared, **ids})
    joined = concatenate_datasets([_with_columns(table, features) for table in tables])
    row_ids = arrow_column(joined, "row_id")
    numbers = numbered(row_ids)
    first = first_rows(numbers)
    if len(first) != len(numbers):
        again = int(np.flatnonzero(first[numbers] != np.arange(len(numbers)))[0])
        raise DataError(f"row {row_ids[again].as_py()!r} occurs in two datasets; give each dataset once.")
    return joined


def leave_out_recordings(
    train: Dataset, evaluated: Iterable[Dataset], excluded_freesound_ids: Iterable[str] = ()
) -> Dataset:
    """
    A training table without the recordings of the evaluation splits, by Freesound and YouTube id.

    File names are not used: Clotho has one name in two splits for different recordings.

    Args:
        train: the training rows.
        evaluated: the other splits of the run.
        excluded_freesound_ids: further recordings, such as the challenge's list. Rows of a validation or test split
            in ``train`` stay even if they are on the list: the recipe names their split explicitly, as
            retraining on the whole of a development set does.

    Returns:
        The table without their rows; the number of removed clips is logged. The same object if none was removed.

    Raises:
        DataError: if nothing is left.
    """
    unwanted: dict[str, set[str]] = {name: set() for name in ID_COLUMNS}
    for table in evaluated:
        for name in ID_COLUMNS:
            unwanted[name] |= {value for value in _column(table, name).unique().to_pylist() if value}
    is_named = _is_one_of(arrow_column(train, "split"), HELD_OUT)
    is_out = ~is_named & _is_one_of(_column(train, "freesound_id"), excluded_freesound_ids)
    for name in ID_COLUMNS:
        is_out |= _is_one_of(_column(train, name), unwanted[name])
    if not is_out.any():
        return train
    if is_out.all():
        raise DataError(
            "no training clips remain: all of their recordings are in an evaluation split or excluded."
        )
    good = kept_rows(train, ~is_out)
    logger.warning(
        "skipped %d of %d training clips: their recordings are in an evaluation split or excluded",
        len(unique_clips(train)) - len(unique_clips(good)),
        len(unique_clips(train)),
    )
    return good


def read_excluded_ids(path: str | os.PathLike[str]) -> set[str]:
    """
    Freesound ids of a CSV file with a column ``sound_id``, such as DCASE's list of excluded recordings.

    A value that is not an integer excludes nothing: DCASE's list of 2025 contains ``Not found`` in one line. Such lines
    are counted and logged.

    Raises:
        DataError: if the file cannot be read, has no such column, or contains no id.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            if "sound_id" not in (reader.fieldnames or []):
                raise DataError(f"{path}: no column 'sound_id'; the columns are {reader.fieldnames}.")
            found, others = set(), []
            for record in reader:
                value = (record["sound_id"] or "").strip()
                if value.isascii() and value.isdecimal():
                    found.add(value)
                else:
                    others.append((reader.line_num, value))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot read the file as CSV ({error}).") from error
    if not found:
        raise DataError(f"{path}: the file has no ids.")
    if others:
        logger.warning(
            "%s: skipped %d of %d lines without an id; the first is line %d: %r",
            path,
            len(others),
            len(others) + len(found),
            *others[0],
        )
    return found


class EpochRows:
    """
    The rows of an epoch for datasets with different weights.

    A dataset of n rows and weight w gives every epoch round(w n) rows: each row floor(w) times, and a part of the
    rows once more. That part differs between epochs, so that over epochs all rows are seen equally often. The
    choice depends on seed and epoch only.

    Args:
        sources: the dataset of each row.
        weights: weight of each dataset's rows, above 0; None is 1 for all.
        seed: seed of the choice.

    Raises:
        DataError: if a weight leaves a dataset no row an epoch.
    """

    def __init__(
        self,
        sources: Sequence[str] | pa.ChunkedArray,
        weights: Sequence[float] | np.ndarray | None,
        seed: int,
    ):
        if not isinstance(sources, pa.ChunkedArray):
            sources = pa.chunked_array([pa.array(sources, pa.string())])
        weight_of_row = np.ones(len(sources)) if weights is None else np.asarray(weights, dtype=np.float64)
        if len(weight_of_row) != len(sources):
            raise ValueError(f"{len(sources)} rows, but {len(weight_of_row)} weights.")
        # A number for each pair of dataset and weight, in the order in which the pairs first occur.
        weight_numbers = np.unique(weight_of_row, return_inverse=True)[1]
        pairs = numbered(sources) * (len(sources) + 1) + weight_numbers
        group_of_row = numbered(pa.chunked_array([pa.array(pairs, pa.int64())]))
        self.seed = seed
        self._parts = []
        for number, first in enumerate(first_rows(group_of_row)):
            rows = np.flatnonzero(group_of_row == number)
            name, weight = sources[int(first)].as_py(), float(weight_of_row[first])
            count = round(weight * len(rows))
            if not count:
                raise DataError(
                    f"a weight of {weight:g} selects no row of {name!r} per epoch; it has {len(rows)} rows."
                )
            self._parts.append((number, rows, count))
        self._is_plain = all(count == len(rows) for _, rows, count in self._parts)
        self._total = len(sources)

    def __len__(self) -> int:
        return sum(count for _, _, count in self._parts)

    def of_epoch(self, epoch: int) -> np.ndarray:
        """The rows of an epoch, int64, in the order of the table; all rows if every weight is 1."""
        if self._is_plain:
            return np.arange(self._total, dtype=np.int64)
        chosen = []
        for number, rows, count in self._parts:
            whole, rest = divmod(count, len(rows))
            chosen += [rows] * whole
            if rest:
                # One shuffled deck after another is dealt out over the epochs, `rest` rows at a time.
                first = epoch * rest
                places = np.arange(first, first + rest)
                decks = {
                    deck: np.random.default_rng((self.seed, number, int(deck))).permutation(rows)
                    for deck in np.unique(places // len(rows))
                }
                chosen.append(np.asarray([decks[place // len(rows)][place % len(rows)] for place in places]))
        return np.sort(np.concatenate(chosen)).astype(np.int64)


def _with_columns(table: Dataset, features: Features) -> Dataset:
    table = table.select_columns([name for name in features if name in table.column_names])
    for name in features:
        if name not in table.column_names:
            table = table.add_column(name, pa.nulls(len(table), pa.string()), feature=features[name])
    return table.select_columns(list(features)).cast(features)


def _with_weight_of_one(table: Dataset) -> Dataset:
    return table.add_column(WEIGHT_COLUMN, np.ones(len(table)), feature=Value("float64"))


def _column(table: Dataset, name: str) -> pa.ChunkedArray:
    """A column of ids as strings; all null if the table lacks the column."""
    if name in table.column_names:
        return arrow_column(table, name).cast(pa.string())
    return pa.chunked_array([pa.nulls(len(table), pa.string())])


def _is_one_of(column: pa.ChunkedArray, values: Iterable[str]) -> np.ndarray:
    """Mask of the rows whose value is among the given ones, bool ``(rows,)``; nulls never are."""
    return pc.is_in(column, pa.array(sorted(values), column.type), skip_nulls=True).to_numpy()


__all__ = [
    "WEIGHT_COLUMN",
    "EpochRows",
    "join_tables",
    "leave_out_recordings",
    "read_excluded_ids",
    "weighted",
]
