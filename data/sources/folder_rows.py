"""The rows of a captioned folder's metadata, each with its file."""

import logging
import ntpath
import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...files.file_names import NameTable
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
from ..schema import DataError
from .clip_listing import files_below, sounds_among
from .folder_columns import NUMBERED_CAPTION, column_hint, convert_numbers, find_caption_columns

logger = logging.getLogger(__name__)

_MEANINGS = re.compile(rf"{FILE_NAME}|split|license|captions?|{NUMBERED_CAPTION.pattern}")
_SHOWN = 5


class FaultyRowError(DataError):
    """An invalid row; the message names its line."""


@dataclass
class MatchedFolder:
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


def match_folder(
    folder: str | os.PathLike[str], caption_column: str | None, *, strict: bool
) -> MatchedFolder:
    """
    Reads a captioned folder's metadata and finds the file of each row.

    Args:
        folder: The directory with the metadata.
        caption_column: The column with the caption, if it has an unusual name.
        strict: Stop at the first row that cannot be used.

    Raises:
        DataError: If nothing can be made of the folder or its metadata.
    """
    folder = Path(folder).absolute()
    metadata = find_metadata(folder)
    table = read_metadata(metadata)
    faults = [replace(fault, used=False) for fault in table.faults]
    stop_at(faults, strict or not table.rows)
    columns = table.columns
    if FILE_NAME not in columns:
        raise DataError(
            f"{metadata}: no column 'file_name'; {column_hint(columns, 'file_name', rename=True)}"
        )
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
    faults += [_one_row_a_file(fault) for fault in matched.repeated]
    faults += [*(fault for fault, _ in matched.unclear)]
    stop_at(faults, strict)
    return MatchedFolder(
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


def find_metadata(folder: Path) -> Path:
    """
    Raises:
        DataError: If the folder has no metadata file, or it is not clear which one counts.
    """
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
        seen = f"; it contains {tables[:_SHOWN]}" if tables else ""
        raise DataError(f"{folder}: neither metadata.csv nor metadata.jsonl found{seen}")
    for path, remark in (*found.remarks, *found.ignored):
        logger.warning("%s: %s", path, remark)
    return Path(found.paths[0])


def read_metadata(metadata: Path) -> MetadataTable:
    """
    Blank cells of a CSV as None, and columns of numbers as numbers.

    Raises:
        DataError: If the file cannot be read.
    """
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


def stop_at(faults: Sequence[RowFault], stop: bool) -> None:
    """
    Raises:
        DataError: if this is asked for and there is a fault: the first one.
    """
    if stop and faults:
        first, more = min(faults, key=lambda fault: fault.line), len(faults) - 1
        rest = f" ({more:,} more rows are not valid)" if more else ""
        raise FaultyRowError(f"{_place(first.file, first.line)}: {first.reason}{rest}")


def written_name(row: MetadataRow) -> str:
    """A row's file name with forward slashes, relative to the folder."""
    return posixpath.normpath(row.name.replace("\\", "/"))


def _one_row_a_file(fault: RowFault) -> RowFault:
    """In a dataset neither of two rows of a file counts before one is removed."""
    reason = fault.reason.rpartition(";")[0]
    way = "keep one row per file; several captions belong in its columns caption_1, caption_2, ..."
    return replace(fault, reason=f"{reason}; {way}")


def _refuse_names_outside(table: MetadataTable) -> list[RowFault]:
    """Takes rows whose file would be outside the folder out of the table."""
    faults, kept = [], []
    for row in table.rows:
        name = written_name(row).strip()
        if name.startswith(("/", "../")) or name == ".." or ntpath.splitdrive(name)[0]:
            reason = f"file_name {row.name!r} is outside the folder; it must be a path within it"
            faults.append(RowFault(table.file, row.line, reason, name=row.name))
        else:
            kept.append(row)
    table.rows[:] = kept
    return faults


def _name_table(folder: Path, files: dict[str, None], rows: Sequence[MetadataRow]) -> NameTable:
    """Names for finding the rows' files, including files in linked folders."""
    names = NameTable(files)
    linked = []
    for written in map(written_name, rows):
        if written not in files and (folder / written).is_file():
            match = names.find(written)
            others = match.names if match else ()
            # Where upper and lower case are one, this is the file that is stored under another name.
            if not any(os.path.samefile(folder / written, folder / other) for other in others):
                linked.append(written)
    return NameTable([*files, *linked]) if linked else names


__all__ = [
    "FaultyRowError",
    "MatchedFolder",
    "find_metadata",
    "match_folder",
    "read_metadata",
    "stop_at",
    "written_name",
]
