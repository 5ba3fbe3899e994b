"""From a recipe's data section to checked tables, one a split."""

import hashlib
import logging
from pathlib import Path

from datasets import Dataset

from ..data import (
    AudioCheckReport,
    DataError,
    SceneSettings,
    check_audio,
    list_clotho_splits,
    list_folder_splits,
    load_captioned_folder,
    load_clotho,
    load_scenes,
)
from .recipe import ClothoSection, DataSection, FolderSection
from .recipe_reading import RecipeError

logger = logging.getLogger(__name__)


def load_splits(section: DataSection, *, progress: bool = True) -> dict[str, Dataset]:
    """
    Loads every split of a data set.

    Returns:
        Tables by name: ``train``, ``validation`` where there is one, and any whose name begins with ``test``.

    Raises:
        RecipeError: if the section lacks what its source needs.
        DataError: if the data are not as they should be.
    """
    if section.source == "scenes":
        settings = SceneSettings(**section.scenes.model_dump())
        return dict(load_scenes(settings, cache_dir=section.cache_dir, progress=progress))
    if section.source == "clotho":
        return _load_clotho(section.clotho)
    return _load_folder(section.folder)


def check_splits(
    splits: dict[str, Dataset], section: DataSection, *, progress: bool = True
) -> tuple[dict[str, Dataset], dict[str, AudioCheckReport]]:
    """
    Decodes every clip once and leaves out the bad ones, split by split.

    Returns:
        The tables without rows of bad clips, and a report a split.

    Raises:
        DataError: if more clips are bad than ``max_bad_share`` allows, or none are left.
    """
    good, reports = {}, {}
    for name, table in splits.items():
        good[name], reports[name] = check_audio(
            table, max_bad_share=section.max_bad_share, num_workers=2, progress=progress
        )
        if not len(good[name]):
            raise DataError(f"split {name!r}: no usable clip is left.")
    return good, reports


def _load_clotho(section: ClothoSection) -> dict[str, Dataset]:
    if section.path is None:
        raise RecipeError("data.clotho.path is not set: give --data.clotho.path DIRECTORY.")
    if not Path(section.path).is_dir():
        raise DataError(f"{section.path}: there is no such directory; Clotho was looked for there.")
    # The development split first: without its caption file the message is that there is nothing to train on.
    names = ["train", *(name for name in list_clotho_splits(section.path) if name != "train")]
    return {name: load_clotho(section.path, split=name, missing=section.missing) for name in names}


def _load_folder(section: FolderSection) -> dict[str, Dataset]:
    if section.path is None:
        raise RecipeError("data.folder.path is not set: give --data.folder.path DIRECTORY.")

    def load(split: str) -> Dataset:
        return load_captioned_folder(
            section.path,
            split=split,
            caption_column=section.caption_column,
            license=section.license,
            missing=section.missing,
        )

    named = list_folder_splits(section.path)
    if named:
        if "train" not in named:
            raise DataError(
                f"{Path(section.path)}: the split column holds {named}, but training needs rows of split 'train'."
            )
        wanted = [name for name in named if name in ("train", "validation") or name.startswith("test")]
        if unused := sorted(set(named) - set(wanted)):
            logger.warning(
                "%s: rows of split %s are not used; 'train', 'validation' and 'test...' are",
                section.path,
                unused,
            )
        return {name: load(name) for name in wanted}
    return _hold_out(load("train"), section)


def _hold_out(table: Dataset, section: FolderSection) -> dict[str, Dataset]:
    """Splits by a hash of each clip's id: adding files later moves no clip to another split."""
    places = {"train": [], "validation": [], "test": []}
    test_from = 1.0 - section.test_share
    validation_from = test_from - section.validation_share
    for row, clip_id in enumerate(table["clip_id"]):
        digest = hashlib.sha256(clip_id.encode()).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        name = "test" if share >= test_from else "validation" if share >= validation_from else "train"
        places[name].append(row)
    if not places["train"]:
        raise DataError(f"{section.path}: too few clips to hold some out; none is left to train on.")
    for name, share in (("validation", section.validation_share), ("test", section.test_share)):
        if share and not places[name]:
            logger.warning(
                "%s: too few clips for a share of %g: none is held out for %s", section.path, share, name
            )
    return {name: table.select(rows) for name, rows in places.items() if rows}
