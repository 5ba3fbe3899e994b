"""A captioned folder: audio files beside one `metadata.csv` or `metadata.jsonl` that says what they hold."""

import logging
import ntpath
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

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
from ..schema import CaptionedClip, DataError, build_table
from .clip_listing import ClipListing, files_below, sounds_among
from .folder_columns import (
    NUMBERED_CAPTION,
    RowError,
    captions_of,
    carried_columns,
    column_hint,
    convert_numbers,
    find_caption_columns,
)

logger = logging.getLogger(__name__)

_MEANINGS = re.compile(rf"{FILE_NAME}|split|license|captions?|{NUMBERED_CAPTION.pattern}")
_SHOWN = 5
_Item = TypeVar("_Item")


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
    (table,) = load_captioned_splits(
        folder,
        lambda _: [split],
        caption_column=caption_column,
        license=license,
        source=source,
        missing=missing,
    ).values()
    return table


def load_captioned_splits(
    folder: str | os.PathLike[str],
    choose: Callable[[list[str]], Sequence[str]],
    *,
    caption_column: str | None = None,
    license: str = "unknown",
    source: str | None = None,
    missing: Literal["error", "skip"] = "error",
) -> dict[str, Dataset]:
    """Read several splits of a captioned folder, whose metadata and files are looked at once.

    Args:
        folder: As of `load_captioned_folder`, like the other arguments.
        choose: Called with the distinct values of the column `split`, sorted, of which there are none without the
            column; returns the splits to take.

    Returns:
        A table a split, in the order in which they were chosen.

    Raises:
        DataError: As of `load_captioned_folder`.
    """
    if missing not in ("error", "skip"):
        raise DataError(f"missing is {missing!r}, but must be 'error' or 'skip'")
    matched = _match_folder(folder, caption_column, strict=True)
    rows = matched.rows
    # Let go of row by row while clips and tables are made of them: a large folder need not be held twice.
    rows_of = {split: _rows_of_split(matched, split) for split in choose(_splits_of(matched.columns, rows))}
    rows.clear()
    return {
        split: _table(_listing(matched, of_split, split, license, source, strict=True), missing)
        for split, of_split in rows_of.items()
    }


def _table(listing: ClipListing, missing: str) -> Dataset:
    (metadata,) = listing.metadata
    for fault in listing.rows[:_SHOWN]:
        logger.warning("%s, %s", metadata, fault.text)
    if len(listing.rows) > _SHOWN:
        logger.warning("%s: the same of %d more rows", metadata, len(listing.rows) - _SHOWN)
    _report_missing(listing, missing)
    try:
        return build_table(row for clip in _taken(listing.clips) for row in clip.rows())
    except DataError as error:
        raise DataError(f"{metadata}: {error}") from error


def _taken(items: list[_Item]) -> Iterator[_Item]:
    """The items of a list in their order, each let go of by the list."""
    items.reverse()
    while items:
        yield items.pop()


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
    matched = _match_folder(folder, caption_column, strict=strict)
    return _listing(matched, _rows_of_split(matched, split), split, license, source, strict)


@dataclass
class _MatchedFolder:
    """A captioned folder whose metadata were read and its files found.

    Attributes:
        folder: Its absolute path.
        metadata: The file that was read.
        columns: Of the metadata.
        caption_columns: Those with captions.
        rows: All rows that can be used.
        stored: The name of the file of each row that has one, by the row's line.
        unmatched: Lines of the rows without a file.
        unlisted: Sounds that no row names.
        faults: Rows that cannot be used.
        loose: Rows whose name fits a file only loosely.
    """

    folder: Path
    metadata: Path
    columns: list[str]
    caption_columns: list[str]
    rows: list[MetadataRow]
    stored: dict[int, str]
    unmatched: set[int]
    unlisted: list[Path]
    faults: list[RowFault]
    loose: list[RowFault]


def _match_folder(
    folder: str | os.PathLike[str], caption_column: str | None, *, strict: bool
) -> _MatchedFolder:
    folder = Path(folder).absolute()
    metadata = _find_metadata(folder)
    table = _read_metadata(metadata)
    faults = [replace(fault, used=False) for fault in table.faults]
    _stop_at(faults, strict or not table.rows)
    columns = table.columns
    if FILE_NAME not in columns:
        raise DataError(f"{metadata}: no column 'file_name'; {column_hint(columns, 'file_name')}")
    try:
        caption_columns = find_caption_columns(metadata, columns, caption_column)
    except DataError as error:
        if strict:
            raise
        # The sounds can be looked at all the same.
        caption_columns = []
        faults.append(RowFault(table.file, 1, str(error).removeprefix(f"{metadata}: ")))
    if not table.rows:
        raise DataError(f"{metadata}: the file has no rows")
    faults += _refuse_names_outside(table)
    files = files_below(folder)
    matched = match_rows(table, _name_table(folder, files, table.rows))
    faults += [*matched.repeated, *(fault for fault, _ in matched.unclear)]
    _stop_at(faults, strict)
    return _MatchedFolder(
        folder=folder,
        metadata=metadata,
        columns=columns,
        caption_columns=caption_columns,
        rows=table.rows,
        stored={row.line: name for name, row in matched.by_name.items()},
        unmatched={row.line for row in matched.unmatched},
        unlisted=sorted(
            folder / name for name in sounds_among(one for one in files if one not in matched.by_name)
        ),
        faults=faults,
        loose=matched.loose,
    )


def _listing(
    matched: _MatchedFolder,
    rows: list[MetadataRow],
    split: str,
    license: str,
    source: str | None,
    strict: bool,
) -> ClipListing:
    """One split's clips; the list of its rows is empty afterwards."""
    folder, file = matched.folder, os.fspath(matched.metadata)
    renamed = carried_columns(matched.metadata, matched.columns, matched.caption_columns)
    faults = list(matched.faults)
    clips, absent = [], []
    for row in _taken(rows):
        name = _written(row)
        if row.line in matched.unmatched:
            absent.append(name)
        if row.line not in matched.stored:
            continue
        stored = matched.stored[row.line]
        try:
            captions = captions_of(row, matched.caption_columns) if matched.caption_columns else []
        except RowError as error:
            faults.append(RowFault(file, row.line, str(error), name=name))
            _stop_at(faults, strict)
            continue
        clips.append(
            CaptionedClip(
                source=source or folder.name,
                split=split,
                # Without blanks that the file's name does not have: ids stay what they were.
                name=name if folded(name) == folded(stored) else name.strip(),
                path=os.path.join(folder, stored),
                captions=captions,
                license=str(row.values.get("license") or license),
                extra={new: row.values.get(old) for old, new in renamed.items()},
            )
        )
    return ClipListing(
        title=f"{folder.name}, split {split!r}",
        metadata=[matched.metadata],
        clips=clips,
        missing=absent,
        places=[folder],
        unlisted=matched.unlisted,
        rows=sorted([*faults, *matched.loose], key=lambda fault: fault.line),
    )


def list_folder_splits(folder: str | os.PathLike[str]) -> list[str]:
    """The distinct values of a captioned folder's `split` column, sorted; empty where it has none.

    Raises:
        DataError: The folder or its metadata cannot be read.
    """
    table = _read_metadata(_find_metadata(Path(folder).absolute()))
    return _splits_of(table.columns, table.rows)


def _splits_of(columns: list[str], rows: Sequence[MetadataRow]) -> list[str]:
    if "split" not in columns:
        return []
    return sorted({str(row.values["split"]).strip() for row in rows if row.values.get("split")})


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
            convert_numbers(name, table.rows)
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


def _rows_of_split(matched: _MatchedFolder, split: str) -> list[MetadataRow]:
    if "split" not in matched.columns:
        return list(matched.rows)
    splits = [str(row.values.get("split") or "").strip() or None for row in matched.rows]
    chosen = [row for row, value in zip(matched.rows, splits, strict=True) if value == split]
    if not chosen:
        existing = sorted({str(value) for value in splits if value is not None})
        raise DataError(
            f"{matched.metadata}: no row of split {split!r}; the column 'split' has the values {existing}"
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
