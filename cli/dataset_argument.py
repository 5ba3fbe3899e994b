"""Loads the DATASET argument of commands: a recipe, a folder, Clotho, a captions file or the generated scenes."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset

SCENES = "scenes"
HELP = (
    "Dataset: a recipe (.yaml), a folder of recordings with metadata.csv or metadata.jsonl, a directory in the "
    "layout of Clotho, AudioCaps or WavCaps, or 'scenes' for the generated scenes."
)
CAPTIONS_HELP = f"{HELP} Also a CSV file with the columns file_name, caption_1, caption_2, ..."
# Clotho calls its parts so; DCASE and this project train on, choose by and test on them in this order.
_CLOTHO_FILE = re.compile(r"clotho_captions_(development|validation|evaluation)\.csv")
_CLOTHO_SPLITS = {"development": "train", "validation": "validation", "evaluation": "test"}


class DatasetArgumentError(ValueError):
    """The DATASET argument is not a dataset; the message lists what is accepted."""


def load_dataset_argument(
    text: str,
    *,
    split: str | None,
    stage: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    captions_only: bool = False,
    progress: bool = True,
) -> dict[str, "Dataset"]:
    """
    Loads the dataset that a command's argument names.

    Args:
        text: a recipe, whose data section counts; a captioned folder; a directory in the layout of Clotho,
            AudioCaps or WavCaps; or the word ``scenes`` for the generated scenes with their usual settings
            (``./scenes`` is a folder of that name).
        split: the one split to load; None loads all.
        stage: stage of the recipe, whose data section may differ from the shared one.
        overrides: overrides of the recipe's fields, as [`read_recipe`] takes them.
        captions_only: also accept a CSV file of captions without sounds.
        progress: show progress bars.

    Returns:
        Tables by split, none empty. A folder without a column ``split`` is one split, ``train``, with all its clips;
            a recipe would use some of them for validation and test.

    Raises:
        DatasetArgumentError: if the argument has another form, or the split or stage does not exist.
        RecipeError: if the recipe is not valid.
        DataError: if the data are invalid.
    """
    path = Path(text)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _chosen(_load_recipe(path, stage, overrides, progress), split, text)
    for name, value in (("--stage", stage), ("fields of a recipe", overrides)):
        if value:
            raise DatasetArgumentError(
                f"{text}: {name} can only be used with a recipe (.yaml), got {value!r}."
            )
    if text == SCENES:
        from ..training.recipe.schema import DataSection
        from ..training.rows.split_loading import load_splits

        return _chosen(load_splits(DataSection(), progress=progress), split, text)
    if path.is_dir():
        return _load_directory(path, split)
    if path.suffix.lower() == ".csv" and path.is_file():
        return _load_csv(path, split, captions_only)
    fault = "not a dataset" if path.exists() else "no such file or directory"
    accepted = (CAPTIONS_HELP if captions_only else HELP).removeprefix("Dataset: ")
    raise DatasetArgumentError(f"DATASET {text!r}: {fault}; expected {accepted}")


def _load_recipe(
    path: Path, stage: str | None, overrides: Mapping[str, Any] | None, progress: bool
) -> dict[str, "Dataset"]:
    from ..training.recipe.reading import read_recipe, resolve_stages
    from ..training.rows.split_loading import load_splits

    recipe = read_recipe(path, overrides)
    section, augmentation = recipe.data, recipe.augmentation
    if stage is not None:
        stages = {resolved.name: resolved for resolved in resolve_stages(recipe, str(path))}
        if stage not in stages:
            raise DatasetArgumentError(
                f"{path}: no stage {stage!r} in this recipe; the stages are {list(stages)}."
            )
        section, augmentation = stages[stage].data, stages[stage].augmentation
    return load_splits(section, mixes=augmentation.mixes, progress=progress)


def _load_directory(path: Path, split: str | None) -> dict[str, "Dataset"]:
    from ..data import load_captioned_splits, source_of

    source = source_of(path)
    if source is not None:
        return {name: source.load(path, split=name) for name in _wanted(source.splits(path), split, path)}

    def choose(names: dict[str, int]) -> list[str]:
        if not names and split not in (None, "train"):
            raise DatasetArgumentError(
                f"{path}: no split {split!r}; the metadata have no column 'split', so all rows belong to 'train'. "
                "Add the column, or use --split train."
            )
        return _wanted([*names] or ["train"], split, path)

    return load_captioned_splits(path, choose)


def _load_csv(path: Path, split: str | None, captions_only: bool) -> dict[str, "Dataset"]:
    if not captions_only:
        raise DatasetArgumentError(
            f"{path}: this file contains captions only; the command also needs audio, so pass the dataset's directory."
        )
    match = _CLOTHO_FILE.fullmatch(path.name)
    name = _CLOTHO_SPLITS[match[1]] if match else split or "train"
    source = "clotho" if match else path.stem
    return _chosen({name: _read_captions(path, source, name)}, split, str(path))


def _read_captions(path: Path, source: str, split: str) -> "Dataset":
    """Rows with the ids that the same clips have with their sounds; the sounds need not be there."""
    from ..data import CaptionedClip, DataError, build_table

    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [name for name in reader.fieldnames or [] if re.fullmatch(r"caption(_\d+)?", name)]
            if "file_name" not in (reader.fieldnames or []) or not columns:
                raise DataError(
                    f"{path}: found the columns {reader.fieldnames}; required are 'file_name' and 'caption', or "
                    "'file_name' and 'caption_1', 'caption_2', ..."
                )
            rows = []
            for record in reader:
                captions = [(record[column] or "").strip() for column in columns]
                name = (record["file_name"] or "").strip()
                if not name or not any(captions):
                    what = "captions are" if name else "file_name is"
                    raise DataError(f"{path}, line {reader.line_num}: the {what} empty.")
                clip = CaptionedClip(source, split, name, path.parent / name, [c for c in captions if c])
                rows.extend(clip.rows())
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a valid CSV file in UTF-8 ({error}).") from error
    if not rows:
        raise DataError(f"{path}: the file has no rows.")
    try:
        return build_table(rows)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _wanted(names: list[str], split: str | None, origin: object) -> list[str]:
    if split is None:
        return names
    if split not in names:
        raise DatasetArgumentError(f"{origin}: no split {split!r}; the splits are {names}.")
    return [split]


def _chosen(tables: Mapping[str, "Dataset"], split: str | None, origin: str) -> dict[str, "Dataset"]:
    return {name: tables[name] for name in _wanted(list(tables), split, origin)}
