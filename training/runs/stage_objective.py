"""Prepares the further targets of a stage: teachers' similarities and caption clusters; creates missing ones."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate import PartialState
from datasets import Dataset

from ...files.content_digests import ContentDigests
from ..losses.gradient_gather import world
from ..losses.objective import Objective
from ..models.model_files import model_files_fingerprint
from ..models.pretrained_text import PretrainedError
from ..recipe.reading import RecipeError, Stage
from ..recipe.schema import ClusterSection
from ..teachers.aligned_teachers import AlignedTeachers
from ..teachers.cross_fitting import read_held_out_fold
from ..teachers.pooled_captions import PooledCaptions
from ..teachers.process_shares import first_on_main
from ..teachers.teacher_bank import (
    BankError,
    TeacherBank,
    load_teacher,
    write_teacher_bank,
)
from .needs import cluster_settings

if TYPE_CHECKING:
    from ..clusters.caption_clusters import CaptionClusters

BANKS = "teachers"
CLUSTERS = "clusters"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageObjective:
    """
    A stage's losses and their inputs.

    Attributes:
        weights: weights of the losses.
        teachers: vectors whose inner products are the teachers' mean similarities; None without distillation.
        cluster_of_row: int64 ``(training rows,)``; None without cluster heads.
        num_clusters: number of clusters of the heads; 0 without.
        record: teachers and clusters, for the run's record.
    """

    weights: Objective
    teachers: AlignedTeachers | None = None
    cluster_of_row: np.ndarray | None = None
    num_clusters: int = 0
    record: dict[str, Any] = field(default_factory=dict)


def prepare_objective(
    stage: Stage,
    train: Dataset,
    *,
    directory: Path,
    model_of_stage: Callable[[str], Path | None],
    batch_size: int,
    num_workers: int = 0,
    pooled_captions: PooledCaptions | None = None,
    digests: ContentDigests | None = None,
    has_begun: bool = False,
    progress: bool = True,
) -> StageObjective:
    """
    Reads a stage's teacher banks and clusters, and creates those for which the recipe only names a model.

    A teacher embeds the training rows once, before the stage, and is then freed: training itself reads banks and
    never loads a teacher network (AISTAT report, stage 2). Existing banks and clusters are used if model, rows
    and sounds are unchanged; otherwise they are rebuilt.

    Args:
        stage: its settings.
        train: the rows that the stage trains on.
        directory: directory of the stage; its banks and clusters are stored there.
        model_of_stage: the model directory of an earlier stage, None for any other name.
        batch_size: number of clips or captions per forward pass.
        num_workers: threads that decode clips for a bank.
        pooled_captions: where vectors of a text tower that the run does not train may be kept.
        digests: digests of files' contents; None keeps none.
        has_begun: whether there is a checkpoint that was trained with existing banks or clusters: then nothing is
            rebuilt.
        progress: show progress bars.

    Raises:
        RecipeError: if a checkpoint was trained with banks or clusters of other models or rows than the current ones.
        BankError: if a bank lacks some of these rows.
        ClusterError: if the clusters belong to other captions, or clustering fails.
    """
    weights = Objective(
        contrastive_weight=stage.training.contrastive_weight,
        distillation_weight=stage.distillation.weight if stage.distillation.is_on else 0.0,
        distillation_temperature=stage.distillation.softmax_temperature,
        cluster_weight=stage.clusters.weight if stage.clusters.is_on else 0.0,
        frame_phrase_weight=stage.training.frame_phrase_weight,
    )
    record: dict[str, Any] = {}
    teachers = labels = None
    num_clusters = 0
    maker = _Maker(
        stage.name,
        train,
        directory,
        model_of_stage,
        digests or ContentDigests(),
        has_begun,
        {"pooled_captions": pooled_captions, "progress": progress},
    )
    if stage.distillation.is_on:
        entries = stage.distillation.teachers
        banks = [
            maker.bank(number, entry.source, batch_size, num_workers) for number, entry in enumerate(entries)
        ]
        cross_fit = stage.distillation.cross_fit
        teachers = AlignedTeachers.align(
            banks, [entry.weight for entry in entries], train, maker.digests, cross_fit
        )
        record["teachers"] = [
            {"source": entry.source, "weight": entry.weight, "fingerprint": bank.fingerprint}
            | ({"held_out_fold": bank.held_out_fold.summary()} if cross_fit else {})
            for entry, bank in zip(entries, banks, strict=True)
        ]
    if stage.clusters.is_on:
        clusters = first_on_main(lambda: maker.clusters(stage.clusters))
        labels = clusters.labels_for(train)
        num_clusters = clusters.num_clusters
        record["clusters"] = clusters.summary()
    return StageObjective(weights, teachers, labels, num_clusters, record)


@dataclass(frozen=True)
class _Maker:
    """Takes banks and clusters that were made in a stage's directory, or makes them."""

    stage: str
    train: Dataset
    directory: Path
    model_of_stage: Callable[[str], Path | None]
    digests: ContentDigests
    has_begun: bool
    options: dict[str, Any]

    def bank(self, number: int, source: str, batch_size: int, num_workers: int) -> TeacherBank:
        stage_model = self.model_of_stage(source)
        if stage_model is None and TeacherBank.is_one(source):
            bank = TeacherBank.load(source)
            self._tell_of_changed_model(f"teacher bank {source}", bank.model_name, bank.model_files)
            return bank
        made, name = self.directory / BANKS / f"{number}-{Path(source).name}", str(stage_model or source)
        files = first_on_main(lambda: model_files_fingerprint(name, self.digests))
        if TeacherBank.is_one(made):
            reason = first_on_main(lambda: why_bank_is_outdated(made, name, files, self.train, self.digests))
            # Banks are on a disk that all processes see: none may continue reading while another one writes.
            PartialState().wait_for_everyone()
            if reason is None:
                return TeacherBank.load(made)
            self._tell(f"the bank of teacher {source!r}", reason)
        return write_teacher_bank(
            made,
            load_teacher(name),
            {"train": self.train},
            model_name=source,
            batch_size=batch_size,
            num_workers=num_workers,
            digests=self.digests,
            model_files=files,
            held_out_fold=read_held_out_fold(name),
            **self.options,
        )

    def clusters(self, section: ClusterSection) -> "CaptionClusters":
        from ..clusters.caption_clusters import CaptionClusters

        if section.labels:
            given = CaptionClusters.load(section.labels)
            model, files = (given.source.get(name) for name in ("name", "files"))
            self._tell_of_changed_model(f"clusters {section.labels}", model, files)
            return given
        made, name = (
            self.directory / CLUSTERS,
            str(self.model_of_stage(section.embed_with) or section.embed_with),
        )
        files = model_files_fingerprint(name, self.digests)
        if (made / "clusters.json").is_file():
            reason = why_clusters_are_outdated(made, name, files, section, self.train)
            if reason is None:
                return CaptionClusters.load(made)
            self._tell("the clusters", reason)
        # Clustering libraries are optional and slow to import.
        from ..clusters.caption_embedding import embed_captions_with
        from ..clusters.cluster_methods import check_clusterable, cluster_captions

        settings = cluster_settings(section)
        check_clusterable(self.train["caption"], settings)
        embeddings, source = embed_captions_with(
            name, list(self.train["caption"]), prompt=section.prompt, **self.options
        )
        clusters = cluster_captions(self.train, embeddings, settings, source={**source, "files": files})
        clusters.save(made)
        return clusters

    def _tell_of_changed_model(self, what: str, model: str | None, files: str | None) -> None:
        """What was made outside of the run is used unchanged, even if its model has been trained again since."""
        if world()[0] != 0 or model is None or files is None or not Path(model).is_dir():
            return
        if model_files_fingerprint(model, self.digests) != files:
            logger.warning("%s: its model %s has changed since; the bank is used unchanged", what, model)

    def _tell(self, what: str, reason: str) -> None:
        if self.has_begun:
            raise RecipeError(
                f"stage {self.stage!r}: {reason} since it began, and its checkpoints learned from {what} made "
                f"before. Bring that back, or delete {self.directory} to train the stage again."
            )
        if world()[0] == 0:
            logger.warning("stage %s: %s; making %s again", self.stage, reason, what)


def why_bank_is_outdated(
    directory: str | os.PathLike[str],
    teacher: str,
    files: str | None,
    table: Dataset | None,
    digests: ContentDigests | None = None,
) -> str | None:
    """
    What has changed since a bank was written, as a phrase; None if its teacher and rows are unchanged.

    Args:
        directory: directory of the bank.
        teacher: a model's directory or Hub id; loaded only if its files differ from those that the bank records.
        files: the teacher's [`model_files_fingerprint`], None if it is unknown.
        table: the rows that it should contain; None does not compare them.
        digests: digests of files' contents.
    """
    try:
        bank = TeacherBank.load(directory)
        if table is not None:
            AlignedTeachers.align([bank], None, table, digests)
    except BankError as error:
        return f"its rows or sounds changed ({error})"
    if files is not None and bank.model_files == files:
        return None
    try:
        same = load_teacher(teacher).fingerprint == bank.fingerprint
    except BankError:
        return None  # without the teacher nothing can be said, nor rebuilt
    return None if same else f"the teacher {teacher} changed"


def why_clusters_are_outdated(
    directory: str | os.PathLike[str],
    source: str,
    files: str | None,
    section: ClusterSection | None,
    table: Dataset | None,
) -> str | None:
    """Like [`why_bank_is_outdated`], of clusters; None as section does not compare how they were made."""
    from ..clusters.caption_clusters import CaptionClusters, ClusterError
    from ..clusters.caption_embedding import source_fingerprint

    try:
        clusters = CaptionClusters.load(directory)
        if table is not None:
            clusters.labels_for(table)
    except ClusterError as error:
        return f"captions changed ({error})"
    if table is not None and clusters.rows.num_rows != len(table):
        return f"captions changed ({clusters.rows.num_rows} then, {len(table)} now)"
    if section is not None and (
        clusters.settings != cluster_settings(section) or clusters.source.get("prompt", "") != section.prompt
    ):
        return "the settings of the clustering changed"
    if files is not None and clusters.source.get("files") == files:
        return None
    try:
        same = source_fingerprint(source) == clusters.source.get("fingerprint")
    except PretrainedError:
        return None
    return None if same else f"the model {source} changed"
