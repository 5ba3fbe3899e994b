"""Clotho v2.1 in the layout its publishers ship: caption files, metadata files and a folder of clips a split."""

import csv
import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from datasets import Dataset, Value

from .schema import CaptionedClip, DataError, build_table

logger = logging.getLogger(__name__)

SOURCE = "clotho"
# The project's split names and the publishers'.
SPLITS = {"train": "development", "validation": "validation", "test": "evaluation"}
CAPTION_COLUMNS = tuple(f"caption_{number}" for number in range(1, 6))
# Where people unpack the archives to, below the data set's directory; {} is the publishers' name of the split.
CSV_FOLDERS = ("", "clotho_csv_files", "csv")
AUDIO_FOLDERS = ("{}", "clotho_audio_files/{}", "audio/{}", "clotho_audio_{}", "clotho_audio_{}/{}", "audio")
EXTRA_COLUMNS = {"freesound_id": Value("string")}
_SHOWN = 5


def is_clotho(folder: str | os.PathLike[str]) -> bool:
    """Whether a directory holds one of Clotho's caption files."""
    return bool(list_clotho_splits(folder))


def list_clotho_splits(folder: str | os.PathLike[str]) -> list[str]:
    """The splits whose caption file is there, of ``train``, ``validation`` and ``test``."""
    return [split for split in SPLITS if _find_csv(Path(folder), "captions", split) is not None]


def load_clotho(
    folder: str | os.PathLike[str],
    *,
    split: str,
    missing: Literal["error", "skip"] = "error",
) -> Dataset:
    """
    Reads one split of Clotho v2.1 (Drossos, Lipping and Virtanen, ICASSP 2020); no sound is decoded.

    The caption files ``clotho_captions_{development,validation,evaluation}.csv`` lie in the directory or in
    ``clotho_csv_files`` below it, and so may the metadata files ``clotho_metadata_*.csv``, which bring Freesound
    ids and licences. The clips lie in ``development``, ``validation`` and ``evaluation``, in the directory itself
    or below ``clotho_audio_files`` or ``audio``.

    Args:
        folder: the data set's directory.
        split: ``train``, ``validation`` or ``test``: Clotho's development, validation and evaluation.
        missing: ``"error"`` stops at clips that are named but not there, ``"skip"`` leaves them out with a warning.

    Returns:
        The project's table with a column ``freesound_id`` (null where there are no metadata). A row's id is
        ``clotho/<split>/<file name>#<number of the caption from 0>``: one file name occurs in two splits.

    Raises:
        DataError: if there is no such split, a file is not as it should be, or clips are missing; the message names
            the file, the line and the column, or the first clips and where they were looked for.
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise DataError(f"Clotho has no split {split!r}; its splits are {list(SPLITS)}.")
    captions = _find_csv(folder, "captions", split)
    if captions is None:
        places = [str(folder / place) for place in CSV_FOLDERS]
        raise DataError(
            f"{folder}: holds no {_csv_name('captions', split)}; it was looked for in {', '.join(places)}."
        )
    metadata = _read_metadata(folder, split)
    audio_folder = _find_audio_folder(folder, split)
    clips, absent, seen = [], [], {}
    for line, record in _read_csv(captions, ("file_name", *CAPTION_COLUMNS), ("utf-8-sig",)):
        name = record["file_name"]
        if name in seen:
            raise DataError(
                f"{captions}, line {line}: file_name {name!r} occurs in line {seen[name]} already."
            )
        seen[name] = line
        path = audio_folder / name
        if not path.is_file():
            absent.append(name)
            continue
        sound_id, license = metadata.get(name, (None, "unknown"))
        clips.append(
            CaptionedClip(
                source=SOURCE,
                split=split,
                name=name,
                path=path,
                captions=[record[column] for column in CAPTION_COLUMNS],
                license=license,
                extra={"freesound_id": sound_id},
            )
        )
    _report_missing(absent, len(seen), audio_folder, missing)
    if not clips:
        raise DataError(f"{captions}: names no clip that is there; clips were looked for in {audio_folder}.")
    return build_table((row for clip in clips for row in clip.rows()), EXTRA_COLUMNS)


def _csv_name(kind: str, split: str) -> str:
    return f"clotho_{kind}_{SPLITS[split]}.csv"


def _find_csv(folder: Path, kind: str, split: str) -> Path | None:
    paths = (folder / place / _csv_name(kind, split) for place in CSV_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def _find_audio_folder(folder: Path, split: str) -> Path:
    places = [folder / place.replace("{}", SPLITS[split]) for place in AUDIO_FOLDERS]
    # The archive's folder may hold nothing but another one of the split's name.
    for place in places:
        if place.is_dir() and any(entry.is_file() for entry in os.scandir(place)):
            return place
    raise DataError(
        f"{folder}: no folder with the clips of split {split!r}; looked for at {', '.join(map(str, places))}."
    )


def _read_metadata(folder: Path, split: str) -> dict[str, tuple[str | None, str]]:
    """Freesound id and licence by file name; empty where there is no metadata file."""
    path = _find_csv(folder, "metadata", split)
    if path is None:
        return {}
    found = {}
    # The publishers' files of some splits are in Latin-1.
    for _, record in _read_csv(
        path, ("file_name", "sound_id", "license"), ("utf-8-sig", "latin-1"), filled=1
    ):
        sound_id = record["sound_id"] if record["sound_id"].isdecimal() else None
        found[record["file_name"]] = (sound_id, record["license"] or "unknown")
    return found


def _read_csv(
    path: Path, columns: tuple[str, ...], encodings: tuple[str, ...], filled: int | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines and records of a CSV file; the first ``filled`` columns (all, if None) must not be blank."""
    text = None
    for encoding in encodings:
        try:
            text = path.read_text(encoding=encoding)
            break
        except UnicodeDecodeError:
            continue
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    if text is None:
        raise DataError(f"{path}: is not text in {' or '.join(encodings)}.")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = list(reader.fieldnames or [])
        for column in columns:
            if column not in names:
                raise DataError(f"{path}: has no column {column!r}; its columns are {names}.")
        for record in reader:
            values = {column: (record[column] or "").strip() for column in columns}
            # A clip's name is what the file is called, spaces at its ends included.
            values["file_name"] = record["file_name"] or ""
            for column in columns[:filled]:
                if not values[column].strip():
                    raise DataError(f"{path}, line {reader.line_num}: column {column!r} is blank.")
            yield reader.line_num, values
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: is not valid CSV ({error}).") from error


def _report_missing(absent: list[str], named: int, folder: Path, missing: str) -> None:
    if not absent:
        return
    shown = ", ".join(repr(name) for name in absent[:_SHOWN])
    rest = f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
    message = f"{len(absent)} of {named} clips are not in {folder}: {shown}{rest}"
    if missing == "error":
        raise DataError(f"{message}. Complete the folder, or leave them out with missing: skip.")
    logger.warning("%s; left out", message)


__all__ = ["is_clotho", "list_clotho_splits", "load_clotho"]
