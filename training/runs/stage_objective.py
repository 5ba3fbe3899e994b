"""What a stage learns from beside the pairs: teachers' similarities and caption clusters, made where missing."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset

from ..losses.objective import Objective
from ..recipe.reading import Stage
from ..recipe.schema import ClusterSection
from ..teachers.pooled_captions import PooledCaptions
from ..teachers.process_shares import first_on_main
from ..teachers.teacher_bank import AlignedTeachers, TeacherBank, load_teacher, write_teacher_bank

if TYPE_CHECKING:
    from ..clusters.caption_clusters import CaptionClusters

BANKS = "teachers"
CLUSTERS = "clusters"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageObjective:
    """
    A stage's losses and what they are computed from.

    Attributes:
        weights: of the losses.
        teachers: vectors whose inner products are the teachers' mean similarities; None without distillation.
        cluster_of_row: int64 ``(training rows,)``; None without cluster heads.
        num_clusters: of the heads; 0 without.
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
    pooled_captions: PooledCaptions | None = None,
    progress: bool = True,
) -> StageObjective:
    """
    Reads a stage's teacher banks and clusters, and makes those that the recipe only names a model for.

    A teacher is run over the training rows once, before the stage, and let go of: training itself reads banks and
    never holds a teacher network (AISTAT report, stage 2).

    Args:
        stage: its settings.
        train: the rows that the stage trains on.
        directory: the stage's own; banks and clusters made here stay in it.
        model_of_stage: the model directory of an earlier stage, None for any other name.
        batch_size: clips or captions embedded at a time.
        pooled_captions: where vectors of a text tower that the run does not train may be kept.
        progress: show progress bars.

    Raises:
        BankError: if a bank does not hold these rows.
        ClusterError: if the clusters are of other captions, or none can be made.
    """
    weights = Objective(
        contrastive_weight=stage.training.contrastive_weight,
        distillation_weight=stage.distillation.weight if stage.distillation.is_on else 0.0,
        distillation_temperature=stage.distillation.softmax_temperature,
        cluster_weight=stage.clusters.weight if stage.clusters.is_on else 0.0,
    )
    record: dict[str, Any] = {}
    teachers = labels = None
    num_clusters = 0
    if stage.distillation.is_on:
        entries = stage.distillation.teachers
        banks = []
        for number, entry in enumerate(entries):
            made = directory / BANKS / f"{number}-{Path(entry.source).name}"
            model_dir = model_of_stage(entry.source)
            options = {"batch_size": batch_size, "pooled_captions": pooled_captions, "progress": progress}
            banks.append(_bank(entry.source, made, train, model_dir, **options))
        teachers = AlignedTeachers.align(banks, [entry.weight for entry in entries], train)
        record["teachers"] = [
            {"source": entry.source, "weight": entry.weight, "fingerprint": bank.fingerprint}
            for entry, bank in zip(entries, banks, strict=True)
        ]
    if stage.clusters.is_on:
        clusters = first_on_main(
            lambda: _clusters(
                stage.clusters, directory, train, model_of_stage, pooled_captions, progress=progress
            )
        )
        labels = clusters.labels_for(train)
        num_clusters = clusters.num_clusters
        record["clusters"] = clusters.summary()
    return StageObjective(weights, teachers, labels, num_clusters, record)


def _bank(source: str, made: Path, train: Dataset, stage_model: Path | None, **options: Any) -> TeacherBank:
    if stage_model is None and TeacherBank.is_one(source):
        return TeacherBank.load(source)
    if TeacherBank.is_one(made):
        return TeacherBank.load(made)
    teacher = load_teacher(str(stage_model or source))
    return write_teacher_bank(made, teacher, {"train": train}, model_name=source, **options)


def _clusters(
    section: ClusterSection,
    directory: Path,
    train: Dataset,
    model_of_stage: Callable[[str], Path | None],
    pooled_captions: PooledCaptions | None,
    *,
    progress: bool,
) -> "CaptionClusters":
    from ..clusters.caption_clusters import CaptionClusters, ClusterSettings

    if section.labels:
        return CaptionClusters.load(section.labels)
    made = directory / CLUSTERS
    if (made / "clusters.json").is_file():
        return CaptionClusters.load(made)
    # Clustering libraries are optional and slow to import.
    from ..clusters.caption_embedding import embed_captions_with
    from ..clusters.cluster_methods import cluster_captions

    stage_model = model_of_stage(section.embed_with)
    embeddings, source = embed_captions_with(
        str(stage_model or section.embed_with),
        list(train["caption"]),
        prompt=section.prompt,
        pooled_captions=pooled_captions,
        progress=progress,
    )
    settings = ClusterSettings(
        method=section.method,
        min_cluster_size=section.min_cluster_size,
        num_clusters=section.num_clusters,
        neighbors=section.neighbors,
        dimensions=section.dimensions,
        seed=section.clustering_seed,
        per_clip=section.per_clip,
    )
    clusters = cluster_captions(train, embeddings, settings, source=source)
    clusters.save(made)
    return clusters
