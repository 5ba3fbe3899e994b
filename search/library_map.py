"""A map of a library: similar sounds are close to each other, coloured by cluster; points play on click."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow

from ..evaluation.reports.picture_page import Part, as_text, check_page_path, check_plotly, write_picture_page
from .errors import SearchError
from .query.ranking import BACKGROUND_QUERIES
from .sound_index import SoundIndex
from .store.columns import read_columns

FEWEST_FOR_UMAP = 16
FILES_A_READ = 2_000
OUTLIER = -1
_COLUMNS = ["path", "window", "start", "end", "duration", "tags", "license", "metadata", "vector"]
_PLAYER = """
<p id="chosen">Click a point to hear its file.</p><audio id="player" controls preload="none"></audio>
"""
# textContent: a name is never markup.
_SCRIPT = """
document.getElementById("map").on("plotly_click", function (event) {
  const found = event.points[0].customdata;
  document.getElementById("chosen").textContent = found[1];
  const player = document.getElementById("player");
  player.src = found[0];
  player.play().catch(function (reason) {
    if (reason.name !== "AbortError") {
      document.getElementById("chosen").textContent = found[1] + " cannot be played here: " + reason.message;
    }
  });
});
"""


@dataclass(frozen=True)
class LibraryMap:
    """
    Attributes:
        path, tags, license, duration: of each file, ``(files,)``; seconds.
        place: ``(files, 2)`` float32.
        cluster: int64 ``(files,)``, 0 for the largest; -1 for files in none.
        names: names of each cluster, the common queries that fit it most beyond the others.
        left_out: number of files beyond the limit.
    """

    path: np.ndarray
    tags: np.ndarray
    license: np.ndarray
    duration: np.ndarray
    place: np.ndarray
    cluster: np.ndarray
    names: tuple[str, ...]
    left_out: int


def make_library_map(
    index: SoundIndex, *, min_cluster_size: int | None = None, limit: int = 20_000, seed: int = 42
) -> LibraryMap:
    """
    Places the files of an index by UMAP and groups them by HDBSCAN in five dimensions of another UMAP.

    Fewer than 16 files are placed by their two principal components, and are one group.

    Args:
        index: index of sounds.
        min_cluster_size: smallest group of files; if not given, a hundredth of them, at least 5.
        limit: maximum number of files; from more, a sample is drawn with the seed.
        seed: seed of drawing and of UMAP: the same index gives the same map.

    Raises:
        ImportError: if UMAP or scikit-learn is not installed.
        SearchError: for an empty index, or a cluster size below 2.
    """
    if min_cluster_size is not None and min_cluster_size < 2:
        raise SearchError(f"min_cluster_size={min_cluster_size}: must be 2 or more.")
    paths = sorted(index.store.file_rows(["path"]).column("path").to_pylist())
    if not paths:
        raise SearchError(f"{index.directory}: the index is empty; bring it up to date with auricle index.")
    chosen = paths
    if len(paths) > limit:
        drawn = np.random.default_rng(seed).choice(len(paths), limit, replace=False)
        chosen = [paths[place] for place in sorted(drawn)]
    # For a large library, read only the vectors of the drawn files.
    rows = [
        index.store.file_rows(_COLUMNS, chosen[start : start + FILES_A_READ])
        for start in range(0, len(chosen), FILES_A_READ)
    ]
    files = read_columns(arrow.concat_tables(rows))["files"]
    place, cluster = _placed(files["vector"], min_cluster_size, seed)
    return LibraryMap(
        path=files["path"],
        tags=files["tags"],
        license=files["license"],
        duration=files["duration"],
        place=place,
        cluster=cluster,
        names=_cluster_names(files["vector"], cluster, index.background_vectors),
        left_out=len(paths) - len(chosen),
    )


def write_library_map(out: Path, found: LibraryMap, title: str) -> None:
    """
    Writes the map as one HTML file, which plays the original files and contains no copies.

    Args:
        out: path that ends in ``.html``.
        found: the map.
        title: title of the page.

    Raises:
        ImportError: if plotly is not installed.
        ValueError: for another ending.
        OSError: if it cannot be written.
    """
    check_plotly()
    check_page_path(out)
    import plotly.graph_objects as plot
    from plotly.colors import qualitative

    figure = plot.Figure()
    colours = qualitative.Dark24
    for label in sorted(set(found.cluster.tolist()), key=lambda one: (one == OUTLIER, one)):
        rows = np.flatnonzero(found.cluster == label)
        outlier = label == OUTLIER
        name = "in no cluster" if outlier else found.names[label]
        figure.add_trace(
            plot.Scattergl(
                x=found.place[rows, 0],
                y=found.place[rows, 1],
                mode="markers",
                name=f"{as_text(name)} ({len(rows):,})",
                marker={"size": 7, "color": "#b0b7bf" if outlier else colours[label % len(colours)]},
                text=[_hover(found, row) for row in rows],
                customdata=[[Path(found.path[row]).as_uri(), found.path[row]] for row in rows],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    hidden = {"visible": False}
    figure.update_layout(
        height=640,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis=hidden,
        yaxis={**hidden, "scaleanchor": "x"},
        plot_bgcolor="white",
        hoverlabel={"align": "left"},
        legend={"orientation": "h", "y": -0.02},
    )
    told = f"{len(found.path):,} files"
    if found.left_out:
        told += f", drawn from {len(found.path) + found.left_out:,}"
    text = f"{told}. Files that the model finds similar are close to each other. A click in the legend hides a cluster."
    write_picture_page(out, title, [Part("", text, figure, html=_PLAYER, name="map")], script=_SCRIPT)


def _hover(found: LibraryMap, row: int) -> str:
    lines = [f"<b>{as_text(Path(found.path[row]).name)}</b>", f"{found.duration[row]:.1f} s"]
    if found.tags[row]:
        lines.append(as_text(", ".join(found.tags[row])))
    if found.license[row]:
        lines.append(as_text(found.license[row]))
    return "<br>".join(lines)


def _placed(vectors: np.ndarray, min_cluster_size: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if len(vectors) < FEWEST_FOR_UMAP:
        centred = vectors - vectors.mean(0)
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        flat = np.zeros((len(vectors), 2), np.float32)
        flat[:, : min(2, len(axes))] = centred @ axes[:2].T
        return flat, np.zeros(len(vectors), np.int64)
    try:
        from sklearn.cluster import HDBSCAN
        from umap import UMAP
    except ImportError as error:
        raise ImportError("a map needs UMAP and scikit-learn: pip install 'auricle[pictures]'.") from error
    neighbours = min(15, len(vectors) - 1)

    def reduced(dimensions: int, distance: float) -> np.ndarray:
        shared: dict[str, Any] = {"n_neighbors": neighbours, "metric": "cosine", "n_jobs": 1}
        made = UMAP(n_components=dimensions, min_dist=distance, random_state=seed, **shared)
        return made.fit_transform(vectors)

    size = min_cluster_size or max(5, len(vectors) // 100)
    labels = HDBSCAN(min_cluster_size=min(size, len(vectors)), copy=True).fit_predict(reduced(5, 0.0))
    return reduced(2, 0.1).astype(np.float32), _largest_first(np.where(labels < 0, OUTLIER, labels))


def _largest_first(labels: np.ndarray) -> np.ndarray:
    found, sizes = np.unique(labels[labels != OUTLIER], return_counts=True)
    order = found[np.lexsort((found, -sizes))]
    new = {int(old): place for place, old in enumerate(order)}
    return np.array([new.get(int(label), OUTLIER) for label in labels], np.int64)


def _cluster_names(vectors: np.ndarray, cluster: np.ndarray, background: np.ndarray) -> tuple[str, ...]:
    # How much better a query fits a cluster than the library: some queries fit everything well.
    cosines = vectors @ background.T
    usual = cosines.mean(0)
    names, count = [], int(cluster.max()) + 1
    for label in range(count):
        gain = cosines[cluster == label].mean(0) - (usual if count > 1 else 0.0)
        best = np.argsort(-gain, kind="stable")[:2]
        names.append(", ".join(BACKGROUND_QUERIES[place] for place in best))
    return tuple(names)


__all__ = ["LibraryMap", "make_library_map", "write_library_map"]
