"""Reads metadata files next to sounds, and reports rows that match no sound."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ...files.file_names import NameTable
from ...files.metadata_files import FILE_NAME, MetadataTable, RowFault, read_metadata_file
from ...files.metadata_finding import find_metadata_files
from ...files.metadata_matching import MatchedRows, match_rows
from .metadata import LICENSE_NAMES, Description, description_of
from .walking import below

MEANINGS = re.compile("|".join((FILE_NAME, "tags", *LICENSE_NAMES)))


@dataclass(frozen=True)
class Descriptions:
    """
    Descriptions of sounds from metadata files.

    Attributes:
        by_path: description of each sound; sounds without one are omitted.
        unread: (path, reason) of metadata files that cannot be read.
        rows: remarks on single rows: those that are not used, and those whose names match only loosely.
        kept: folders whose file, and sounds whose row, cannot be read: their stored metadata stay.
        remarks: (path, remark) of metadata files that are read although their names differ in case.
    """

    by_path: dict[str, Description] = field(default_factory=dict)
    unread: list[tuple[str, str]] = field(default_factory=list)
    rows: list[RowFault] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)


def read_descriptions(
    files: Iterable[tuple[str, str]], looked_at: Sequence[str] | None = None
) -> Descriptions:
    """
    Reads ``metadata.csv`` and ``metadata.jsonl`` of all folders between roots and files; see [`find_metadata_files`].

    ``file_name`` is relative to their folder; names are compared as [`NameTable`] says. A folder's own file stands
    above its parents', and in one folder the second above the first. Of rows that speak of one sound the one whose
    name fits best counts, and of those the last.

    Args:
        files: (path, root), absolute.
        looked_at: folders and files that were searched for sounds: a row without a matching file is reported
            if its path is in them. The roots if not given.
    """
    files = list(files)
    roots = list(dict.fromkeys(root for _, root in files)) if looked_at is None else looked_at
    names = NameTable(path for path, _ in files)
    said = Descriptions()
    # By path the metadata file that counts, and the row's line.
    counting: dict[str, tuple[str, int]] = {}
    kept: dict[str, None] = {}
    for folder in _folders(files):
        found = find_metadata_files(folder)
        said.remarks.extend(found.remarks)
        said.unread.extend(found.ignored + found.unclear)
        if found.unclear:
            kept[folder] = None
        for source in found.paths:
            try:
                table = read_metadata_file(source, MEANINGS)
                if source.lower().endswith(".csv") and FILE_NAME not in table.columns:
                    raise ValueError(f"has no column file_name, but {table.columns or 'nothing'}.")
            except (OSError, ValueError) as error:
                said.unread.append((source, getattr(error, "strerror", None) or str(error)))
                kept[folder] = None
                continue
            matched = match_rows(table, names, folder)
            for path, row in matched.by_name.items():
                said.by_path[path] = description_of(row)
            said.rows.extend(_row_remarks(table, matched, folder, roots))
            said.rows.extend(_outdone(matched, source, counting))
            for fault in table.faults:
                lost = names.find(fault.name, folder) if fault.name and not fault.used else None
                kept.update(dict.fromkeys(lost.names if lost else ()))
            for _, candidates in matched.unclear:
                kept.update(dict.fromkeys(candidates))
            for path in matched.by_name:
                kept.pop(path, None)
    said.kept.extend(kept)
    return said


def _folders(files: Iterable[tuple[str, str]]) -> list[str]:
    """All folders between roots and files, parents first."""
    folders: dict[str, None] = {}
    for path, root in files:
        folder = os.path.dirname(path)
        top = root if path != root else folder
        while folder not in folders and (folder == top or folder.startswith(top.rstrip(os.sep) + os.sep)):
            folders[folder] = None
            folder = os.path.dirname(folder)
    return sorted(folders)


def _row_remarks(
    table: MetadataTable, matched: MatchedRows, folder: str, roots: Sequence[str]
) -> list[RowFault]:
    """Remarks on a file's own rows, by line."""
    remarks = [*table.faults, *matched.repeated, *matched.loose, *(fault for fault, _ in matched.unclear)]
    for row in matched.unmatched:
        target = os.path.normpath(os.path.join(folder, row.name))
        # Files outside these folders are unknown here.
        if below(target, roots):
            remarks.append(RowFault(table.file, row.line, _absence(target, row.name), name=row.name))
    return sorted(remarks, key=lambda fault: fault.line)


def _absence(target: str, name: str) -> str:
    if not os.path.lexists(target):
        return f"there is no file {name!r}"
    if os.path.isdir(target):
        return f"{name!r} is a folder"
    return f"{name!r} exists, but is not an audio file that is read"


def _outdone(matched: MatchedRows, source: str, counting: dict[str, tuple[str, int]]) -> list[RowFault]:
    """Remarks on rows of outer files that this file's rows override; marks this file's rows as the valid ones."""
    lines: dict[str, list[int]] = {}
    for path, row in matched.by_name.items():
        if path in counting:
            other, line = counting[path]
            lines.setdefault(other, []).append(line)
        counting[path] = (source, row.line)
    remarks = []
    for other, found in lines.items():
        more = f" (and those of {len(found) - 1:,} more rows)" if len(found) > 1 else ""
        remarks.append(RowFault(other, min(found), f"{source} describes the same sound{more}, and counts"))
    return remarks


__all__ = ["Descriptions", "read_descriptions"]
