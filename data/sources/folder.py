"""A captioned folder: audio files beside one `metadata.csv` or `metadata.jsonl` that says what they hold."""

import csv
import difflib
import io
import json
import logging
import math
import ntpath
import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from datasets import Dataset

from ..schema import SCHEMA, CaptionedClip, DataError, build_table
from .clip_listing import ClipListing, audio_files

logger = logging.getLogger(__name__)

_METADATA_NAMES = ("metadata.csv", "metadata.jsonl")
_NUMBERED_CAPTION = re.compile(r"caption_(\d+)")
_SHOWN = 5


class _Record(NamedTuple):
    line: int
    values: dict[str, Any]


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

    The metadata is UTF-8, with or without byte-order mark: a CSV with a header line and commas, or one JSON
    object a line. Its columns:

    * `file_name`: path of the audio within the folder, with `/` or `\\`; subfolders are fine;
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
        DataError: Anything wrong with the folder or its metadata; the message names the file, the line and
            what would be accepted.
    """
    if missing not in ("error", "skip"):
        raise DataError(f"missing is {missing!r}, but must be 'error' or 'skip'")
    listing = list_folder_clips(
        folder, split=split, caption_column=caption_column, license=license, source=source
    )
    (metadata,) = listing.metadata
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
) -> ClipListing:
    """What the metadata name of one split, and what of it is there; arguments as of `load_captioned_folder`.

    Raises:
        DataError: Anything wrong with the folder or its metadata.
    """
    folder = Path(folder).absolute()
    metadata = _find_metadata(folder)
    columns, records = _read_metadata(metadata)
    if "file_name" not in columns:
        raise DataError(f"{metadata}: no column 'file_name'; {_found(columns, 'file_name')}")
    caption_columns = _find_caption_columns(metadata, columns, caption_column)
    if not records:
        raise DataError(f"{metadata}: the file has no rows")
    names = _file_names(metadata, records)
    renamed = _carried_columns(metadata, columns, caption_columns)
    clips, absent = [], []
    for index in _rows_of_split(metadata, columns, records, split):
        record = records[index]
        if not (folder / names[index]).is_file():
            absent.append(names[index])
            continue
        clips.append(
            CaptionedClip(
                source=source or folder.name,
                split=split,
                name=names[index],
                path=folder / names[index],
                captions=_captions(metadata, record, caption_columns),
                license=str(record.values.get("license") or license),
                extra={new: record.values.get(old) for old, new in renamed.items()},
            )
        )
    named = {folder / name for name in names}
    files = [path for paths in audio_files([folder], recursive=True).values() for path in paths]
    return ClipListing(
        title=f"{folder.name}, split {split!r}",
        metadata=[metadata],
        clips=clips,
        missing=absent,
        places=[folder],
        unlisted=sorted(path for path in files if path not in named),
    )


def list_folder_splits(folder: str | os.PathLike[str]) -> list[str]:
    """The distinct values of a captioned folder's `split` column, sorted; empty where it has none.

    Raises:
        DataError: The folder or its metadata cannot be read.
    """
    columns, records = _read_metadata(_find_metadata(Path(folder).absolute()))
    if "split" not in columns:
        return []
    return sorted({str(record.values["split"]).strip() for record in records if record.values.get("split")})


def _find_metadata(folder: Path) -> Path:
    if not folder.is_dir():
        fault = "not a directory" if folder.exists() else "directory not found"
        raise DataError(
            f"{folder}: {fault}; expected a folder with audio files and metadata.csv or metadata.jsonl"
        )
    present = [folder / name for name in _METADATA_NAMES if (folder / name).is_file()]
    if len(present) == 2:
        raise DataError(f"{folder}: both metadata.csv and metadata.jsonl found; keep one of them")
    if not present:
        tables = sorted(
            entry.name for entry in folder.iterdir() if entry.suffix in {".csv", ".jsonl", ".tsv", ".json"}
        )
        seen = f"; it holds {tables[:_SHOWN]}" if tables else ""
        raise DataError(f"{folder}: neither metadata.csv nor metadata.jsonl found{seen}")
    return present[0]


def _read_metadata(metadata: Path) -> tuple[list[str], list[_Record]]:
    raw = metadata.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{metadata}, line {line}: not valid UTF-8 (byte 0x{raw[error.start]:02x}); save the file as UTF-8"
        ) from error
    return (_parse_csv if metadata.suffix == ".csv" else _parse_jsonl)(metadata, text)


def _parse_csv(metadata: Path, text: str) -> tuple[list[str], list[_Record]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    records: list[_Record] = []
    line = 1
    try:
        for cells in reader:
            if cells and not columns:
                columns = [cell.strip() for cell in cells]
                twice = sorted({name for name in columns if columns.count(name) > 1})
                if twice:
                    raise DataError(f"{metadata}, line {line}: columns {twice} occur more than once")
            elif cells:
                if len(cells) != len(columns):
                    raise DataError(
                        f"{metadata}, line {line}: has {len(cells)} cells, but the header has {len(columns)} "
                        "(put text with commas in double quotes)"
                    )
                values = {
                    name: cell if cell.strip() else None for name, cell in zip(columns, cells, strict=True)
                }
                records.append(_Record(line, values))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{metadata}, line {line}: not valid CSV ({error})") from error
    for name in columns:
        _convert_numbers(name, records)
    return columns, records


def _convert_numbers(name: str, records: Sequence[_Record]) -> None:
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


def _parse_jsonl(metadata: Path, text: str) -> tuple[list[str], list[_Record]]:
    columns: dict[str, None] = {}
    records: list[_Record] = []
    # Not splitlines(): JSON may hold the line separator U+2028 as it is.
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            values = json.loads(content)
        except json.JSONDecodeError as error:
            raise DataError(f"{metadata}, line {line}: not valid JSON ({error})") from error
        if not isinstance(values, dict):
            raise DataError(
                f"{metadata}, line {line}: must be a JSON object such as "
                '{"file_name": "a.wav", "caption": "..."}'
            )
        columns.update(dict.fromkeys(values))
        records.append(_Record(line, values))
    return list(columns), records


def _find_caption_columns(metadata: Path, columns: list[str], asked: str | None) -> list[str]:
    if asked is not None:
        if asked not in columns:
            raise DataError(f"{metadata}: no column {asked!r}; {_found(columns, asked)}")
        return [asked]
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


def _file_names(metadata: Path, records: Sequence[_Record]) -> list[str]:
    """The file of every record, with forward slashes and relative to the folder."""
    seen: dict[str, int] = {}
    for record in records:
        given = record.values.get("file_name")
        if not isinstance(given, str) or not given.strip():
            raise DataError(
                f"{metadata}, line {record.line}: file_name is {given!r}, but must be the path of an audio file"
            )
        name = posixpath.normpath(given.strip().replace("\\", "/"))
        if name.startswith(("/", "../")) or name == ".." or ntpath.splitdrive(name)[0]:
            raise DataError(
                f"{metadata}, line {record.line}: file_name {given!r} is outside the folder; it must be a "
                "path within it"
            )
        if name in seen:
            raise DataError(
                f"{metadata}, lines {seen[name]} and {record.line}: both refer to the file {given!r}; give each "
                "clip one line, with its captions in caption_1, caption_2, ... or captions"
            )
        seen[name] = record.line
    return list(seen)


def _rows_of_split(metadata: Path, columns: list[str], records: Sequence[_Record], split: str) -> list[int]:
    if "split" not in columns:
        return list(range(len(records)))
    splits = [str(record.values.get("split") or "").strip() or None for record in records]
    chosen = [index for index, value in enumerate(splits) if value == split]
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


def _captions(metadata: Path, record: _Record, caption_columns: list[str]) -> list[str]:
    where = f"{metadata}, line {record.line}"
    captions: list[str] = []
    for name in caption_columns:
        value = record.values.get(name)
        if name == "captions" and isinstance(value, str):
            try:
                value = json.loads(value)
            except json.JSONDecodeError:
                value = None
            if not isinstance(value, list):
                raise DataError(f'{where}: captions must be a JSON list such as ["one", "two"]')
        given = value if isinstance(value, list) else [value]
        for index, caption in enumerate(given):
            item = f"{name}[{index}]" if isinstance(value, list) else name
            if caption is not None and not isinstance(caption, str):
                raise DataError(f"{where}: {item} is {caption!r}, but must be a string")
            if caption is not None and caption.strip():
                captions.append(caption.strip())
            elif isinstance(value, list):
                raise DataError(f"{where}: {item} is empty, but must be a non-empty string")
    if not captions:
        raise DataError(f"{where}: {' and '.join(caption_columns)} empty; every clip needs a caption")
    return captions
