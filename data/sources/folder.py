"""A captioned folder: audio files and one `metadata.csv` or `metadata.jsonl` with their captions."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from datasets import Dataset

from ...files.file_names import folded
from ...files.metadata_files import MetadataRow, RowFault
from ..schema import CaptionedClip, DataError, build_table
from .clip_listing import ClipListing
from .folder_columns import RowError, captions_of, carried_columns
from .folder_rows import (
    FaultyRowError,
    MatchedFolder,
    find_metadata,
    match_folder,
    read_metadata,
    stop_at,
    written_name,
)

logger = logging.getLogger(__name__)

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
    * `split`, if present, assigns rows to splits;
    * `license`, if there is one, goes before the argument where it is not blank;
    * all others are carried through. In a CSV a column becomes integer or floating where every cell that is
      not blank is such a number; blank cells become null. A name that the table needs for itself gets
      `metadata_` before it.

    Args:
        folder: The directory with the metadata.
        split: Rows to take where there is a `split` column, and the split that is recorded for them.
        caption_column: The column with the caption (or list of captions), if it has an unusual name.
        license: Of the clips.
        source: Name of the dataset; the folder's name by default.
        missing: What to do about rows whose file is not there: "error", or "skip" to omit them with a
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
    choose: Callable[[dict[str, int]], Sequence[str]],
    *,
    caption_column: str | None = None,
    license: str = "unknown",
    source: str | None = None,
    missing: Literal["error", "skip"] = "error",
) -> dict[str, Dataset]:
    """Read several splits of a captioned folder, whose metadata and files are looked at once.

    Args:
        folder: As of `load_captioned_folder`, like the other arguments.
        choose: Called with the number of rows by value of the column `split`, sorted by value (empty without the
            column); returns the splits to take.

    Returns:
        A table a split, in the order in which they were chosen.

    Raises:
        DataError: As of `load_captioned_folder`.
    """
    if missing not in ("error", "skip"):
        raise DataError(f"missing is {missing!r}, but must be 'error' or 'skip'")
    matched = match_folder(folder, caption_column, strict=True)
    rows = matched.rows
    # Rows are freed while tables are built, so that a large folder is not in memory twice.
    counts = _splits_of(matched.columns, rows)
    blank = len(rows) - sum(counts.values()) if counts else 0
    if blank:
        logger.warning("%s: rows without a split are not used: %d", matched.metadata, blank)
    rows_of = {split: _rows_of_split(matched, split) for split in choose(counts)}
    rows.clear()
    for fault in matched.loose[:_SHOWN]:
        logger.warning("%s, %s", matched.metadata, fault.text)
    if len(matched.loose) > _SHOWN:
        logger.warning("%s: the same of %d more rows", matched.metadata, len(matched.loose) - _SHOWN)
    return {
        split: _table(matched, of_split, split, license, source, missing)
        for split, of_split in rows_of.items()
    }


def _table(
    matched: MatchedFolder,
    rows: list[MetadataRow],
    split: str,
    license: str,
    source: str | None,
    missing: str,
) -> Dataset:
    _report_missing(matched, rows, missing)
    clips = _clips(matched, rows, split, license, source, matched.faults, strict=True)
    try:
        return build_table(row for clip in clips for row in clip.rows())
    except FaultyRowError:
        raise
    except DataError as error:
        raise DataError(f"{matched.metadata}: {error}") from error


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
    """The clips that the metadata list for one split, and which exist; arguments as of `load_captioned_folder`.

    Args:
        strict: Stop at the first row that cannot be used; otherwise the listing's `rows` report all of them.

    Raises:
        DataError: Anything wrong with the folder or its metadata.
    """
    matched = match_folder(folder, caption_column, strict=strict)
    return _listing(matched, _rows_of_split(matched, split), split, license, source, strict)


def _listing(
    matched: MatchedFolder,
    rows: list[MetadataRow],
    split: str,
    license: str,
    source: str | None,
    strict: bool,
) -> ClipListing:
    absent, faults = _absent(matched, rows), list(matched.faults)
    if not strict and "split" in matched.columns:
        file = os.fspath(matched.metadata)
        faults += [
            RowFault(file, row.line, "split is empty; the row belongs to no split", name=written_name(row))
            for row in matched.rows
            if not str(row.values.get("split") or "").strip()
        ]
    return ClipListing(
        title=f"{matched.folder.name}, split {split!r}",
        metadata=[matched.metadata],
        clips=list(_clips(matched, rows, split, license, source, faults, strict)),
        missing=absent,
        places=[matched.folder],
        unlisted=matched.unlisted,
        rows=sorted([*faults, *matched.loose], key=lambda fault: fault.line),
    )


def _absent(matched: MatchedFolder, rows: list[MetadataRow]) -> list[str]:
    return [written_name(row) for row in rows if row.line in matched.unmatched]


def _clips(
    matched: MatchedFolder,
    rows: list[MetadataRow],
    split: str,
    license: str,
    source: str | None,
    faults: list[RowFault],
    strict: bool,
) -> Iterator[CaptionedClip]:
    """The clips of rows whose file exists; empties the list of rows and appends to the list of faults."""
    folder, file = matched.folder, os.fspath(matched.metadata)
    renamed = carried_columns(matched.metadata, matched.columns, matched.caption_columns)
    for row in _taken(rows):
        stored = matched.stored.get(row.line)
        if stored is None:
            continue
        name = written_name(row)
        try:
            captions = captions_of(row, matched.caption_columns) if matched.caption_columns else []
        except RowError as error:
            faults.append(RowFault(file, row.line, str(error), name=name))
            stop_at(faults, strict)
            continue
        yield CaptionedClip(
            source=source or folder.name,
            split=split,
            # Without blanks that the file's name does not have: ids stay what they were.
            name=name if folded(name) == folded(stored) else name.strip(),
            path=os.path.join(folder, stored),
            captions=captions,
            license=str(row.values.get("license") or license),
            extra={new: row.values.get(old) for old, new in renamed.items()},
        )


def list_folder_splits(folder: str | os.PathLike[str]) -> list[str]:
    """The distinct values of a captioned folder's `split` column, sorted; empty if there is no such column.

    Raises:
        DataError: The folder or its metadata cannot be read.
    """
    table = read_metadata(find_metadata(Path(folder).absolute()))
    return list(_splits_of(table.columns, table.rows))


def _splits_of(columns: list[str], rows: Sequence[MetadataRow]) -> dict[str, int]:
    if "split" not in columns:
        return {}
    counts = Counter(str(row.values["split"]).strip() for row in rows if row.values.get("split"))
    counts.pop("", None)
    return dict(sorted(counts.items()))


def _rows_of_split(matched: MatchedFolder, split: str) -> list[MetadataRow]:
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


def _report_missing(matched: MatchedFolder, rows: list[MetadataRow], missing: str) -> None:
    absent = _absent(matched, rows)
    if not absent:
        return
    there = sum(row.line in matched.stored for row in rows)
    shown = ", ".join(map(repr, absent[:_SHOWN])) + (", ..." if len(absent) > _SHOWN else "")
    what = f"{matched.metadata}: {len(absent)} of {len(absent) + there} files do not exist"
    if missing == "error" or not there:
        way = "; to train without them, set missing='skip' (of a recipe: --data.folder.missing skip)"
        raise DataError(f"{what}: {shown}{way if there else ''}")
    logger.warning("%s: %s; skipped their rows", what, shown)
