"""`auricle cluster`: clusters the captions of a dataset by topic."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .dataset_argument import CAPTIONS_HELP, load_dataset_argument
from .encoder_options import TRUST_REMOTE_CODE
from .failures import one_line_errors, printable, quiet_libraries

if TYPE_CHECKING:
    from ..training.clusters.caption_clusters import CaptionClusters

_SHOWN = 10


class Method(StrEnum):
    """Clustering methods."""

    umap_hdbscan = "umap-hdbscan"
    bertopic = "bertopic"
    kmeans = "kmeans"


def cluster(
    dataset: Annotated[str, typer.Argument(help=CAPTIONS_HELP)],
    embed_with: Annotated[
        str,
        typer.Option(
            help="Model that embeds the captions: a saved Auricle model or a sentence-transformers model, by "
            "directory or Hub id."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Directory for the labels: new, empty, or with earlier clusters, which are replaced."
        ),
    ],
    method: Annotated[
        Method,
        typer.Option(
            help="Clustering method. bertopic is the method of the technical report and needs "
            "pip install 'auricle[bertopic]'; kmeans needs no UMAP."
        ),
    ] = Method.umap_hdbscan,
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "train",
    stage: Annotated[str | None, typer.Option(help="Stage of the recipe that defines the dataset.")] = None,
    min_cluster_size: Annotated[
        int, typer.Option(help="HDBSCAN: minimum number of captions in a cluster.")
    ] = 30,
    num_clusters: Annotated[int, typer.Option(help="k-means: number of clusters.")] = 150,
    neighbors: Annotated[int, typer.Option(help="UMAP: number of neighbours.")] = 15,
    dimensions: Annotated[int, typer.Option(help="UMAP: number of output dimensions.")] = 5,
    seed: Annotated[int, typer.Option(help="Random seed of UMAP and k-means.")] = 42,
    per_clip: Annotated[
        bool,
        typer.Option("--per-clip", help="Assign all captions of a clip to the clip's most frequent cluster."),
    ] = False,
    prompt: Annotated[
        str, typer.Option(help="Prefix for every caption, such as 'query: ' for E5 models.")
    ] = "",
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Captions per batch.")] = 64,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Cluster the captions of a dataset.

    The command writes one cluster label per caption, with the settings, the cluster sizes, the share of
    outliers and the most characteristic words of each cluster. Cluster heads train on these labels
    (clusters.labels of a recipe). Needs pip install 'auricle[cluster]'.
    """
    with one_line_errors():
        from ..encoders.cpu_threads import set_cpu_threads
        from ..files.cache_root import cache_root
        from ..files.content_digests import ContentDigests
        from ..training.clusters.caption_clusters import ClusterSettings, checked_target
        from ..training.clusters.caption_embedding import embed_captions_with
        from ..training.clusters.cluster_methods import check_clusterable, cluster_captions
        from ..training.models.model_files import model_files_fingerprint

        quiet_libraries()
        set_cpu_threads(None)
        with one_line_errors(ValueError, OSError, ImportError):
            settings = ClusterSettings(
                method=method.value,
                min_cluster_size=min_cluster_size,
                num_clusters=num_clusters,
                neighbors=neighbors,
                dimensions=dimensions,
                seed=seed,
                per_clip=per_clip,
            )
            checked_target(out)
            table = load_dataset_argument(
                dataset, split=split, stage=stage, captions_only=True, progress=progress
            )[split]
            # Before minutes of embedding, not after.
            check_clusterable(table["caption"], settings)
            vectors, source = embed_captions_with(
                embed_with,
                list(table["caption"]),
                prompt=prompt,
                batch_size=batch_size,
                trust_remote_code=trust_remote_code,
                progress=progress,
            )
            files = model_files_fingerprint(embed_with, ContentDigests(cache_root()))
            clusters = cluster_captions(table, vectors, settings, source={**source, "files": files})
            clusters.save(out)
    _report(clusters, out)


def _report(clusters: "CaptionClusters", out: Path) -> None:
    sizes = sorted(clusters.sizes)
    typer.echo(f"wrote {out}: {sum(sizes)} captions in {clusters.num_clusters} clusters")
    typer.echo(f"sizes: smallest {sizes[0]}, median {sizes[len(sizes) // 2]}, largest {sizes[-1]}")
    typer.echo(f"outliers: {clusters.outliers_before:.1%} before reassignment, none after")
    for number, words in enumerate(clusters.top_words[:_SHOWN]):
        typer.echo(printable(f"{number:>4}  {clusters.sizes[number]:>5} captions  {', '.join(words)}"))
    if clusters.num_clusters > _SHOWN:
        typer.echo(f"      and {clusters.num_clusters - _SHOWN} more")
