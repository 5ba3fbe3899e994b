"""Sound files of recordings that queries name."""

from collections.abc import Set
from pathlib import Path
from typing import NamedTuple

from ...processing.sound_file_names import SOUND_ENDINGS, WORD_ENDINGS


class RecordingFiles(NamedTuple):
    """
    Attributes:
        found: sound files by their ``vid``, sorted; recordings without a file are omitted.
        others: sound files that belong to no requested recording.
    """

    found: dict[str, list[Path]]
    others: list[Path]


def find_recording_files(folder: Path, wanted: Set[str]) -> RecordingFiles:
    """
    The sound files below a directory by the recording that they are: a file's name without its ending is its ``vid``.

    Args:
        folder: searched with its subfolders; hidden files are skipped.
        wanted: ``vid`` of the recordings.
    """
    found: dict[str, list[Path]] = {}
    others: list[Path] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in {*SOUND_ENDINGS, *WORD_ENDINGS} or path.name.startswith("."):
            continue
        if path.stem in wanted:
            found.setdefault(path.stem, []).append(path)
        else:
            others.append(path)
    return RecordingFiles(found, others)


__all__ = ["RecordingFiles", "find_recording_files"]
