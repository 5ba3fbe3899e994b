"""Everything that the stages of a run need, checked before the first of them begins."""

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from ...data import DataError
from ...data.augmentation import read_back_translations
from ...data.augmentation.back_translation import FILE as BACK_TRANSLATIONS
from ...data.columns import arrow_column
from ...data.mixing import WEIGHT_COLUMN, EpochRows
from ...encoders import EncoderError
from ...encoders.hub_files import find_model_files
from ..clusters.caption_clusters import CaptionClusters, ClusterError, ClusterSettings
from ..losses.gradient_gather import world
from ..models.pretrained_text import PretrainedError, locate_text_encoder, looks_like_path, offline_hint
from ..recipe.reading import RecipeError, Stage
from ..recipe.schema import RANDOM_WEIGHTS, ClusterSection
from ..rows.synonyms import SynonymError
from ..teachers.bank_files import BankError, TeacherBank
from ..teachers.cross_fitting import FoldError, check_held_out, read_held_out_fold
from .needed_inputs import missing_inputs
from .precision import effective_precision
from .run_directory import RunDirectory

# What says that a need is not met.
UNMET = (RecipeError, DataError, PretrainedError, BankError, ClusterError, SynonymError, EncoderError)


def check_needs(stages: Iterable[Stage], run: RunDirectory) -> None:
    """
    Checks models, banks, clusters, augmentation files, packages and devices that stages need; loads no weights.

    Args:
        stages: the stages that will run, in order.
        run: where earlier stages are.

    Raises:
        RecipeError: naming everything that is missing, if more than one thing is; else the need's own error.
    """
    found: dict[str, Exception] = {}
    coming: set[str] = set()
    for stage in stages:
        for check in _checks(stage, run, coming):
            try:
                check()
            except UNMET as error:
                found.setdefault(str(error), error)
        coming.add(stage.name)
    if len(found) == 1:
        raise next(iter(found.values()))
    if found:
        raise RecipeError(f"{len(found)} things are missing: {' '.join(found)}")


def check_training(stage: Stage) -> None:
    """
    Raises:
        RecipeError: if a stage's settings need a GPU or a package that is missing.
    """
    section = stage.training
    if effective_precision(section.precision) == "fp16" and not torch.cuda.is_available():
        raise RecipeError(f"stage {stage.name!r}: training.precision=fp16 needs a GPU; use fp32.")
    for name in section.report_to:
        if importlib.util.find_spec(name) is None:
            raise RecipeError(
                f"training.report_to names {name!r}, which is not installed; pip install 'auricle[tracking]'."
            )
    if section.lora.towers and importlib.util.find_spec("peft") is None:
        raise RecipeError(f"stage {stage.name!r}: training.lora needs PEFT: pip install 'auricle[peft]'.")


def check_tables(stage: Stage, splits: Mapping[str, Dataset], relevance_column: str) -> None:
    """
    Checks that a stage's tables have the columns that its settings name, and fill a batch.

    Raises:
        RecipeError: naming the setting.
    """
    for name, table in splits.items():
        setting = ("data.positive_column", stage.data.positive_column)
        if name != "train":
            setting = ("evaluation.relevance_column", relevance_column)
        if setting[1] not in table.column_names:
            raise RecipeError(
                f"{setting[0]}={setting[1]!r} is not a column of split {name!r}; there are {table.column_names}."
            )
    train = splits["train"]
    weighs = WEIGHT_COLUMN in train.column_names
    weights = arrow_column(train, WEIGHT_COLUMN).to_numpy() if weighs else None
    check_fills_batch(stage, len(EpochRows(arrow_column(train, "source"), weights, seed=0)))


def check_fills_batch(stage: Stage, rows: int) -> None:
    """
    Raises:
        RecipeError: if an epoch's rows do not fill one batch on each process.
    """
    _, processes = world()
    if rows < stage.training.batch_size * processes:
        raise RecipeError(
            f"stage {stage.name!r}: {rows} training rows do not fill one batch of "
            f"{stage.training.batch_size} on each of {processes} processes; lower training.batch_size."
        )


def cluster_settings(section: ClusterSection) -> ClusterSettings:
    """Settings for clustering a stage's captions."""
    return ClusterSettings(
        method=section.method,
        min_cluster_size=section.min_cluster_size,
        num_clusters=section.num_clusters,
        neighbors=section.neighbors,
        dimensions=section.dimensions,
        seed=section.clustering_seed,
        per_clip=section.per_clip,
    )


def _checks(stage: Stage, run: RunDirectory, coming: set[str]) -> Iterator[Callable[[], Any]]:
    yield lambda: check_training(stage)
    for one in missing_inputs([stage]):
        yield lambda one=one: _refuse(f"stage {one.stage!r}: {one.message}")
    yield lambda: _check_start(stage, run, coming)
    if stage.distillation.is_on:
        for entry in stage.distillation.teachers:
            yield lambda source=entry.source: _check_teacher(stage, source, run, coming)
        if stage.distillation.cross_fit:
            yield lambda: _check_folds(stage, run)
    if stage.clusters.is_on:
        yield lambda: _check_clusters(stage, run, coming)
    if stage.augmentation.is_on:
        yield lambda: _check_augmentation(stage)


def _refuse(message: str) -> None:
    raise RecipeError(message)


def _is_ready(name: str, run: RunDirectory, coming: set[str]) -> bool:
    return name in coming or run.is_finished(name)


def _check_start(stage: Stage, run: RunDirectory, coming: set[str]) -> None:
    start = stage.starts_from
    if start == "pretrained":
        _check_towers(stage)
    elif start in run.stage_names:
        if not _is_ready(start, run, coming):
            raise RecipeError(
                f"stage {stage.name!r} starts from {start!r}, which is not finished; run that first."
            )
    elif not Path(start).is_dir() and (looks_like_path(start) or "/" not in start):
        raise RecipeError(
            f"stage {stage.name!r}: starts_from={start!r} is neither 'pretrained', nor a stage "
            f"({run.stage_names}), nor a directory, nor a Hub id (owner/name); "
            f"if it is another recipe's result, run that one first."
        )
    elif not Path(start).is_dir():
        find_model_files(start)


def _check_towers(stage: Stage) -> None:
    audio, text = stage.model.audio.pretrained, stage.model.text
    if audio and audio != RANDOM_WEIGHTS:
        _check_found("audio encoder", audio)
    if text.pretrained:
        _check_found("text encoder", locate_text_encoder(text.pretrained).location)
    if text.tokenizer:
        _check_found("tokenizer", text.tokenizer)


def _check_found(what: str, name: str) -> None:
    if Path(name).exists():
        return
    if looks_like_path(name):
        raise PretrainedError(f"{what} {name}: there is no such file or directory.")
    try:
        find_model_files(name)
    except EncoderError as error:
        raise PretrainedError(f"{what} {error}{offline_hint(name)}") from error


def _check_teacher(stage: Stage, source: str, run: RunDirectory, coming: set[str]) -> None:
    if source in run.stage_names:
        if not _is_ready(source, run, coming):
            raise RecipeError(
                f"stage {stage.name!r} learns from {source!r}, which is not finished; run that stage first."
            )
    elif not TeacherBank.is_one(source) and not Path(source).is_dir():
        try:
            find_model_files(source)
        except EncoderError as error:
            raise BankError(str(error)) from error


def _check_folds(stage: Stage, run: RunDirectory) -> None:
    """Checks the held-out folds of teachers that exist already. Loading the rows compares them with the rows."""
    for source in (entry.source for entry in stage.distillation.teachers):
        if source in run.stage_names or not Path(source).is_dir():
            continue
        try:
            is_bank = TeacherBank.is_one(source)
            record = TeacherBank.load(source).held_out_fold if is_bank else read_held_out_fold(source)
            check_held_out(record, stage.distillation.cross_fit, source)
        except FoldError as error:
            raise BankError(f"stage {stage.name!r}: {error}") from error


def _check_clusters(stage: Stage, run: RunDirectory, coming: set[str]) -> None:
    # The methods' own libraries are optional and slow to import.
    from ..clusters.cluster_methods import check_packages

    section = stage.clusters
    if section.labels:
        CaptionClusters.load(section.labels)
        return
    source = section.embed_with
    if source in run.stage_names:
        if not _is_ready(source, run, coming):
            raise RecipeError(
                f"stage {stage.name!r} takes clusters from {source!r}, which is not finished; run that stage first."
            )
    elif looks_like_path(source) and not Path(source).is_dir():
        raise PretrainedError(f"{source}: there is no such model directory.")
    elif not Path(source).is_dir():
        from ..clusters.caption_embedding import check_caption_source

        check_caption_source(source)
    check_packages(cluster_settings(section).method)


def _check_augmentation(stage: Stage) -> None:
    section = stage.augmentation
    directory = section.back_translated
    # Earlier checks tested that the file exists; this one tests that it can be read.
    if directory and section.back_translation_probability and (Path(directory) / BACK_TRANSLATIONS).is_file():
        read_back_translations(directory)


__all__ = ["check_fills_batch", "check_needs", "check_tables", "check_training", "cluster_settings"]
