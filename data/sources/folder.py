"""A captioned folder: audio files beside one `metadata.csv` or `metadata.jsonl` that says what they hold."""

import difflib
import json
import logging
import math
import ntpath
import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from datasets import Dataset

from ...files.file_names import NameTable, folded
from ...files.metadata_files import (
    FILE_NAME,
    MetadataFileError,
    MetadataRow,
    MetadataTable,
    RowFault,
    read_metadata_file,
)
from ...files.metadata_finding import find_metadata_files
from ...files.metadata_matching import match_rows
from ..schema import SCHEMA, CaptionedClip, DataError, build_table
from .clip_listing import ClipListing, sounds_among

logger = logging.getLogger(__name__)

_NUMBERED_CAPTION = re.compile(r"caption_(\d+)")
_MEANINGS = re.compile(rf"{FILE_NAME}|split|license|captions?|{_NUMBERED_CAPTION.pattern}")
_SHOWN = 5


class _RowError(ValueError):
    """What is wrong with one row, without file and line."""


def load_captioned_folder(
    folder: str | os.PathLike[str],
    *,
    split: str = "train",
    caption_column: str | None = None,
    license: str = "unknown",
    source: str | None = None,
    missing: Literal["error", "skip"] = "error",
) -> Dataset:
    """Read a captioned folder into the project's table (`auricle.data.schema`); no sound is decoded.

    The metadata is UTF-8, with or without byte-order mark: a CSV with a header line and commas (or semicolons
    or tabs), or one JSON object a line; see `read_metadata_file`. Its columns, in upper or lower case:

    * `file_name`: path of the audio within the folder, with `/` or `\\`; subfolders are fine; names are compared
      as `NameTable` says, and what fits only loosely is logged;
    * the captions, in one of three forms: `caption`; `caption_1`, `caption_2`, ... (cells may be blank as
      long as one in the row is not); `captions`, a list (JSON; in a CSV, the list written as JSON);
    * `split`, if there is one, says which rows belong to which split;
    * `license`, if there is one, goes before the argument where it is not blank;
    * all others are carried through. In a CSV a column becomes integer or floating where every cell that is
      not blank is such a number; blank cells become null. A name that the table needs for itself gets
      `metadata_` before it.

    Args:
        folder: The directory with the metadata.
        split: Rows to take where there is a `split` column, and the split they are said to belong to.
        caption_column: The column that holds the caption (or list of captions), if it is named otherwise.
        license: Of the clips.
        source: Name of the data set; the folder's name by default.
        missing: What to do about rows whose file is not there: "error", or "skip" to leave them out with a
            warning.

    Raises:
        DataError: Anything wrong with the folder or a row of its metadata; the message names the file, the line
            and what would be accepted.
    """
    if missing not in ("error", "skip"):
        raise DataError(f"missing is {missing!r}, but must be 'error' or 'skip'")
    listing = list_folder_clips(
        folder, split=split, caption_column=caption_column, license=license, source=source, strict=True
    )
    (metadata,) = listing.metadata
    for fault in listing.rows[:_SHOWN]:
        logger.warning("%s, %s", metadata, fault.text)
    if len(listing.rows) > _SHOWN:
        logger.warning("%s: the same of %d more rows", metadata, len(listing.rows) - _SHOWN)
    _report_missing(listing, missing)
    try:
        return build_table(row for clip in listing.clips for row in clip.rows())
    except DataError as error:
        raise DataError(f"{metadata}: {error}") from error


def list_folder_clips(
    folder: str | os.PathLike[str],
    *,
    split: str = "train",
    caption_column: str | None = None,
    license: str = "unknown",
    source: str | None = None,
    strict: bool = False,
) -> ClipListing:
    """What the metadata name of one split, and what of it is there; arguments as of `load_captioned_folder`.

    Args:
        strict: Stop at the first row that cannot be used; otherwise the listing's `rows` tell of all.

    Raises:
        DataError: Anything wrong with the folder or its metadata.
    """
    folder = Path(folder).absolute()
    metadata = _find_metadata(folder)
    table = _read_metadata(metadata)
    faults = [replace(fault, used=False) for fault in table.faults]
    _stop_at(faults, strict or not table.rows)
    columns = table.columns
    if FILE_NAME not in columns:
        raise DataError(f"{metadata}: no column 'file_name'; {_found(columns, 'file_name')}")
    try:
        caption_columns = _find_caption_columns(metadata, columns, caption_column)
    except DataError as error:
        if strict:
            raise
        # The sounds can be looked at all the same.
        caption_columns = []
        faults.append(RowFault(table.file, 1, str(error).removeprefix(f"{metadata}: ")))
    if not table.rows:
        raise DataError(f"{metadata}: the file has no rows")
    faults += _refuse_names_outside(table)
    files = _files_below(folder)
    matched = match_rows(table, _name_table(folder, files, table.rows))
    faults += [*matched.repeated, *(fault for fault, _ in matched.unclear)]
    _stop_at(faults, strict)
    renamed = _carried_columns(metadata, columns, caption_columns)
    path_of = {row.line: name for name, row in matched.by_name.items()}
    unmatched = {row.line for row in matched.unmatched}
    clips, absent = [], []
    for row in _rows_of_split(metadata, columns, table.rows, split):
        name = _written(row)
        if row.line in unmatched:
            absent.append(name)
        if row.line not in path_of:
            continue
        stored = path_of[row.line]
        try:
            captions = _captions(row, caption_columns) if caption_columns else []
        except _RowError as error:
            faults.append(RowFault(table.file, row.line, str(error), name=name))
            _stop_at(faults, strict)
            continue
        clips.append(
            CaptionedClip(
                source=source or folder.name,
                split=split,
                # Without blanks that the file's name does not have: ids stay what they were.
                name=name if folded(name) == folded(stored) else name.strip(),
                path=folder / stored,
                captions=captions,
                license=str(row.values.get("license") or license),
                extra={new: row.values.get(old) for old, new in renamed.items()},
            )
        )
    return ClipListing(
        title=f"{folder.name}, split {split!r}",
        metadata=[metadata],
        clips=clips,
        missing=absent,
        places=[folder],
        unlisted=sorted(folder / name for name in sounds_among(files) if name not in matched.by_name),
        rows=sorted([*faults, *matched.loose], key=lambda fault: fault.line),
    )


def list_folder_splits(folder: str | os.PathLike[str]) -> list[str]:
    """The distinct values of a captioned folder's `split` column, sorted; empty where it has none.

    Raises:
        DataError: The folder or its metadata cannot be read.
    """
    table = _read_metadata(_find_metadata(Path(folder).absolute()))
    return sorted({str(row.values["split"]).strip() for row in table.rows if row.values.get("split")})


def _find_metadata(folder: Path) -> Path:
    if not folder.is_dir():
        fault = "not a directory" if folder.exists() else "directory not found"
        raise DataError(
            f"{folder}: {fault}; expected a folder with audio files and metadata.csv or metadata.jsonl"
        )
    found = find_metadata_files(folder)
    if len(found.paths) == 2:
        raise DataError(f"{folder}: both metadata.csv and metadata.jsonl found; keep one of them")
    if found.unclear:
        path, reason = found.unclear[0]
        raise DataError(f"{path}: {reason}")
    if not found.paths:
        tables = sorted(
            entry.name for entry in folder.iterdir() if entry.suffix in {".csv", ".jsonl", ".tsv", ".json"}
        )
        seen = f"; it holds {tables[:_SHOWN]}" if tables else ""
        raise DataError(f"{folder}: neither metadata.csv nor metadata.jsonl found{seen}")
    for path, remark in (*found.remarks, *found.ignored):
        logger.warning("%s: %s", path, remark)
    return Path(found.paths[0])


def _read_metadata(metadata: Path) -> MetadataTable:
    try:
        table = read_metadata_file(metadata, _MEANINGS)
    except MetadataFileError as error:
        raise DataError(f"{_place(metadata, error.line)}: {error.reason}") from error
    if metadata.suffix.lower() == ".csv":
        for row in table.rows:
            row.values.update({name: None for name, cell in row.values.items() if not cell.strip()})
        for name in table.columns:
            _convert_numbers(name, table.rows)
    return table


def _place(metadata: str | Path, line: int | None) -> str:
    return f"{metadata}" if line is None else f"{metadata}, line {line}"


def _stop_at(faults: Sequence[RowFault], stop: bool) -> None:
    """
    Raises:
        DataError: if this is asked for and there is a fault: the first one.
    """
    if stop and faults:
        first, more = min(faults, key=lambda fault: fault.line), len(faults) - 1
        rest = f" ({more:,} more rows are not valid)" if more else ""
        raise DataError(f"{_place(first.file, first.line)}: {first.reason}{rest}")


def _convert_numbers(name: str, records: Sequence[MetadataRow]) -> None:
    """Turn a column of digits into numbers, unless that would lose something, as with `007`."""
    if name in {"file_name", "split", "license"} or name.startswith("caption"):
        return
    cells = [record.values[name] for record in records if record.values[name] is not None]
    for kind in (int, float):
        try:
            numbers = [kind(cell) for cell in cells]
        except ValueError:
            continue
        fits = all(abs(number) < 2**63 if kind is int else math.isfinite(number) for number in numbers)
        padded = any(re.match(r"\s*[-+]?0\d|.*_", cell) for cell in cells)
        if fits and not padded:
            for record in records:
                if record.values[name] is not None:
                    record.values[name] = kind(record.values[name])
            return


def _find_caption_columns(metadata: Path, columns: list[str], asked: str | None) -> list[str]:
    if asked is not None:
        fitting = [name for name in columns if folded(name) == folded(asked)]
        if not fitting:
            raise DataError(f"{metadata}: no column {asked!r}; {_found(columns, asked)}")
        return [asked if asked in fitting else fitting[0]]
    numbered = [name for name in columns if _NUMBERED_CAPTION.fullmatch(name)]
    numbered.sort(key=lambda name: int(name.removeprefix("caption_")))
    forms = [form for form in (["caption"], ["captions"], numbered) if form and set(form) <= set(columns)]
    if not forms:
        raise DataError(
            f"{metadata}: no column 'caption', 'caption_1', 'caption_2', ... or 'captions'; "
            f"{_found(columns, 'caption')}; to use another column, set caption_column"
        )
    if len(forms) > 1:
        raise DataError(
            f"{metadata}: several caption columns {[form[0] for form in forms]}; choose one with caption_column"
        )
    return forms[0]


def _found(columns: list[str], wanted: str) -> str:
    lowered = {name.lower(): name for name in columns}
    near = difflib.get_close_matches(wanted.lower(), lowered, n=1, cutoff=0.5)
    return f"the columns are {columns}" + (f"; did you mean {lowered[near[0]]!r}?" if near else "")


def _written(row: MetadataRow) -> str:
    """A row's file name with forward slashes, relative to the folder."""
    return posixpath.normpath(row.name.replace("\\", "/"))


def _refuse_names_outside(table: MetadataTable) -> list[RowFault]:
    """Takes rows whose file would lie outside the folder out of the table."""
    faults, kept = [], []
    for row in table.rows:
        name = _written(row).strip()
        if name.startswith(("/", "../")) or name == ".." or ntpath.splitdrive(name)[0]:
            reason = f"file_name {row.name!r} is outside the folder; it must be a path within it"
            faults.append(RowFault(table.file, row.line, reason, name=row.name))
        else:
            kept.append(row)
    table.rows[:] = kept
    return faults


def _files_below(folder: Path) -> dict[str, None]:
    """All files of a folder and those below it, relative to it, with forward slashes."""
    return {
        Path(place, name).relative_to(folder).as_posix(): None
        for place, _, names in os.walk(folder)
        for name in names
    }


def _name_table(folder: Path, files: dict[str, None], rows: Sequence[MetadataRow]) -> NameTable:
    """Names to find the rows' files among, those that lie behind links to folders included."""
    names = NameTable(files)
    linked = []
    for written in map(_written, rows):
        if written not in files and (folder / written).is_file():
            match = names.find(written)
            others = match.names if match else ()
            # Where upper and lower case are one, this is the file that is stored under another name.
            if not any(os.path.samefile(folder / written, folder / other) for other in others):
                linked.append(written)
    return NameTable([*files, *linked]) if linked else names


def _rows_of_split(
    metadata: Path, columns: list[str], rows: Sequence[MetadataRow], split: str
) -> Sequence[MetadataRow]:
    if "split" not in columns:
        return rows
    splits = [str(row.values.get("split") or "").strip() or None for row in rows]
    chosen = [row for row, value in zip(rows, splits, strict=True) if value == split]
    if not chosen:
        existing = sorted({str(value) for value in splits if value is not None})
        raise DataError(
            f"{metadata}: no row of split {split!r}; the column 'split' has the values {existing}"
        )
    return chosen


def _report_missing(listing: ClipListing, missing: str) -> None:
    if not listing.missing:
        return
    shown = ", ".join(repr(name) for name in listing.missing[:_SHOWN])
    more = ", ..." if len(listing.missing) > _SHOWN else ""
    what = f"{listing.metadata[0]}: {len(listing.missing)} of {listing.named} files do not exist"
    if missing == "error" or not listing.clips:
        raise DataError(f"{what}: {shown}{more}")
    logger.warning("%s: %s%s; skipped their rows", what, shown, more)


def _carried_columns(metadata: Path, columns: list[str], caption_columns: list[str]) -> dict[str, str]:
    """Metadata column -> table column, for the columns without a meaning of their own."""
    used = {"file_name", "split", "license", *caption_columns}
    renamed = {name: f"metadata_{name}" if name in SCHEMA else name for name in columns if name not in used}
    clashing = sorted(name for name in renamed.values() if list(renamed.values()).count(name) > 1)
    if clashing or "" in renamed:
        raise DataError(f"{metadata}: columns {clashing or ['']} have reserved names; rename or remove them")
    return renamed


def _captions(row: MetadataRow, caption_columns: list[str]) -> list[str]:
    """
    Raises:
        _RowError: for one that is not as it should be, or if there is none.
    """
    captions: list[str] = []
    for name in caption_columns:
        value = row.values.get(name)
        if name == "captions" and isinstance(value, str):
            try:
                value = json.loads(value)
            except json.JSONDecodeError:
                value = None
            if not isinstance(value, list):
                raise _RowError('captions must be a JSON list such as ["one", "two"]')
        given = value if isinstance(value, list) else [value]
        for index, caption in enumerate(given):
            item = f"{name}[{index}]" if isinstance(value, list) else name
            if caption is not None and not isinstance(caption, str):
                raise _RowError(f"{item} is {caption!r}, but must be a string")
            if caption is not None and caption.strip():
                captions.append(caption.strip())
            elif isinstance(value, list):
                raise _RowError(f"{item} is empty, but must be a non-empty string")
    if not captions:
        raise _RowError(f"{' and '.join(caption_columns)} empty; every clip needs a caption")
    return captions
