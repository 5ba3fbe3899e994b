"""The one table of captioned sound that every source produces: one row a (clip, caption) pair.

=========  ==========================  =================================================================
column     type                        meaning
=========  ==========================  =================================================================
row_id     string                      unique over every table, stable: `<clip_id>#<caption index>`
clip_id    string                      `<source>/<split>/<name>`; rows of one clip share it, and are each
                                       other's positives
audio      {path, offset, duration}    where the sound is: absolute path, start in seconds (0.0 where the
                                       clip starts with the file), length in seconds (null: to the end)
caption    string                      one sentence, not blank
source     string                      the dataset's name
split      string                      "train", "validation", "test", ...
license    string                      of the clip, as an SPDX name where it has one; "unknown" otherwise
=========  ==========================  =================================================================

Further columns are carried through untouched. `audio` is a plain struct, never a `datasets.Audio` feature:
a table is never decoded, cached or re-encoded on the way, and no media library is needed.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Features, Value

from .columns import arrow_column, as_dataset, first_rows, kept_rows, numbered

AUDIO_FEATURE = {"path": Value("string"), "offset": Value("float64"), "duration": Value("float64")}
SCHEMA = Features(
    {
        "row_id": Value("string"),
        "clip_id": Value("string"),
        "audio": AUDIO_FEATURE,
        "caption": Value("string"),
        "source": Value("string"),
        "split": Value("string"),
        "license": Value("string"),
    }
)

# Rows that are Python objects at a time, while a table is built.
_ROWS_AT_ONCE = 10_000
_NO_WHITE_SPACE = r"[\pL\pN\pP]"


class DataError(ValueError):
    """A table, its metadata or too many of its recordings cannot be used. The message names the place."""


@dataclass(frozen=True, slots=True)
class CaptionedClip:
    """One clip with all its captions, before it becomes rows.

    Attributes:
        source: Name of the dataset.
        split: Split the clip belongs to.
        name: What distinguishes the clip within source and split, e.g. its file name with forward slashes.
        path: The audio file; made absolute in the rows.
        captions: One or more sentences.
        license: Of the clip.
        offset: Start within the file, seconds.
        duration: Length, seconds; `None` reaches to the end of the file.
        extra: Values of further columns, the same names in every clip of a table.
    """

    source: str
    split: str
    name: str
    path: str | os.PathLike[str]
    captions: Sequence[str]
    license: str = "unknown"
    offset: float = 0.0
    duration: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """One row of the schema a caption."""
        clip_id = f"{self.source}/{self.split}/{self.name}"
        audio = {"path": os.path.abspath(self.path), "offset": self.offset, "duration": self.duration}
        return [
            {
                "row_id": f"{clip_id}#{index}",
                "clip_id": clip_id,
                "audio": audio,
                "caption": caption,
                "source": self.source,
                "split": self.split,
                "license": self.license,
                **self.extra,
            }
            for index, caption in enumerate(self.captions)
        ]


def build_table(rows: Iterable[Mapping[str, Any]], extra_columns: Mapping[str, Any] | None = None) -> Dataset:
    """Make a table of rows (see `CaptionedClip.rows`) and validate it.

    Args:
        rows: Mappings with the schema's columns; `offset` and `duration` within `audio` are optional.
        extra_columns: Feature of each further column; where `None`, every key of the first row that the
            schema does not know becomes a column of inferred type.

    Raises:
        DataError: A row lacks a column or has one too many, a value has the wrong type, or as
            `validate_table`.
    """
    rows = iter(rows)
    head = list(islice(rows, _ROWS_AT_ONCE))
    if extra_columns is None:
        extra_names = [name for name in (head[0] if head else {}) if name not in SCHEMA]
    else:
        extra_names = list(extra_columns)
    names = [*SCHEMA, *extra_names]
    parts: list[pa.Table] = []
    extra: dict[str, list[Any]] = {name: [] for name in extra_names}
    first = 0
    # Block by block: a row is a dozen Python objects, which together would outweigh the table many times.
    while head or not parts:
        columns: dict[str, list[Any]] = {name: [] for name in names}
        for number, row in enumerate(head, first):
            if row.keys() != columns.keys():
                missing, unknown = sorted(columns.keys() - row.keys()), sorted(row.keys() - columns.keys())
                raise DataError(
                    f"row {number}: missing columns {missing}, unexpected columns {unknown}; a row has {names}"
                )
            for name in names:
                columns[name].append(row[name])
        columns["audio"] = [
            {"path": audio["path"], "offset": audio.get("offset", 0.0), "duration": audio.get("duration")}
            for audio in columns["audio"]
        ]
        for name in extra_names:
            extra[name] += columns.pop(name)
        parts.append(_schema_block(columns))
        first += len(head)
        head = list(islice(rows, _ROWS_AT_ONCE))
    if extra_columns is None:
        extra_columns = {name: _inferred_feature(name, extra[name]) for name in extra_names}
    joined = pa.concat_tables(parts)
    if extra_names:
        others = _typed(extra, Features(extra_columns)).data.table
        for name in extra_names:
            joined = joined.append_column(name, others[name])
    parts.clear()
    return validate_table(as_dataset(joined, Features({**SCHEMA, **extra_columns})))


def _schema_block(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """The schema's columns as Arrow takes them; values that only `datasets` converts go its slower way."""
    try:
        audio = [
            pa.array(
                [part[name] for part in columns["audio"]],
                type=SCHEMA.arrow_schema.field("audio").type[name].type,
            )
            for name in AUDIO_FEATURE
        ]
        arrays = {
            name: pa.array(columns[name], type=field_type.type)
            for name, field_type in zip(SCHEMA.arrow_schema.names, SCHEMA.arrow_schema, strict=True)
            if name != "audio"
        }
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError):
        return _typed(columns, SCHEMA).data.table
    arrays["audio"] = pa.StructArray.from_arrays(audio, names=list(AUDIO_FEATURE))
    return pa.table({name: arrays[name] for name in SCHEMA})


def _typed(columns: Mapping[str, Sequence[Any]], features: Features) -> Dataset:
    try:
        return Dataset.from_dict(columns, features=features)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError) as error:
        raise DataError(f"a column contains a value of the wrong type: {error}") from error


def validate_table(dataset: Dataset) -> Dataset:
    """Return the table unchanged if it obeys the schema.

    Raises:
        DataError: A column is missing or of another type, a `row_id` occurs twice, a value that must be
            given is null or blank, an offset or duration is out of range, or the rows of one clip point at
            different sounds. The message names the column and the row.
    """
    for name, feature in SCHEMA.items():
        if name not in dataset.column_names:
            raise DataError(f"the table has no column {name!r}; the columns are {dataset.column_names}")
        if dataset.features[name] != feature:
            raise DataError(f"column {name!r} has type {dataset.features[name]}, but must be {feature}")
    for name in SCHEMA:
        if name != "audio":
            _check_filled(arrow_column(dataset, name), name)
    row_ids = arrow_column(dataset, "row_id")
    if pc.count_distinct(row_ids, mode="all").as_py() != len(row_ids):
        _check_unique(row_ids.to_pylist())
    if not _clips_are_consistent(dataset):
        # Row by row, for the message.
        _check_clips(dataset.select_columns(["clip_id", "audio"]).with_format(None)[:])
    return dataset


def unique_clips(dataset: Dataset) -> Dataset:
    """The first row of every clip, in the order in which the clips first occur."""
    is_first = np.zeros(len(dataset), dtype=bool)
    is_first[first_rows(numbered(arrow_column(dataset, "clip_id")))] = True
    return kept_rows(dataset, is_first)


def _inferred_feature(name: str, values: Sequence[Any]) -> Any:
    try:
        inferred = pa.array(values).type
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"column {name!r} mixes values of different types: {error}") from error
    # A column of nulls only has no type of its own; text is what a later value most likely is.
    if pa.types.is_null(inferred):
        return Value("string")
    return Features.from_arrow_schema(pa.schema([(name, inferred)]))[name]


def _check_filled(column: pa.ChunkedArray, name: str) -> None:
    # Anything that is surely no white space fills a value; the few others are looked at one by one.
    filled = pc.match_substring_regex(column, pattern=_NO_WHITE_SPACE).fill_null(False).to_numpy()
    for index in np.flatnonzero(~filled):
        value = column[int(index)].as_py()
        if value is None or not value.strip():
            raise DataError(f"row {index}: column {name!r} is {value!r}, but must be a non-empty string")


def _check_unique(row_ids: Sequence[str]) -> None:
    seen: dict[str, int] = {}
    for index, row_id in enumerate(row_ids):
        if row_id in seen:
            raise DataError(
                f"rows {seen[row_id]} and {index}: both have the row_id {row_id!r}, but row_id must be unique"
            )
        seen[row_id] = index


def _clips_are_consistent(dataset: Dataset) -> bool:
    """Whether no row breaks a rule of [`_check_clips`]."""
    if not len(dataset):
        return True
    audio = arrow_column(dataset, "audio")
    if audio.null_count:
        return False
    path, offset, duration = (pc.struct_field(audio, name) for name in AUDIO_FEATURE)
    if path.null_count or offset.null_count:
        return False
    starts, lengths = offset.to_numpy(), duration.to_numpy()
    whole = duration.is_null().to_numpy()
    in_range = (starts >= 0) & (starts < np.inf) & (whole | ((lengths > 0) & (lengths < np.inf)))
    if pc.min(pc.utf8_length(path)).as_py() == 0 or not in_range.all():
        return False
    clips, paths = numbered(arrow_column(dataset, "clip_id")), numbered(path)
    first = first_rows(clips)[clips]
    same_length = (whole & whole[first]) | (lengths == lengths[first])
    return bool(((paths == paths[first]) & (starts == starts[first]) & same_length).all())


def _check_clips(values: Mapping[str, Sequence[Any]]) -> None:
    seen: dict[str, tuple[int, Any]] = {}
    for index, (clip_id, audio) in enumerate(zip(values["clip_id"], values["audio"], strict=True)):
        path, offset, duration = audio["path"], audio["offset"], audio["duration"]
        if not path:
            raise DataError(f"row {index}: audio.path is {path!r}, but must be the path of a file")
        if offset is None or not 0 <= offset < float("inf"):
            raise DataError(f"row {index}: audio.offset is {offset!r}, but must be seconds, 0 or more")
        if duration is not None and not 0 < duration < float("inf"):
            raise DataError(
                f"row {index}: audio.duration is {duration!r}, but must be seconds above 0, or null"
            )
        what = (path, offset, duration)
        first, before = seen.setdefault(clip_id, (index, what))
        if before != what:
            raise DataError(
                f"rows {first} and {index}: both belong to clip {clip_id!r}, but {before} and {what} differ"
            )
