"""The datasets that can be read by name, each from a directory in its publishers' layout."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from datasets import Dataset

from ..schema import DataError
from .audiocaps import list_audiocaps_clips, list_audiocaps_splits, load_audiocaps
from .clip_listing import ClipListing
from .clotho import list_clotho_clips, list_clotho_splits, load_clotho
from .wavcaps import list_wavcaps_clips, list_wavcaps_collections, load_wavcaps


@dataclass(frozen=True)
class Source:
    """
    A published dataset.

    Attributes:
        name: what recipes and commands call it.
        title: what people call it.
        needs: the files to get, as shown to the user.
        splits: the splits that a directory has metadata of, in the order train, validation, test.
        list_clips: lists the clips of a split and the sounds that exist: ``(folder, split=...)``.
        load: a split as a table: ``(folder, split=..., missing=...)``.
    """

    name: str
    title: str
    needs: str
    splits: Callable[[str | os.PathLike[str]], list[str]]
    list_clips: Callable[..., ClipListing]
    load: Callable[..., Dataset]


SOURCES = {
    source.name: source
    for source in (
        Source(
            "clotho",
            "Clotho v2.1",
            "clotho_captions_*.csv, clotho_metadata_*.csv and the folders development, validation, evaluation",
            list_clotho_splits,
            list_clotho_clips,
            load_clotho,
        ),
        Source(
            "audiocaps",
            "AudioCaps",
            "train.csv, val.csv, test.csv and folders train, val, test with ten-second clips",
            list_audiocaps_splits,
            list_audiocaps_clips,
            load_audiocaps,
        ),
        Source(
            "wavcaps",
            "WavCaps",
            "json_files and the folders FreeSound, BBC_Sound_Effects, SoundBible, AudioSet_SL",
            lambda folder: ["train"] if list_wavcaps_collections(folder) else [],
            list_wavcaps_clips,
            load_wavcaps,
        ),
    )
}


def source_named(name: str) -> Source:
    """
    Raises:
        DataError: if no dataset has this name.
    """
    if name not in SOURCES:
        raise DataError(f"unknown dataset {name!r}; expected one of {list(SOURCES)}.")
    return SOURCES[name]


def source_of(folder: str | os.PathLike[str]) -> Source | None:
    """The published dataset in whose layout a directory is, None if in none."""
    return next((source for source in SOURCES.values() if source.splits(folder)), None)


__all__ = ["SOURCES", "Source", "source_named", "source_of"]
