"""The clips that a dataset's metadata list for one split, and which of them exist on this disk."""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from datasets import Dataset, Value

from ...files.metadata_files import RowFault
from ...files.unread_files import ending_of, is_apple_double
from ...processing.audio_reading import supported_audio_extensions
from ..schema import CaptionedClip, DataError, build_table

logger = logging.getLogger(__name__)

Missing = Literal["error", "skip"]
# Ids of the recordings that clips were cut from; they identify the same recording in two datasets.
ID_COLUMNS = {"freesound_id": Value("string"), "youtube_id": Value("string")}
_SHOWN = 5


@dataclass(frozen=True)
class ClipListing:
    """
    One split as its metadata name it.

    Attributes:
        title: name of the dataset and split, for messages.
        metadata: the files that name the clips.
        clips: clips whose sound exists.
        missing: names of clips whose sound does not.
        places: the folders in which the sounds were looked for.
        unlisted: audio files in these folders that the metadata do not name.
        rows: remarks on single rows: the row cannot be used, or its name matches a file only loosely.
    """

    title: str
    metadata: list[Path]
    clips: list[CaptionedClip]
    missing: list[str]
    places: list[Path]
    unlisted: list[Path] = field(default_factory=list)
    rows: list[RowFault] = field(default_factory=list)

    @property
    def named(self) -> int:
        """Number of clips that the metadata list."""
        return len(self.clips) + len(self.missing)

    def table(self, missing: Missing = "error") -> Dataset:
        """
        The clips whose sound exists, as the project's table with `ID_COLUMNS`.

        Args:
            missing: ``"error"`` stops at clips that are named but not there, ``"skip"`` omits them with a
                warning.

        Raises:
            DataError: if no sound exists, or some are missing and that is an error; the message names the first ones
                and where they were looked for.
        """
        if missing not in ("error", "skip"):
            raise DataError(f"missing is {missing!r}, but must be 'error' or 'skip'.")
        where = ", ".join(map(str, self.places)) or "no folder"
        if self.missing:
            shown = ", ".join(repr(name) for name in self.missing[:_SHOWN])
            rest = f" and {len(self.missing) - _SHOWN} more" if len(self.missing) > _SHOWN else ""
            message = (
                f"{self.title}: {len(self.missing)} of {self.named} clips are not in {where}: {shown}{rest}"
            )
            if missing == "error":
                raise DataError(f"{message}. Add the missing files, or skip their clips with missing: skip.")
            logger.warning("%s; skipped", message)
        if not self.clips:
            files = ", ".join(map(str, self.metadata))
            raise DataError(f"{files}: none of the clips exist; searched in {where}.")
        return build_table((row for clip in self.clips for row in clip.rows()), ID_COLUMNS)


def audio_files(folders: Iterable[Path], *, recursive: bool = False) -> dict[str, list[Path]]:
    """
    The audio files of some folders by their names without extension, each list sorted.

    Args:
        folders: folders that do not exist are skipped.
        recursive: also look into folders below.
    """
    extensions = supported_audio_extensions()
    found: dict[str, list[Path]] = {}
    for folder in folders:
        for directory, _, names in os.walk(folder) if recursive else _top(folder):
            for name in names:
                if name.startswith("._"):  # AppleDouble files of macOS contain no sound
                    continue
                stem, dot, extension = name.rpartition(".")
                if dot and f".{extension.lower()}" in extensions and not is_apple_double(name):
                    found.setdefault(stem, []).append(Path(directory) / name)
    return {stem: sorted(set(paths)) for stem, paths in found.items()}


def files_below(folder: Path) -> dict[str, None]:
    """All files of a folder and those below it, relative to it, with forward slashes."""
    start = os.path.join(folder, "")
    found: dict[str, None] = {}
    for place, _, names in os.walk(folder):
        inner = os.path.join(place, "").removeprefix(start).replace(os.sep, "/")
        found.update((inner + name, None) for name in names)
    return found


def sounds_among(names: Iterable[str]) -> list[str]:
    """Paths relative to a folder, with forward slashes, of readable sounds that are not hidden."""
    extensions = supported_audio_extensions()
    return [
        name for name in names if ending_of(name) in extensions and not (name.startswith(".") or "/." in name)
    ]


def _top(folder: Path) -> Iterable[tuple[Path, list[str], list[str]]]:
    if folder.is_dir():
        yield folder, [], [entry.name for entry in os.scandir(folder) if entry.is_file()]


__all__ = ["ID_COLUMNS", "ClipListing", "Missing", "audio_files", "files_below", "sounds_among"]
