"""A stage's tables, loaded once per run without unusable clips, and the comparison with recorded inputs."""

import logging
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from ...data import DataError
from ...data.columns import arrow_column, kept_rows, values_of
from ...data.schema import unique_clips
from ...files.cache_root import cache_root
from ...files.content_digests import ContentDigests
from ...files.saved_directories import last_complete_checkpoint
from ..recipe.reading import RecipeError, Stage
from ..recipe.schema import Recipe
from ..rows.split_loading import check_splits, load_splits, not_read
from ..teachers.cross_fitting import FoldError, HeldOutFold, hold_out_fold
from .data_remarks import warn_of_repeated_captions, warn_of_shared_clips
from .needs import check_tables
from .run_directory import RunDirectory
from .stage_inputs import (
    LEARNED_FROM,
    Differences,
    Inputs,
    compare_inputs,
    data_inputs,
    model_inputs,
    record_inputs,
    recorded_inputs,
)

logger = logging.getLogger(__name__)


class LoadedData:
    """
    The tables of a run's data sections, each loaded when it is first needed.

    Args:
        progress: show progress bars.
    """

    def __init__(self, progress: bool = True):
        self.progress = progress
        self._loaded: dict[str, dict[str, Dataset]] = {}
        self._held_out: dict[str, HeldOutFold] = {}
        self._remarked: set[str] = set()

    def splits(self, stage: Stage) -> dict[str, Dataset]:
        """
        The tables of a stage, its mixes among them, see [`load_splits`]; of ``train`` without the fold held out.

        Raises:
            RecipeError: if the training clips cannot be divided into folds.
        """
        mixes, fold = stage.augmentation.mixes, stage.data.hold_out_fold
        key = _key(stage)
        if key not in self._loaded:
            splits = load_splits(stage.data, mixes=mixes, progress=self.progress)
            if fold is not None:
                digests = ContentDigests(cache_root(stage.data.cache_dir))
                try:
                    splits["train"], self._held_out[key] = hold_out_fold(
                        splits["train"], fold.folds, fold.fold, fold.seed, digests
                    )
                except FoldError as error:
                    raise RecipeError(f"stage {stage.name!r}, data.hold_out_fold: {error}") from error
            self._loaded[key] = splits
        return dict(self._loaded[key])

    def held_out_fold(self, stage: Stage) -> HeldOutFold | None:
        """What a stage's training leaves out; None if that is nothing."""
        self.splits(stage)
        return self._held_out.get(_key(stage))

    def is_first_remark(self, stage: Stage) -> bool:
        """Whether nothing was said of a stage's data yet; stages often share them."""
        key = _key(stage)
        is_first = key not in self._remarked
        self._remarked.add(key)
        return is_first


def _key(stage: Stage) -> str:
    return f"{stage.data.model_dump_json()} {stage.augmentation.mixes}"


def prepare_splits(
    stage: Stage, recipe: Recipe, run: RunDirectory, data: LoadedData, digests: ContentDigests, progress: bool
) -> dict[str, Dataset]:
    """
    A stage's tables without unusable clips; call this on the main process.

    Compares all inputs of the stage with the recorded ones, then records them and the run:
    nothing is written before all inputs were found.

    Raises:
        DataError: if the data are invalid.
        RecipeError: if the relevance column is missing, or a checkpoint learned from something else than there is
            today; the message names what has changed.
    """
    splits = data.splits(stage)
    audio_check = None
    if stage.data.check_audio:
        good, reports = check_splits(splits, stage.data, seed=recipe.seed, digests=digests, progress=progress)
        audio_check = {
            name: {
                "checked": report.checked,
                "clips": report.clips,
                "bad": report.bad,
                "counts": report.counts,
                "remarks": report.remarks,
                "left_out": _left_out(splits[name], good[name]),
            }
            for name, report in reports.items()
        }
        for name, report in reports.items():
            if report.bad:
                logger.warning("split %s: skipped %d of %d clips", name, len(report.bad), report.checked)
        splits = good
    check_tables(stage, splits, recipe.evaluation.relevance_column)
    data_now, sounds = data_inputs(splits, stage, recipe.evaluation, digests, progress=progress)
    if data.is_first_remark(stage):
        warn_of_shared_clips(splits, sounds, digests)
        warn_of_repeated_captions(splits["train"], stage.data.positive_column)
    inputs = model_inputs(stage, run, digests) | data_now
    goes_on = _compare(stage, run, inputs, sounds)
    run.start()
    if audio_check is not None:
        run.save(f"{stage.name}/audio_check", audio_check)
        run.save(f"{stage.name}/not_read", not_read(stage.data).as_json())
    rows = {name: inputs[f"the rows of {name}"] for name in LEARNED_FROM if name in splits}
    run.save(
        f"{stage.name}/data",
        {name: {"rows": entry["rows"], "sha256": entry["fingerprint"]} for name, entry in rows.items()},
    )
    licenses = Counter(values_of(arrow_column(unique_clips(splits["train"]), "license")))
    run.save(f"{stage.name}/licenses", dict(licenses.most_common()))
    if not goes_on:
        record_inputs(run.stage_dir(stage.name), inputs, sounds)
    return splits


def without_bad_clips(splits: dict[str, Dataset], run: RunDirectory, stage: str) -> dict[str, Dataset]:
    """The tables without clips that the main process found unusable for a stage."""
    good = dict(splits)
    for name, report in (run.load(f"{stage}/audio_check") or {}).items():
        left_out = set(report["left_out"])
        if left_out and name in splits:
            clips = arrow_column(splits[name], "clip_id")
            is_out = pc.is_in(clips, pa.array(sorted(left_out), clips.type)).to_numpy()
            good[name] = kept_rows(splits[name], ~is_out)
    return good


def _left_out(table: Dataset, good: Dataset) -> list[str]:
    """Ids of the clips that a check took out of a table."""
    if good is table:
        return []
    kept = arrow_column(good, "clip_id").combine_chunks()
    clips = arrow_column(table, "clip_id")
    return sorted(set(clips.filter(pc.invert(pc.is_in(clips, kept))).to_pylist()))


def stage_splits(stage: Stage, run: RunDirectory, data: LoadedData) -> dict[str, Dataset] | None:
    """The tables of a started stage; None if the data can no longer be found."""
    try:
        splits = without_bad_clips(data.splits(stage), run, stage.name)
    except (DataError, RecipeError, OSError):
        return None
    return splits if "train" in splits and len(splits["train"]) else None


def compare_stage(
    stage: Stage,
    recipe: Recipe,
    run: RunDirectory,
    splits: dict[str, Dataset] | None,
    digests: ContentDigests,
) -> Differences:
    """
    Compares a stage's recorded inputs with the current ones.

    Args:
        stage: a stage with recorded inputs.
        recipe: recipe of the run.
        run: its directory.
        splits: the stage's tables, see [`stage_splits`]; without them the data are missing.
        digests: digests of files' contents.
    """
    directory = run.stage_dir(stage.name)
    recorded = recorded_inputs(directory) or {}
    now = model_inputs(stage, run, digests)
    if splits is None:
        found = compare_inputs(recorded, now)
        return replace(found, missing=[*found.missing, "the data"])
    data_now, sounds = data_inputs(splits, stage, recipe.evaluation, digests)
    return compare_inputs(recorded, now | data_now, directory, sounds)


def refuse_outdated(
    stage: Stage, recipe: Recipe, run: RunDirectory, data: LoadedData, digests: ContentDigests
) -> None:
    """
    Missing inputs are not changes, since a model may outlive its data.

    Raises:
        RecipeError: if a finished stage was made from something else than there is today; names what changed.
    """
    if recorded_inputs(run.stage_dir(stage.name)) is None:
        logger.info(
            "stage %s began before inputs were recorded; whether they changed is not known", stage.name
        )
        return
    changed = compare_stage(stage, recipe, run, stage_splits(stage, run, data), digests).changed
    if changed:
        raise RecipeError(
            f"stage {stage.name!r} is finished, but was made from something else: {'; '.join(changed)}. Bring that "
            f"back, or delete {run.stage_dir(stage.name)} to train the stage again, or choose another --output_dir."
        )


def _compare(stage: Stage, run: RunDirectory, inputs: Inputs, sounds: dict[str, pa.Table]) -> bool:
    """Whether a started stage keeps its record; an error if a checkpoint was trained with other inputs."""
    directory = run.stage_dir(stage.name)
    has_begun = last_complete_checkpoint(directory) is not None
    recorded = recorded_inputs(directory)
    rows_alone = recorded is None
    if recorded is None:
        # Before the rest was recorded, ids and captions were.
        recorded = {
            f"the rows of {name}": {"rows": entry["rows"], "fingerprint": entry["sha256"]}
            for name, entry in (run.load(f"{stage.name}/data") or {}).items()
        }
    found = compare_inputs(recorded, inputs, directory, sounds)
    gone = [role for role in recorded if role not in inputs]
    changed = found.changed + [f"{role} (missing)" for role in gone]
    if changed and has_begun:
        told = "; ".join(changed)
        data_alone = all(one.startswith(("the rows", "the labels", "the sounds")) for one in changed)
        what = "the data have changed" if data_alone else "its inputs have changed"
        raise RecipeError(
            f"stage {stage.name!r}: {what} since it began: {told}. Bring that back, choose another --output_dir, or "
            f"delete {directory} to train the stage again."
        )
    if changed:
        logger.warning("stage %s starts again: %s changed", stage.name, "; ".join(changed))
    if has_begun and (rows_alone or found.unrecorded):
        logger.warning(
            "stage %s: its checkpoints do not record everything they learned from; not compared: %s",
            stage.name,
            "; ".join(found.unrecorded),
        )
    if found.missing:
        logger.warning("stage %s: cannot be compared: %s", stage.name, "; ".join(found.missing))
    return has_begun


__all__ = [
    "LoadedData",
    "compare_stage",
    "prepare_splits",
    "refuse_outdated",
    "stage_splits",
    "without_bad_clips",
]
