"""Clustering captions by their vectors: UMAP with HDBSCAN, BERTopic, or k-means."""

import importlib.metadata
import importlib.util
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from ..teachers.bank_files import caption_digest
from .caption_clusters import (
    LABEL_TYPES,
    CaptionClusters,
    ClusterError,
    ClusterSettings,
    renumbered,
    vote_per_clip,
)
from .cluster_words import top_words

OUTLIER = -1
# What each method imports, the package that brings it, and the extra that brings the package.
NEEDED = {
    "umap-hdbscan": (("umap", "umap-learn"), ("sklearn", "scikit-learn")),
    "bertopic": (("bertopic", "bertopic"), ("umap", "umap-learn"), ("hdbscan", "hdbscan")),
    "kmeans": (("sklearn", "scikit-learn"),),
}
EXTRAS = {"umap-hdbscan": "cluster", "bertopic": "bertopic", "kmeans": "cluster"}


def cluster_captions(
    table: Dataset,
    embeddings: np.ndarray,
    settings: ClusterSettings,
    *,
    source: Mapping[str, Any] | None = None,
) -> CaptionClusters:
    """
    Gives every caption of a table a cluster (AISTAT report, arXiv 2509.16649, stage 3).

    Equal captions are clustered once and share their cluster. The methods:

    * ``umap-hdbscan``: UMAP by cosine to a few dimensions, HDBSCAN there; outliers go to the
      cluster with the nearest mean among the vectors as given.
    * ``bertopic``: the same two inside BERTopic, as in the report; outliers go to the topic of the highest
      probability.
    * ``kmeans``: k-means of the vectors, without outliers.

    Clusters are numbered by decreasing size. The same settings and vectors give the same clusters in any process.

    Args:
        table: rows of the project's schema.
        embeddings: float32 ``(rows, width)``, finite; scaled to unit length here.
        settings: method and its settings.
        source: source of the vectors, for the record.

    Raises:
        ClusterError: if vectors are missing or not finite, there are too few different captions, all are skipped,
            a cluster has a single caption, fewer than two clusters result, or a package is missing.
    """
    check_clusterable(table["caption"], settings)
    vectors, distinct, place = _distinct(table, embeddings)
    method = {"umap-hdbscan": _umap_hdbscan, "bertopic": _bertopic, "kmeans": _kmeans}[settings.method]
    with warnings.catch_warnings():
        # UMAP says that a seed means one job, numba and HDBSCAN speak of deprecations of their own.
        warnings.simplefilter("ignore")
        raw, assigned = method(vectors, distinct, settings)
    labels = assigned[place]
    if settings.per_clip:
        labels = vote_per_clip(list(table["clip_id"]), labels)
    labels = renumbered(labels)
    _check_clusters(labels, list(table["caption"]), settings)
    rows = pa.table(
        {
            "row_id": list(table["row_id"]),
            "clip_id": list(table["clip_id"]),
            "caption_digest": [caption_digest(caption) for caption in table["caption"]],
            "cluster": labels,
        },
        schema=LABEL_TYPES,
    )
    packages = sorted({package for _, package in NEEDED[settings.method]})
    return CaptionClusters(
        rows=rows,
        settings=settings,
        sizes=np.bincount(labels).tolist(),
        top_words=top_words(table["caption"], labels),
        source=dict(source or {}),
        outliers_before=float(np.mean(raw[place] == OUTLIER)),
        outliers_after=float(np.mean(labels == OUTLIER)),
        libraries={name: importlib.metadata.version(name) for name in packages},
    )


def check_clusterable(captions: Iterable[str], settings: ClusterSettings) -> None:
    """
    Runs all checks that are possible before captions are embedded.

    Raises:
        ClusterError: if a package is missing, or there are too few different captions for the settings.
    """
    check_packages(settings.method)
    _check_size(len(set(captions)), settings)


def to_nearest_mean(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """
    Assigns every vector without a cluster to the cluster with the nearest mean, by cosine.

    Args:
        vectors: ``(captions, width)``, unit length.
        labels: int64 ``(captions,)``, `OUTLIER` for those without.

    Returns:
        int64 ``(captions,)``, no `OUTLIER` among them.

    Raises:
        ClusterError: if no vector has a cluster.
    """
    names = np.unique(labels[labels != OUTLIER])
    if not len(names):
        raise ClusterError(
            "all captions are outliers: no cluster was found. Lower min_cluster_size, or take method 'kmeans'."
        )
    means = np.stack([vectors[labels == name].mean(axis=0) for name in names])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    nearest = names[(vectors @ means.T).argmax(axis=1)]
    return np.where(labels == OUTLIER, nearest, labels)


def _umap_hdbscan(
    vectors: np.ndarray, captions: Sequence[str], settings: ClusterSettings
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.cluster import HDBSCAN

    low = _umap(settings).fit_transform(vectors)
    # copy: scikit-learn's own default is about to change and warns otherwise.
    labels = HDBSCAN(min_cluster_size=settings.min_cluster_size, copy=True).fit_predict(low).astype(np.int64)
    # HDBSCAN marks what is not finite or infinitely far with -2 and -3.
    labels = np.where(labels < 0, OUTLIER, labels)
    return labels, to_nearest_mean(vectors, labels)


def _bertopic(
    vectors: np.ndarray, captions: Sequence[str], settings: ClusterSettings
) -> tuple[np.ndarray, np.ndarray]:
    from bertopic import BERTopic
    from hdbscan import HDBSCAN

    model = BERTopic(
        umap_model=_umap(settings),
        hdbscan_model=HDBSCAN(min_cluster_size=settings.min_cluster_size, prediction_data=True),
        embedding_model=None,
        calculate_probabilities=True,
        min_topic_size=settings.min_cluster_size,
    )
    topics, probabilities = model.fit_transform(list(captions), embeddings=vectors)
    labels = np.asarray(topics, dtype=np.int64)
    if (labels == OUTLIER).all() or np.ndim(probabilities) != 2:
        return labels, to_nearest_mean(vectors, labels)
    assigned = np.where(labels == OUTLIER, np.asarray(probabilities).argmax(axis=1), labels)
    return labels, assigned


def _kmeans(
    vectors: np.ndarray, captions: Sequence[str], settings: ClusterSettings
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.cluster import KMeans

    model = KMeans(settings.num_clusters, n_init=10, random_state=settings.seed)
    labels = model.fit_predict(vectors).astype(np.int64)
    return labels, labels


def _umap(settings: ClusterSettings) -> Any:
    from umap import UMAP

    return UMAP(
        n_neighbors=settings.neighbors,
        n_components=settings.dimensions,
        min_dist=0.0,
        metric="cosine",
        random_state=settings.seed,
        n_jobs=1,
    )


def _distinct(table: Dataset, embeddings: np.ndarray) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Unit vectors of the distinct captions, the captions, and the place of every row's among them."""
    embeddings = np.asarray(embeddings)
    captions = list(table["caption"])
    if embeddings.ndim != 2 or len(embeddings) != len(captions):
        raise ClusterError(
            f"embeddings have shape {embeddings.shape}, but must be one vector a caption ({len(captions)})."
        )
    broken = ~np.isfinite(embeddings).all(axis=1)
    if broken.any():
        row = int(broken.argmax())
        raise ClusterError(f"row {table['row_id'][row]!r}: the vector of its caption is not finite.")
    first: dict[str, int] = {}
    for row, caption in enumerate(captions):
        first.setdefault(caption, row)
    vectors = embeddings[list(first.values())].astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    number = {caption: place for place, caption in enumerate(first)}
    return vectors, list(first), np.asarray([number[caption] for caption in captions], dtype=np.int64)


def _check_size(captions: int, settings: ClusterSettings) -> None:
    if settings.method == "kmeans":
        what, needed = f"num_clusters={settings.num_clusters}", settings.num_clusters
    else:
        needed = max(settings.min_cluster_size, settings.neighbors, settings.dimensions + 2) + 1
        what = f"min_cluster_size={settings.min_cluster_size} and neighbors={settings.neighbors}"
    if captions < needed:
        raise ClusterError(
            f"{captions} different captions are too few for {what}: at least {needed} are needed. Lower the "
            "setting, or cluster more captions."
        )


def _check_clusters(labels: np.ndarray, captions: Sequence[str], settings: ClusterSettings) -> None:
    advice = "lower num_clusters" if settings.method == "kmeans" else "change min_cluster_size"
    sizes = np.bincount(labels)
    if len(sizes) < 2:
        raise ClusterError(f"all captions fell into one cluster, but at least two are needed; {advice}.")
    if sizes.min() == 1:
        label = int(sizes.argmin())
        only = captions[int((labels == label).argmax())]
        raise ClusterError(
            f"{int((sizes == 1).sum())} of {len(sizes)} clusters have a single caption, such as {only!r}: no head "
            f"can learn them; {advice}."
        )


def check_packages(method: str) -> None:
    """
    Raises:
        ClusterError: if a package that a method needs is not installed.
    """
    missing = [package for module, package in NEEDED[method] if importlib.util.find_spec(module) is None]
    if missing:
        raise ClusterError(
            f"method {method!r} needs {', '.join(missing)}: pip install 'auricle[{EXTRAS[method]}]'."
        )


__all__ = ["check_clusterable", "check_packages", "cluster_captions", "to_nearest_mean"]
