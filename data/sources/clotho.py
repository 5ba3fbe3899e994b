"""Clotho v2.1 in the layout its publishers ship: caption files, metadata files and a folder of clips a split."""

import os
from pathlib import Path

from datasets import Dataset

from ...files.file_names import NameTable, composed
from ...files.metadata_files import RowFault
from ..schema import CaptionedClip, DataError
from .clip_listing import ClipListing, Missing, audio_files
from .csv_files import read_csv

SOURCE = "clotho"
# The project's split names and the publishers'.
SPLITS = {"train": "development", "validation": "validation", "test": "evaluation"}
CAPTION_COLUMNS = tuple(f"caption_{number}" for number in range(1, 6))
# Where people unpack the archives to, below the dataset's directory; {} is the publishers' name of the split.
CSV_FOLDERS = ("", "clotho_csv_files", "csv")
AUDIO_FOLDERS = ("{}", "clotho_audio_files/{}", "audio/{}", "clotho_audio_{}", "clotho_audio_{}/{}", "audio")


def is_clotho(folder: str | os.PathLike[str]) -> bool:
    """Whether a directory contains one of Clotho's caption files."""
    return bool(list_clotho_splits(folder))


def list_clotho_splits(folder: str | os.PathLike[str]) -> list[str]:
    """The splits (``train``, ``validation``, ``test``) whose caption file exists."""
    return [split for split in SPLITS if _find_csv(Path(folder), "captions", split) is not None]


def load_clotho(folder: str | os.PathLike[str], *, split: str, missing: Missing = "error") -> Dataset:
    """
    Reads one split of Clotho v2.1 (Drossos, Lipping and Virtanen, ICASSP 2020); no sound is decoded.

    See [`list_clotho_clips`] for the layout.

    Args:
        folder: the dataset's directory.
        split: ``train``, ``validation`` or ``test``: Clotho's development, validation and evaluation.
        missing: ``"error"`` stops at clips that are named but not there, ``"skip"`` omits them with a warning.

    Returns:
        The project's table with a column ``freesound_id`` (null where there are no metadata). A row's id is
        ``clotho/<split>/<file name>#<number of the caption from 0>``: one file name occurs in two splits.

    Raises:
        DataError: as [`list_clotho_clips`], or if clips are missing; the message names the first ones and where
            they were looked for.
    """
    return list_clotho_clips(folder, split=split).table(missing)


def list_clotho_clips(folder: str | os.PathLike[str], *, split: str) -> ClipListing:
    """
    The clips that Clotho's files list for one split, and which of them exist.

    The caption files ``clotho_captions_{development,validation,evaluation}.csv`` are in the directory or in
    ``clotho_csv_files`` below it, and so may the metadata files ``clotho_metadata_*.csv``, which bring Freesound
    ids and licences. The clips are in ``development``, ``validation`` and ``evaluation``, in the directory itself
    or below ``clotho_audio_files`` or ``audio``.

    Raises:
        DataError: if there is no such split, no folder with its clips, or a file is invalid; the
            message names the file, the line and the column.
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise DataError(f"Clotho has no split {split!r}; the splits are {list(SPLITS)}.")
    captions = _find_csv(folder, "captions", split)
    if captions is None:
        places = [str(folder / place) for place in CSV_FOLDERS]
        raise DataError(
            f"{folder}: {_csv_name('captions', split)} not found; searched in {', '.join(places)}."
        )
    metadata_file, metadata = _read_metadata(folder, split)
    audio_folder = _find_audio_folder(folder, split)
    names = NameTable(entry.name for entry in os.scandir(audio_folder) if entry.is_file())
    clips, absent, seen, rows, used = [], [], {}, [], set()
    columns = ("file_name", *CAPTION_COLUMNS)
    # A clip's name is what the file is called, spaces at its ends included.
    records = list(read_csv(captions, columns, verbatim=["file_name"]))
    named = {composed(record["file_name"]) for _, record in records}
    for line, record in records:
        name = record["file_name"]
        if name in seen:
            raise DataError(
                f"{captions}, line {line}: duplicate file_name {name!r}; it is also in line {seen[name]}."
            )
        seen[name] = line
        match = names.find(name)
        # What fits only loosely may be the file of another row.
        loose = match is not None and not match.is_certain
        if match is None or len(match.names) > 1 or (loose and composed(match.names[0]) in named):
            absent.append(name)
            continue
        (stored,) = match.names
        if loose:
            rows.append(RowFault(str(captions), line, match.told(name, stored), used=True))
        used.add(stored)
        sound_id, license = metadata.get(composed(name), (None, "unknown"))
        clips.append(
            CaptionedClip(
                source=SOURCE,
                split=split,
                name=name,
                path=audio_folder / stored,
                captions=[record[column] for column in CAPTION_COLUMNS],
                license=license,
                extra={"freesound_id": sound_id, "youtube_id": None},
            )
        )
    unlisted = [
        path for paths in audio_files([audio_folder]).values() for path in paths if path.name not in used
    ]
    return ClipListing(
        title=f"Clotho, split {split!r}",
        metadata=[captions, *([metadata_file] if metadata_file else [])],
        clips=clips,
        missing=absent,
        places=[audio_folder],
        unlisted=sorted(unlisted),
        rows=rows,
    )


def _csv_name(kind: str, split: str) -> str:
    return f"clotho_{kind}_{SPLITS[split]}.csv"


def _find_csv(folder: Path, kind: str, split: str) -> Path | None:
    paths = (folder / place / _csv_name(kind, split) for place in CSV_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def _find_audio_folder(folder: Path, split: str) -> Path:
    places = [folder / place.replace("{}", SPLITS[split]) for place in AUDIO_FOLDERS]
    # The folder of the archive may contain only another folder with the split's name.
    for place in places:
        if place.is_dir() and any(entry.is_file() for entry in os.scandir(place)):
            return place
    raise DataError(
        f"{folder}: no folder with the clips of split {split!r}; searched in {', '.join(map(str, places))}."
    )


def _read_metadata(folder: Path, split: str) -> tuple[Path | None, dict[str, tuple[str | None, str]]]:
    """Freesound id and licence by file name; empty where there is no metadata file."""
    path = _find_csv(folder, "metadata", split)
    if path is None:
        return None, {}
    found = {}
    # The publishers' files of some splits are in Latin-1.
    columns, encodings = ("file_name", "sound_id", "license"), ("utf-8-sig", "latin-1")
    for _, record in read_csv(path, columns, encodings=encodings, filled=1, verbatim=["file_name"]):
        sound_id = record["sound_id"] if record["sound_id"].isdecimal() else None
        found[composed(record["file_name"])] = (sound_id, record["license"] or "unknown")
    return path, found


__all__ = ["is_clotho", "list_clotho_clips", "list_clotho_splits", "load_clotho"]
