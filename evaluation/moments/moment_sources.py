"""CASTELLA and Clotho-Moment as their publishers lay them out: which files hold which split, and the loader.

CASTELLA (Munakata et al., 2025) is published as annotation files ``json/en/{train,val,test}.json``, and, as JSON lines,
in Lighthouse's ``data/castella/castella_{train,val,test}_release.jsonl``. Clotho-Moment (Munakata et al., ICASSP 2025)
is published there as ``data/clotho_moment/clotho_moment_{train,val,test}_release.jsonl``. Neither comes with sound: the
publishers' repositories have scripts that get or make it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .moment_queries import MomentFileError, MomentQueries, read_moment_queries

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class MomentSource:
    """
    Attributes:
        title: for display.
        files: places of a split below the directory, ``{split}`` being its name; the first existing one is read.
    """

    title: str
    files: tuple[str, ...]


MOMENT_SOURCES: Mapping[str, MomentSource] = {
    "castella": MomentSource(
        "CASTELLA",
        (
            "castella_{split}_release.jsonl",
            "data/castella/castella_{split}_release.jsonl",
            "json/en/{split}.json",
            "{split}.json",
        ),
    ),
    "clotho-moment": MomentSource(
        "Clotho-Moment",
        ("clotho_moment_{split}_release.jsonl", "data/clotho_moment/clotho_moment_{split}_release.jsonl"),
    ),
    "moments": MomentSource("moments", ("{split}.jsonl", "moments.jsonl")),
}


def moment_splits(name: str, directory: str | os.PathLike[str]) -> dict[str, Path]:
    """
    The splits of a dataset that exist, with their files.

    Args:
        name: "castella", "clotho-moment", or "moments" for what `auricle data generate-moments` writes.
        directory: of the dataset.

    Raises:
        MomentFileError: for another name, a directory that does not exist, or one without any split.
    """
    if name not in MOMENT_SOURCES:
        raise MomentFileError(f"unknown moments dataset {name!r}; expected one of {[*MOMENT_SOURCES]}.")
    folder, source = Path(directory), MOMENT_SOURCES[name]
    if not folder.is_dir():
        raise MomentFileError(f"{folder}: directory not found.")
    splits: dict[str, Path] = {}
    for split in SPLITS:
        places = [folder / place.format(split=split) for place in source.files]
        path = next((place for place in places if place.is_file()), None)
        if path is not None and path not in splits.values():
            # A file that is named for no split is one of its own, to test with.
            splits[split if split in path.name else "test"] = path
    if not splits:
        wanted = ", ".join(place.format(split="test") for place in source.files)
        raise MomentFileError(
            f"{folder}: not in the layout of {source.title}, which has files like {wanted}."
        )
    return splits


def load_moments(name: str, directory: str | os.PathLike[str], split: str) -> MomentQueries:
    """
    The queries of a split with their true moments.

    Args:
        name, directory: as of [`moment_splits`].
        split: "train", "val" or "test".

    Raises:
        MomentFileError: as there; for a split that is not there; and as [`read_moment_queries`].
    """
    splits = moment_splits(name, directory)
    if split not in splits:
        raise MomentFileError(f"{directory}: no split {split!r}; the splits are {[*splits]}.")
    return read_moment_queries(splits[split])


__all__ = ["MOMENT_SOURCES", "SPLITS", "MomentSource", "load_moments", "moment_splits"]
