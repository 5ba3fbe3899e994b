"""A teacher bank of vectors that another program made: arrays with ids, and the rows that they belong to."""

import csv
import hashlib
import math
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from ...data.schema import validate_table
from .bank_files import (
    ROW_TYPES,
    BankError,
    TeacherBank,
    audio_digest,
    caption_digest,
    checked_target,
    keyed_rows,
)

REQUIRED = ("row_id", "clip_id", "source", "split", "caption", "file_name")
OPTIONAL = ("offset", "duration", "audio_id", "caption_id")


@dataclass(frozen=True)
class ImportedRow:
    """
    A caption of a clip, and which vectors are theirs.

    Attributes:
        row_id, clip_id, source, split, caption: as in the dataset's table (`data/schema.py`).
        audio: ``path`` (of which the file's name counts), ``offset`` and ``duration`` in seconds.
        audio_id: of the clip's vector.
        caption_id: of the caption's vector.
        where: how errors name the row.
    """

    row_id: str
    clip_id: str
    source: str
    split: str
    caption: str
    audio: Mapping[str, Any]
    audio_id: str
    caption_id: str
    where: str


@dataclass(frozen=True, eq=False)
class NamedVectors:
    """
    Vectors of one kind from an archive.

    Attributes:
        name: of the array.
        vectors: float32 ``(number, width)``, unit length.
        places: by id the place of its vector.
    """

    name: str
    vectors: np.ndarray
    places: dict[str, int]

    def digest(self) -> str:
        """Of ids and vectors, whatever their order, 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for one in sorted(self.places):
            digest.update(f"{len(one)} {one} ".encode("utf-8", "surrogatepass"))
            digest.update(self.vectors[self.places[one]].tobytes())
        return digest.hexdigest()


def import_bank(
    directory: str | os.PathLike[str],
    arrays: str | os.PathLike[str],
    rows: Iterable[ImportedRow],
    *,
    model_name: str,
) -> tuple[TeacherBank, dict[str, int]]:
    """
    Writes a teacher bank of vectors that another program made.

    Args:
        directory: to be written in one swap; a bank that is there is replaced.
        arrays: an ``.npz`` file, see [`read_arrays`].
        rows: what the vectors belong to, from [`read_rows`] or [`rows_of_tables`].
        model_name: to be recorded, for display.

    Returns:
        The bank, whose fingerprint is a digest of ids and vectors, and by array how many of its vectors no row
        names.

    Raises:
        BankError: if the arrays are not as they should be, a row has no vector, a row occurs twice, rows of one clip
            differ in their sound, or the directory contains something other than a bank.
    """
    target = checked_target(directory)
    audio, captions = read_arrays(arrays)
    rows = list(rows)
    if not rows:
        raise BankError(f"{arrays}: there are no rows that its vectors could belong to.")
    _check_sounds(rows)
    audio_places = _find(audio, [(row.audio_id, row.where) for row in rows], arrays)
    caption_places = _find(captions, [(row.caption_id, row.where) for row in rows], arrays)
    clips = list(dict.fromkeys(audio_places))
    clip_index = {place: index for index, place in enumerate(clips)}
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in rows] for name in ("row_id", "clip_id", "source", "split")
    }
    columns["caption_digest"] = [caption_digest(row.caption) for row in rows]
    columns["audio_digest"] = [audio_digest(row.audio) for row in rows]
    columns["clip_index"] = [clip_index[place] for place in audio_places]
    table = pa.table(columns, schema=ROW_TYPES)
    keyed_rows(table, "the rows to import")
    bank = TeacherBank(
        name=os.fspath(directory),
        model_name=model_name,
        fingerprint=hashlib.sha256(f"imported {audio.digest()} {captions.digest()}".encode()).hexdigest(),
        rows=table,
        audio=audio.vectors[clips],
        captions=captions.vectors[caption_places],
        unreadable=[],
    )
    bank.save(target)
    unused = {
        audio.name: len(audio.vectors) - len(clips),
        captions.name: len(captions.vectors) - len(set(caption_places)),
    }
    return TeacherBank.load(target), unused


def read_arrays(path: str | os.PathLike[str]) -> tuple[NamedVectors, NamedVectors]:
    """
    Reads vectors of clips and captions with their ids from an ``.npz`` file of NumPy; pickled objects are refused.

    It contains ``audio`` ``(clips, width)`` and ``captions`` ``(captions, width)`` of floating-point numbers, and
    ``audio_ids`` ``(clips,)`` and ``caption_ids`` ``(captions,)`` of text or integers. Vectors are brought to unit
    length.

    Returns:
        The vectors of the clips, and those of the captions.

    Raises:
        BankError: if there is no such file, an array is missing or of another type or shape, the widths differ, an
            id is empty or occurs twice, or a vector is zero or not finite; the message names the array and the id.
    """
    names = ("audio", "audio_ids", "captions", "caption_ids")
    if not os.path.isfile(path):
        raise BankError(f"{path}: no such file.")
    if not zipfile.is_zipfile(path):
        raise BankError(f"{path}: not an .npz file; expected one of np.savez with {', '.join(names)}.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in names if name not in archive.files]
            if missing:
                raise BankError(
                    f"{path}: lacks the arrays {missing}; it contains {archive.files}; expected: {', '.join(names)}."
                )
            found = {name: archive[name] for name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, BankError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BankError(f"{path}: cannot be read as an .npz file of plain arrays ({reason}).") from error
    audio = _named_vectors(path, "audio", found["audio"], "audio_ids", found["audio_ids"])
    captions = _named_vectors(path, "captions", found["captions"], "caption_ids", found["caption_ids"])
    widths = audio.vectors.shape[1], captions.vectors.shape[1]
    if widths[0] != widths[1]:
        raise BankError(
            f"{path}: vectors in audio have {widths[0]} numbers, those in captions {widths[1]}; both must be of one "
            "space."
        )
    return audio, captions


def read_rows(path: str | os.PathLike[str]) -> list[ImportedRow]:
    """
    Reads rows from a CSV file in UTF-8.

    Required columns: row_id, clip_id, source, split, caption, file_name. Optional ones: offset and duration in
    seconds (empty: from the start, to the end), audio_id (empty: the clip_id) and caption_id (empty: the row_id).
    Other columns are left alone.

    Raises:
        BankError: if the file cannot be read, lacks a column or has one twice, or a line has an empty cell or a
            number out of range; the message names the line.
    """
    path = Path(path)
    rows = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or [])
            missing = [name for name in REQUIRED if name not in columns]
            if missing:
                raise BankError(f"{path}: lacks the columns {missing}; its columns are {columns}.")
            twice = [name for name in (*REQUIRED, *OPTIONAL) if columns.count(name) > 1]
            if twice:
                raise BankError(f"{path}: has the columns {twice} more than once.")
            for record in reader:
                rows.append(_row_of(record, f"{path}, line {reader.line_num}"))
    except OSError as error:
        raise BankError(f"{path}: cannot be read ({error.strerror}).") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise BankError(f"{path}: is not a CSV file in UTF-8 ({error}).") from error
    if not rows:
        raise BankError(f"{path}: contains no rows.")
    return rows


def rows_of_tables(tables: Mapping[str, Dataset]) -> list[ImportedRow]:
    """
    The rows of a dataset's own tables: vectors are found by clip_id and row_id.

    Raises:
        DataError: if a table does not follow the schema.
    """
    names = ["row_id", "clip_id", "source", "split", "caption", "audio"]
    rows = []
    for table in tables.values():
        columns = validate_table(table).select_columns(names).with_format(None)[:]
        for values in zip(*(columns[name] for name in names), strict=True):
            row = dict(zip(names, values, strict=True))
            ids = {"audio_id": row["clip_id"], "caption_id": row["row_id"]}
            rows.append(ImportedRow(**row, **ids, where=f"row {row['row_id']!r}"))
    return rows


def _row_of(record: Mapping[str | None, Any], where: str) -> ImportedRow:
    if None in record or None in record.values():
        raise BankError(f"{where}: has another number of cells than the header.")
    for name in REQUIRED:
        if not record[name].strip():
            raise BankError(f"{where}: {name} is empty.")
    offset = _seconds(record.get("offset") or "0", f"{where}: offset", least=0.0)
    duration = record.get("duration") or None
    if duration is not None:
        duration = _seconds(duration, f"{where}: duration", least=math.ulp(0.0))
    plain = {name: record[name] for name in ("row_id", "clip_id", "source", "split", "caption")}
    return ImportedRow(
        **plain,
        audio={"path": record["file_name"], "offset": offset, "duration": duration},
        audio_id=record.get("audio_id") or record["clip_id"],
        caption_id=record.get("caption_id") or record["row_id"],
        where=where,
    )


def _seconds(text: str, what: str, *, least: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value < math.inf:
        bound = "0 or more" if least == 0 else "above 0"
        raise BankError(f"{what} is {text!r}, but must be seconds, {bound}.")
    return value


def _named_vectors(
    path: str | os.PathLike[str], name: str, vectors: np.ndarray, ids_name: str, ids: np.ndarray
) -> NamedVectors:
    if vectors.ndim != 2 or not all(vectors.shape) or not np.issubdtype(vectors.dtype, np.floating):
        raise BankError(
            f"{path}: {name} is {vectors.dtype} {vectors.shape}, but must be floating-point (number, width)."
        )
    if ids.shape != (len(vectors),) or ids.dtype.kind not in "USiu":
        raise BankError(
            f"{path}: {ids_name} is {ids.dtype} {ids.shape}, but must be text or integers ({len(vectors)},), an id "
            f"for each vector of {name}."
        )
    try:
        texts = [one.decode() if isinstance(one, bytes) else str(one) for one in ids.tolist()]
    except UnicodeDecodeError as error:
        raise BankError(f"{path}: {ids_name} contains bytes that are not UTF-8 ({error}).") from error
    places: dict[str, int] = {}
    for place, one in enumerate(texts):
        if not one:
            raise BankError(f"{path}: {ids_name}: id {place} is empty.")
        if one in places:
            raise BankError(f"{path}: {ids_name}: {one!r} occurs twice, at {places[one]} and {place}.")
        places[one] = place
    rows = vectors.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    wrong = np.flatnonzero(~(np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)))
    if len(wrong):
        first = int(wrong[0])
        fault = "is zero" if norms[first, 0] == 0 else "has numbers that are not finite"
        raise BankError(f"{path}: {name}: the vector of {texts[first]!r} {fault} ({len(wrong)} of them).")
    return NamedVectors(name, (rows / norms).astype(np.float32), places)


def _find(
    vectors: NamedVectors, wanted: Sequence[tuple[str, str]], path: str | os.PathLike[str]
) -> list[int]:
    """Places of the vectors with some ids; each id comes with the row that names it."""
    missing = [(one, where) for one, where in wanted if one not in vectors.places]
    if missing:
        one, where = missing[0]
        raise BankError(
            f"{where}: no vector in {vectors.name} of {path} has the id {one!r} ({len(missing)} of {len(wanted)} rows "
            f"have none; an id there is {next(iter(vectors.places))!r})."
        )
    return [vectors.places[one] for one, _ in wanted]


def _check_sounds(rows: Sequence[ImportedRow]) -> None:
    """Rows of one clip have one sound and one vector, rows with one caption vector one caption."""
    sounds: dict[tuple[str, str, str], tuple[Any, ImportedRow]] = {}
    captions: dict[str, ImportedRow] = {}
    for row in rows:
        sound = (row.audio_id, audio_digest(row.audio))
        before, first = sounds.setdefault((row.source, row.split, row.clip_id), (sound, row))
        if before != sound:
            raise BankError(
                f"{row.where}: clip {row.clip_id!r} has another file, offset, duration or vector than in {first.where}."
            )
        other = captions.setdefault(row.caption_id, row)
        if other.caption != row.caption:
            raise BankError(
                f"{row.where}: the caption vector {row.caption_id!r} is that of another caption in {other.where}."
            )


__all__ = ["ImportedRow", "NamedVectors", "import_bank", "read_arrays", "read_rows", "rows_of_tables"]
