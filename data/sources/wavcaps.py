"""WavCaps: its four JSON files and the folders of clips that its archives unpack to."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from ..schema import CaptionedClip, DataError
from .clip_listing import ClipListing, Missing, audio_files

SOURCE = "wavcaps"
# The four collections and their JSON files.
COLLECTIONS = {
    "FreeSound": "fsd_final.json",
    "BBC_Sound_Effects": "bbc_final.json",
    "SoundBible": "sb_final.json",
    "AudioSet_SL": "as_final.json",
}
JSON_FOLDERS = ("json_files/{}", "json_files", "data/json_files/{}", "{}", "")
_SHOWN = 5


def is_wavcaps(folder: str | os.PathLike[str]) -> bool:
    """Whether a directory contains one of WavCaps' JSON files."""
    return bool(list_wavcaps_collections(folder))


def list_wavcaps_collections(folder: str | os.PathLike[str]) -> list[str]:
    """The collections (FreeSound, BBC_Sound_Effects, SoundBible, AudioSet_SL) whose JSON file exists."""
    return [name for name in COLLECTIONS if _find_json(Path(folder), name) is not None]


def load_wavcaps(
    folder: str | os.PathLike[str],
    *,
    split: str = "train",
    collections: Sequence[str] | None = None,
    missing: Missing = "error",
) -> Dataset:
    """
    Reads WavCaps (Mei et al., arXiv 2303.17395), which is all for training; no sound is decoded.

    See [`list_wavcaps_clips`] for the layout. Parts of it overlap Clotho's and AudioCaps' evaluation data:
    train on it with ``data.exclude``.

    Args:
        folder: the dataset's directory.
        split: ``train``; there is no other.
        collections: which of the four to read; None reads those whose JSON file exists.
        missing: ``"error"`` stops at clips that are named but not there, ``"skip"`` omits them with a warning.

    Returns:
        The project's table with columns ``freesound_id`` and ``youtube_id``, each filled where the clip comes from
        there. A row's id is ``wavcaps/train/<collection>/<id>#0``.

    Raises:
        DataError: as [`list_wavcaps_clips`], or if clips are missing.
    """
    return list_wavcaps_clips(folder, split=split, collections=collections).table(missing)


def list_wavcaps_clips(
    folder: str | os.PathLike[str], *, split: str = "train", collections: Sequence[str] | None = None
) -> ClipListing:
    """
    The clips that WavCaps' JSON files list, and which of them exist.

    The JSON files are in ``json_files/<collection>``, ``json_files``, the collection's folder or the directory
    itself. A collection's clips are in any folder of its name, or its name and ``_flac``, at any depth, which is where
    the archives put them. Clips are named by their id, AudioSet's by ``Y`` and the YouTube id.

    Raises:
        DataError: if there is no such split or collection, a collection has no folder with audio files, or a
            JSON file is not as it should be; the message names the file and the entry.
    """
    folder = Path(folder)
    if split != "train":
        raise DataError(f"WavCaps has no split {split!r}; all clips belong to 'train'.")
    unknown = [name for name in collections or () if name not in COLLECTIONS]
    if unknown:
        raise DataError(f"WavCaps has no collection {unknown[0]!r}; the collections are {list(COLLECTIONS)}.")
    chosen = list(collections or list_wavcaps_collections(folder))
    if not chosen:
        files = ", ".join(COLLECTIONS.values())
        raise DataError(f"{folder}: none of WavCaps' files {files} found; also searched in json_files.")
    paths = [_required_json(folder, name) for name in chosen]
    folders = _audio_folders(folder, chosen)
    clips, absent, unlisted = [], [], []
    for name, path in zip(chosen, paths, strict=True):
        if not folders[name]:
            raise DataError(_no_audio(folder, name))
        files = audio_files(folders[name])
        used = set()
        for stem, entry in _read_entries(path):
            if stem not in files:
                absent.append(f"{name}/{stem}")
                continue
            used.add(stem)
            clips.append(
                CaptionedClip(
                    source=SOURCE,
                    split=split,
                    name=f"{name}/{stem}",
                    path=files[stem][0],
                    captions=_captions(entry),
                    license=str(entry.get("license") or "unknown"),
                    extra={
                        "freesound_id": stem if name == "FreeSound" else None,
                        "youtube_id": stem.removeprefix("Y") if name == "AudioSet_SL" else None,
                    },
                )
            )
        unlisted += [file for stem, found in files.items() if stem not in used for file in found]
    return ClipListing(
        title=f"WavCaps ({', '.join(chosen)})",
        metadata=paths,
        clips=clips,
        missing=absent,
        places=[place for name in chosen for place in folders[name]],
        unlisted=sorted(unlisted),
    )


def _find_json(folder: Path, collection: str) -> Path | None:
    paths = (folder / place.replace("{}", collection) / COLLECTIONS[collection] for place in JSON_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def _required_json(folder: Path, collection: str) -> Path:
    path = _find_json(folder, collection)
    if path is None:
        places = ", ".join(str(folder / place.replace("{}", collection)) for place in JSON_FOLDERS)
        raise DataError(
            f"{folder}: {COLLECTIONS[collection]} of {collection} not found; searched in {places}."
        )
    return path


def _audio_folders(folder: Path, collections: Sequence[str]) -> dict[str, list[Path]]:
    names = {alias: name for name in collections for alias in (name, f"{name}_flac")}
    found: dict[str, list[Path]] = {name: [] for name in collections}
    for directory, below, _ in os.walk(folder):
        below.sort()
        name = names.get(Path(directory).name)
        # The folders of the JSON files and of the archives are called so too.
        if name is not None and audio_files([Path(directory)]):
            found[name].append(Path(directory))
    return found


def _no_audio(folder: Path, collection: str) -> str:
    parts = sorted(path for path in folder.rglob(f"{collection}*.z*") if path.suffix != ".zst")
    if parts:
        return (
            f"{folder}: {collection} is still packed in {parts[0].parent} ({len(parts)} files). Unpack it with "
            f"`auricle data unpack {parts[0].parent} {folder / collection}`."
        )
    return (
        f"{folder}: no folder {collection!r} or '{collection}_flac' with audio files; searched "
        "at any depth below it."
    )


def _read_entries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """File name without extension and entry of each clip; unknown fields are passed over."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not valid JSON in UTF-8 ({error}).") from error
    except OSError as error:
        raise DataError(f"{path}: cannot read the file ({error.strerror}).") from error
    entries = content.get("data") if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path}: no list 'data' of clips found.")
    seen: dict[str, int] = {}
    for number, entry in enumerate(entries):
        identifier = entry.get("id") if isinstance(entry, dict) else None
        if (
            not isinstance(identifier, str | int)
            or isinstance(identifier, bool)
            or not str(identifier).strip()
        ):
            raise DataError(f"{path}, entry {number}: 'id' must be a string or a number.")
        # AudioSet's ids end with .wav; the files are FLAC. A YouTube id contains no dot.
        stem = str(identifier).strip().removesuffix(".wav").removesuffix(".flac")
        if stem in seen:
            raise DataError(
                f"{path}, entry {number}: duplicate id {stem!r}; it is also in entry {seen[stem]}."
            )
        seen[stem] = number
        if not _captions(entry):
            raise DataError(
                f"{path}, entry {number} (id {stem!r}): 'caption' is {entry.get('caption')!r}, but must be a "
                "non-empty string."
            )
        yield stem, entry


def _captions(entry: dict[str, Any]) -> list[str]:
    value = entry.get("caption")
    texts = value if isinstance(value, list) else [value]
    return [text.strip() for text in texts if isinstance(text, str) and text.strip()]


__all__ = ["COLLECTIONS", "is_wavcaps", "list_wavcaps_clips", "list_wavcaps_collections", "load_wavcaps"]
