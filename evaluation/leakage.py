"""Finds recordings of a test split in the training data: by Freesound id, by file, by content."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from datasets import Dataset

from ..data.schema import unique_clips


class Leak(NamedTuple):
    """A test clip that was used in training: its id, the training clip's id, and the match."""

    test_clip: str
    training_clip: str
    shared: str


def find_leaks(train: Dataset, test: Dataset) -> list[Leak]:
    """
    Finds test clips that are also in the training table.

    Two clips are the same recording if they have the same ``freesound_id`` (where both have one), are in the
    same file, or are in files with equal bytes. File names are ignored: Clotho uses one name in two
    splits for different recordings.

    Args:
        train: the training table.
        test: the test table.

    Returns:
        One entry for each leaked test clip, in the test table's order, with the first reason above that applies.
    """
    known, clips = unique_clips(train), unique_clips(test)
    by_freesound = _by(zip(_column(known, "freesound_id"), known["clip_id"], strict=True))
    by_path = _by((os.path.realpath(audio["path"]), clip) for audio, clip in _audio(known))
    by_size: dict[int, list[str]] = {}
    for path in by_path:
        if os.path.isfile(path):
            by_size.setdefault(os.path.getsize(path), []).append(path)
    contents: dict[str, str] = {}
    leaks = []
    for freesound_id, (audio, clip) in zip(_column(clips, "freesound_id"), _audio(clips), strict=True):
        path = os.path.realpath(audio["path"])
        if freesound_id in by_freesound:
            leaks.append(Leak(clip, by_freesound[freesound_id], f"Freesound id {freesound_id}"))
        elif path in by_path:
            leaks.append(Leak(clip, by_path[path], "file"))
        elif os.path.isfile(path):
            # Only files of equal length can be equal: few are read.
            for other in by_size.get(os.path.getsize(path), []):
                if _content(path, contents) == _content(other, contents):
                    leaks.append(Leak(clip, by_path[other], "content"))
                    break
    return leaks


def _audio(clips: Dataset) -> Iterable[tuple[Mapping[str, Any], str]]:
    return zip(clips["audio"], clips["clip_id"], strict=True)


def _column(clips: Dataset, name: str) -> list[Any]:
    return list(clips[name]) if name in clips.column_names else [None] * len(clips)


def _by(pairs: Iterable[tuple[Any, str]]) -> dict[Any, str]:
    """The first clip of each value that is not null."""
    found: dict[Any, str] = {}
    for value, clip in pairs:
        if value is not None:
            found.setdefault(value, clip)
    return found


def _content(path: str, known: dict[str, str]) -> str:
    if path not in known:
        with open(path, "rb") as file:
            known[path] = hashlib.file_digest(file, "sha256").hexdigest()
    return known[path]


__all__ = ["Leak", "find_leaks"]
