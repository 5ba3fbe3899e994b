"""Clusters of captions: a label per row, their settings, and the directory that stores both."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from datasets import Dataset

from ...files.saved_directories import read_json, replace_directory, write_json
from ..teachers.bank_files import caption_digest

FORMAT = "auricle caption clusters"
VERSION = 1
INFO, LABELS = "clusters.json", "labels.parquet"
LABEL_TYPES = pa.schema(
    [
        ("row_id", pa.string()),
        ("clip_id", pa.string()),
        ("caption_digest", pa.string()),
        ("cluster", pa.int64()),
    ]
)
Method = Literal["umap-hdbscan", "bertopic", "kmeans"]


class ClusterError(ValueError):
    """Captions cannot be clustered, or clusters belong to other captions; the message names them."""


@dataclass(frozen=True)
class ClusterSettings:
    """
    Settings of the clustering.

    The report (arXiv 2509.16649) names UMAP, HDBSCAN and BERTopic and gives no setting: these are ours.

    Attributes:
        method: ``umap-hdbscan``, ``bertopic`` or ``kmeans``, see [`cluster_captions`].
        min_cluster_size: fewest captions of a cluster that HDBSCAN makes, at least 2.
        num_clusters: clusters of k-means, at least 2.
        neighbors: UMAP's neighbours of a caption, at least 2.
        dimensions: UMAP's dimensions, at least 1.
        seed: seed of UMAP and k-means.
        per_clip: give all captions of a clip their most frequent cluster; of equally frequent ones the one with
            the lowest number.

    Raises:
        ClusterError: for a value outside of these ranges.
    """

    method: Method = "umap-hdbscan"
    min_cluster_size: int = 30
    num_clusters: int = 150
    neighbors: int = 15
    dimensions: int = 5
    seed: int = 42
    per_clip: bool = False

    def __post_init__(self):
        if self.method not in get_args(Method):
            raise ClusterError(f"method={self.method!r} is not one of {', '.join(get_args(Method))}.")
        lowest = {"min_cluster_size": 2, "num_clusters": 2, "neighbors": 2, "dimensions": 1, "seed": 0}
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise ClusterError(f"{name}={getattr(self, name)} must be at least {least}.")


@dataclass(frozen=True, eq=False)
class CaptionClusters:
    """
    A cluster for every caption of a table.

    Attributes:
        rows: the columns row_id, clip_id, caption_digest and cluster.
        settings: how they were made.
        sizes: captions of each cluster; none is empty.
        top_words: the most characteristic words of each cluster, best first.
        source: source of the captions' vectors: name, fingerprint, prompt.
        outliers_before: share of captions that the clustering left without a cluster, 0 to 1.
        outliers_after: share still without their own cluster; 0, each is assigned to one.
        libraries: versions of the libraries that computed the clusters.
    """

    rows: pa.Table
    settings: ClusterSettings
    sizes: list[int]
    top_words: list[list[str]]
    source: dict[str, Any] = field(default_factory=dict)
    outliers_before: float = 0.0
    outliers_after: float = 0.0
    libraries: dict[str, str] = field(default_factory=dict)

    @property
    def num_clusters(self) -> int:
        """How many clusters there are; labels are 0 to this minus 1."""
        return len(self.sizes)

    def labels_for(self, table: Dataset) -> np.ndarray:
        """
        The cluster of every row of a table, found by row id.

        The table may be in any order and contain fewer rows than were clustered.

        Returns:
            int64 ``(rows,)``.

        Raises:
            ClusterError: naming the first row that was not clustered, or whose caption is another one.
        """
        names = ("row_id", "caption_digest", "cluster")
        known = {
            row: (digest, cluster)
            for row, digest, cluster in zip(*(self.rows[name].to_pylist() for name in names), strict=True)
        }
        labels = np.empty(len(table), dtype=np.int64)
        for place, (row, caption) in enumerate(zip(table["row_id"], table["caption"], strict=True)):
            digest, cluster = known.get(row, (None, None))
            if digest is None:
                raise ClusterError(
                    f"row {row!r} has no cluster: {len(known)} other rows were clustered. Cluster the captions "
                    "that are trained on."
                )
            if digest != caption_digest(caption):
                raise ClusterError(
                    f"row {row!r} was clustered with another caption than {caption!r}; cluster these captions."
                )
            labels[place] = cluster
        return labels

    def summary(self) -> dict[str, Any]:
        """All data except the labels, for records and model cards."""
        return {
            "num_clusters": self.num_clusters,
            "settings": asdict(self.settings),
            "source": self.source,
            "outliers_before": self.outliers_before,
            "outliers_after": self.outliers_after,
            "sizes": self.sizes,
            "top_words": self.top_words,
            "libraries": self.libraries,
        }

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Writes ``clusters.json`` and ``labels.parquet`` atomically; existing clusters are replaced."""
        target = checked_target(directory)

        def write(fresh: Path) -> None:
            parquet.write_table(self.rows, fresh / LABELS)
            write_json(fresh / INFO, {"format": FORMAT, "version": VERSION, **self.summary()})

        replace_directory(target, write)

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> "CaptionClusters":
        """
        Reads clusters.

        Raises:
            ClusterError: if the directory contains no clusters, another version, or damaged files.
        """
        path = Path(directory)
        try:
            info = read_json(path / INFO)
        except ValueError as error:
            raise ClusterError(f"clusters {path}: {error}") from error
        if not isinstance(info, dict) or info.get("format") != FORMAT:
            raise ClusterError(f"clusters {path}: no {INFO} found; not written by `auricle cluster`.")
        if info.get("version") != VERSION:
            raise ClusterError(
                f"clusters {path}: version {info.get('version')!r}, but this program reads {VERSION}."
            )
        try:
            rows = parquet.read_table(path / LABELS)
        except (OSError, pa.ArrowException) as error:
            raise ClusterError(f"clusters {path}: {LABELS} is missing or damaged; cluster again.") from error
        try:
            clusters = cls(
                rows=rows,
                settings=ClusterSettings(**info["settings"]),
                sizes=[int(size) for size in info["sizes"]],
                top_words=[list(words) for words in info["top_words"]],
                source=dict(info["source"]),
                outliers_before=float(info["outliers_before"]),
                outliers_after=float(info["outliers_after"]),
                libraries=dict(info["libraries"]),
            )
        except KeyError as error:
            raise ClusterError(f"clusters {path}: {INFO} lacks {error}; cluster again.") from error
        except (TypeError, ValueError) as error:
            raise ClusterError(f"clusters {path}: {INFO} is damaged ({error}); cluster again.") from error
        clusters._check(path)
        return clusters

    def _check(self, path: Path) -> None:
        if not self.rows.schema.equals(LABEL_TYPES):
            raise ClusterError(
                f"clusters {path}: {LABELS} has the columns {self.rows.schema.names}, but must have "
                f"{LABEL_TYPES.names}."
            )
        row, times = max(
            Counter(self.rows["row_id"].to_pylist()).items(), key=lambda item: item[1], default=("", 1)
        )
        if times > 1:
            raise ClusterError(
                f"clusters {path}: {LABELS} contains row {row!r} {times} times; cluster again."
            )
        counts = Counter(self.rows["cluster"].to_pylist())
        if counts != dict(enumerate(self.sizes)) or len(self.top_words) != len(self.sizes):
            raise ClusterError(f"clusters {path}: {LABELS} and {INFO} belong to different clusterings.")


def checked_target(directory: str | os.PathLike[str]) -> Path:
    """
    A directory that clusters may be written to: a new or empty one, or one with clusters.

    Raises:
        ClusterError: if it is a file or contains other files.
    """
    target = Path(directory)
    if target.exists() and not target.is_dir():
        raise ClusterError(f"{target}: is a file; name a directory.")
    if target.exists() and not (target / INFO).is_file() and any(target.iterdir()):
        raise ClusterError(f"{target}: the directory contains other files; choose another directory.")
    return target


def vote_per_clip(clip_ids: list[str], labels: np.ndarray) -> np.ndarray:
    """Every label replaced by the most frequent one of its clip, of equally frequent ones the lowest."""
    votes: dict[str, Counter] = {}
    for clip, label in zip(clip_ids, labels.tolist(), strict=True):
        votes.setdefault(clip, Counter())[label] += 1
    winner = {clip: min(counts, key=lambda label: (-counts[label], label)) for clip, counts in votes.items()}
    return np.asarray([winner[clip] for clip in clip_ids], dtype=np.int64)


def renumbered(labels: np.ndarray) -> np.ndarray:
    """Labels as 0, 1, ... by decreasing size; of equal sizes the one that occurs first comes first."""
    first: dict[int, int] = {}
    for place, label in enumerate(labels.tolist()):
        first.setdefault(label, place)
    sizes = Counter(labels.tolist())
    order = sorted(first, key=lambda label: (-sizes[label], first[label]))
    numbers: Mapping[int, int] = {label: number for number, label in enumerate(order)}
    return np.asarray([numbers[label] for label in labels.tolist()], dtype=np.int64)


__all__ = [
    "CaptionClusters",
    "ClusterError",
    "ClusterSettings",
    "Method",
    "checked_target",
    "renumbered",
    "vote_per_clip",
]
