"""Loads and checks the tables of a recipe's data section, one per split."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from ...data import (
    AudioCheckReport,
    DataError,
    SceneSettings,
    check_audio,
    load_captioned_folder,
    load_captioned_splits,
    load_scenes,
    source_named,
)
from ...data.columns import arrow_column, kept_rows, values_of
from ...data.mixing import join_tables, leave_out_recordings, read_excluded_ids, weighted
from ...data.sources import load_hub_dataset
from ...data.sources.split_names import is_used, unused_splits
from ...encoders.cpu_threads import half_of_the_cores
from ...files.content_digests import ContentDigests
from ...files.reading_report import ReadingReport
from ...files.sound_walking import walk_sounds
from ...processing import supported_audio_extensions
from ..recipe.data_section import DataSection, FolderSection, HubSection, PublishedSection, WavCapsSection
from ..recipe.reading import RecipeError

logger = logging.getLogger(__name__)

# More than this wait for the disk.
_MOST_THREADS = 8


def load_splits(
    section: DataSection, *, mixes: str | None = None, progress: bool = True
) -> dict[str, Dataset]:
    """
    Loads every split of a recipe's data.

    If there are several datasets, all are used for training and the first one provides the other splits. Training
    omits recordings that ``exclude`` names, and mixes of clips that are evaluated on.

    Args:
        section: the recipe's data section.
        mixes: directory of `auricle augment mix`; all its clips join the training table.
        progress: show progress bars.

    Returns:
        Tables by name: ``train``, ``validation`` where there is one, and any whose name begins with ``test``.

    Raises:
        RecipeError: if the section lacks what its source needs.
        DataError: if the data are invalid.
    """
    loaded = [_load_source(name, section, progress) for name in section.sources]
    splits = dict(loaded[0])
    weights = [getattr(section, name).weight for name in section.sources]
    splits["train"] = join_tables(
        [weighted(one["train"], weight) for one, weight in zip(loaded, weights, strict=True)]
    )
    excluded = section.exclude.freesound_ids
    evaluated = [table for name, table in splits.items() if name != "train"]
    splits["train"] = leave_out_recordings(
        splits["train"],
        evaluated if section.exclude.evaluated else (),
        read_excluded_ids(excluded) if excluded else (),
    )
    if mixes is not None:
        splits["train"] = join_tables([splits["train"], _load_mixes(mixes, evaluated)])
    return splits


def _load_mixes(directory: str, evaluated: list[Dataset]) -> Dataset:
    """The clips of a mixing job, without mixes that contain a clip of an evaluated split."""
    table = load_captioned_folder(directory, split="train")
    if "mixed_from" not in table.column_names:
        raise DataError(
            f"{directory}: the metadata have no column 'mixed_from', so it is not a directory of `auricle augment "
            "mix`; for a captioned folder use data.source."
        )
    unwanted = {row for one in evaluated for row in one["row_id"]}
    mixed_from = values_of(arrow_column(table, "mixed_from"))
    is_kept = np.fromiter((not unwanted.intersection(rows) for rows in mixed_from), bool, len(table))
    if not is_kept.any():
        raise DataError(
            f"{directory}: every mix contains a clip of a validation or test split; mix training clips."
        )
    good = kept_rows(table, is_kept)
    if good is not table:
        logger.warning(
            "skipped %d of %d mixes: they contain clips of evaluated splits",
            len(table) - len(good),
            len(table),
        )
    return good


def _load_source(name: str, section: DataSection, progress: bool) -> dict[str, Dataset]:
    if name == "scenes":
        settings = SceneSettings(**section.scenes.model_dump(exclude={"weight"}))
        return dict(load_scenes(settings, cache_dir=section.cache_dir, progress=progress))
    if name == "folder":
        return _load_folder(section.folder)
    if name == "hub":
        return _load_hub(section.hub, section.cache_dir, progress)
    return _load_published(name, getattr(section, name))


def check_splits(
    splits: dict[str, Dataset],
    section: DataSection,
    *,
    seed: int = 0,
    digests: ContentDigests | None = None,
    progress: bool = True,
) -> tuple[dict[str, Dataset], dict[str, AudioCheckReport]]:
    """
    Decodes every clip once, or the share that ``check_audio`` says, and omits the bad ones, split by split.

    Args:
        splits: tables by name.
        section: the recipe's data section, whose ``check_audio`` is on.
        seed: seed of the choice of clips.
        digests: see [`check_audio`].
        progress: show progress bars.

    Returns:
        The tables without rows of bad clips, and a report a split.

    Raises:
        DataError: if more clips are bad than ``max_bad_share`` allows, or none are left.
    """
    good, reports = {}, {}
    for name, table in splits.items():
        good[name], reports[name] = check_audio(
            table,
            max_bad_share=section.max_bad_share,
            num_workers=min(_MOST_THREADS, max(2, half_of_the_cores())),
            digests=digests,
            progress=progress,
            share=float(section.check_audio),
            seed=seed,
        )
        if not len(good[name]):
            raise DataError(f"split {name!r}: no usable clip is left.")
    return good, reports


def not_read(section: DataSection) -> ReadingReport:
    """Lists the files in the directories of a recipe's datasets that are not read; logs a line per reason."""
    readable, report = supported_audio_extensions(), ReadingReport()
    for name in section.sources:
        place = getattr(getattr(section, name), "path", None)
        if place is not None:
            walk = walk_sounds(place, readable)
            report.unread += walk.unread
            report.skipped += walk.faults
    for line in report.counts:
        logger.warning("%s", line)
    return report


def _load_published(name: str, section: PublishedSection | WavCapsSection) -> dict[str, Dataset]:
    source = source_named(name)
    if section.path is None:
        raise RecipeError(f"data.{name}.path is not set: give --data.{name}.path DIRECTORY.")
    if not Path(section.path).is_dir():
        raise DataError(f"{section.path}: directory not found; expected {source.title} there.")
    options: dict[str, Any] = {"missing": section.missing}
    if isinstance(section, WavCapsSection):
        options["collections"] = section.collections
        trained = ["train"]
    else:
        trained = list(dict.fromkeys(section.train_splits))
    # What is trained on first: without its metadata the message is that there is nothing to train on.
    train = join_tables([source.load(section.path, split=split, **options) for split in trained])
    others = [split for split in source.splits(section.path) if split not in trained]
    return {"train": train} | {
        split: source.load(section.path, split=split, **options) for split in others if split != "train"
    }


def _load_hub(section: HubSection, cache_dir: str | None, progress: bool) -> dict[str, Dataset]:
    if section.name is None:
        raise RecipeError("data.hub.name is not set: give --data.hub.name OWNER/NAME, or a directory.")
    if "train" not in section.splits:
        raise RecipeError(f"data.hub.splits={section.splits} names no split to train on; add train: NAME.")
    options = section.model_dump(exclude={"name", "splits", "weight"})
    return {
        ours: load_hub_dataset(
            section.name, split=theirs, as_split=ours, cache_dir=cache_dir, progress=progress, **options
        )
        for ours, theirs in section.splits.items()
    }


def _load_folder(section: FolderSection) -> dict[str, Dataset]:
    if section.path is None:
        raise RecipeError("data.folder.path is not set: give --data.folder.path DIRECTORY.")

    named: list[str] = []

    def choose(splits: dict[str, int]) -> list[str]:
        named.extend(splits)
        unused = unused_splits(splits)
        if splits and "train" not in splits:
            hint = "".join(f" Rename {one.name!r} to 'train'." for one in unused if one.meant == "train")
            raise DataError(
                f"{Path(section.path)}: the split column contains {[*splits]}, but training needs rows of split "
                f"'train'.{hint}"
            )
        told = f"{section.path}: training does not use {', '.join(map(str, unused))}"
        if wrong := [one for one in unused if one.meant and one.meant not in splits]:
            raise DataError(
                f"{told}. Rename {wrong[0].name!r} to {wrong[0].meant!r} in the column 'split'; to leave these rows "
                "out, rename it to 'unused'."
            )
        if unused:
            logger.warning("%s; it uses 'train', 'validation' and 'test...'", told)
        return [name for name in splits if is_used(name)] or ["train"]

    loaded = load_captioned_splits(
        section.path,
        choose,
        caption_column=section.caption_column,
        license=section.license,
        missing=section.missing,
    )
    if named and section.group_column is not None:
        raise RecipeError(
            f"data.folder.group_column={section.group_column!r}: nothing is held out, since the metadata of "
            f"{section.path} have a column 'split'. Leave group_column out."
        )
    return loaded if named else _hold_out(loaded["train"], section)


def _hold_out(table: Dataset, section: FolderSection) -> dict[str, Dataset]:
    """
    Splits by a hash of each clip's id, or of its group: adding files later moves no clip to another split.

    Clips without a group are held out by themselves.
    """
    group = section.group_column
    if group is not None and group not in table.column_names:
        raise RecipeError(
            f"data.folder.group_column={group!r} is not a column of {section.path}; there are {table.column_names}."
        )
    groups = [None] * len(table) if group is None else values_of(arrow_column(table, group))
    split_of = np.zeros(len(table), dtype=np.int8)
    names = ("train", "validation", "test")
    test_from = 1.0 - section.test_share
    validation_from = test_from - section.validation_share
    for row, (clip_id, value) in enumerate(
        zip(values_of(arrow_column(table, "clip_id")), groups, strict=True)
    ):
        digest = hashlib.sha256((clip_id if value is None else str(value)).encode()).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        split_of[row] = 2 if share >= test_from else 1 if share >= validation_from else 0
    counts = dict(zip(names, np.bincount(split_of, minlength=len(names)).tolist(), strict=True))
    if not counts["train"]:
        raise DataError(f"{section.path}: too few clips to hold some out; none is left to train on.")
    for name, share in (("validation", section.validation_share), ("test", section.test_share)):
        if share and not counts[name]:
            logger.warning(
                "%s: too few clips for a share of %g: none is held out for %s", section.path, share, name
            )
    return {name: kept_rows(table, split_of == number) for number, name in enumerate(names) if counts[name]}
