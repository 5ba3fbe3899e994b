"""`auricle cluster`: groups the captions of a data set by what they say."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .dataset_argument import CAPTIONS_HELP, load_dataset_argument
from .failures import one_line_errors, printable, quiet_libraries

if TYPE_CHECKING:
    from ..training.clusters.caption_clusters import CaptionClusters

_SHOWN = 10


class Method(StrEnum):
    """Ways of clustering."""

    umap_hdbscan = "umap-hdbscan"
    bertopic = "bertopic"
    kmeans = "kmeans"


def cluster(
    dataset: Annotated[str, typer.Argument(help=CAPTIONS_HELP)],
    embed_with: Annotated[
        str,
        typer.Option(
            help="A saved dual encoder (its text tower), or a sentence-transformers model by id or path."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the labels; new, empty, or clusters to replace.")],
    method: Annotated[
        Method, typer.Option(help="bertopic is the report's, an optional extra; kmeans needs no UMAP.")
    ] = Method.umap_hdbscan,
    split: Annotated[str, typer.Option(help="Split whose captions are clustered.")] = "train",
    stage: Annotated[str | None, typer.Option(help="Stage of the recipe whose data are meant.")] = None,
    min_cluster_size: Annotated[int, typer.Option(help="Smallest cluster that HDBSCAN makes.")] = 30,
    num_clusters: Annotated[int, typer.Option(help="Clusters that k-means makes.")] = 150,
    neighbors: Annotated[int, typer.Option(help="UMAP's neighbours of a caption.")] = 15,
    dimensions: Annotated[int, typer.Option(help="UMAP's dimensions.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of UMAP and k-means.")] = 42,
    per_clip: Annotated[
        bool, typer.Option("--per-clip", help="Give all captions of a clip its most frequent cluster.")
    ] = False,
    prompt: Annotated[str, typer.Option(help="Put before every caption, as e5 wants 'query: '.")] = "",
    batch_size: Annotated[int, typer.Option(min=1, help="Captions embedded at a time.")] = 64,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Cluster the captions of a data set and write a label for each.

    Training with cluster heads reads them (clusters.labels of a recipe). Settings, sizes, outliers and each
    cluster's words are written beside the labels.
    """
    with one_line_errors():
        from ..encoders.cpu_threads import set_cpu_threads
        from ..training.clusters.caption_clusters import ClusterSettings, checked_target
        from ..training.clusters.caption_embedding import embed_captions_with
        from ..training.clusters.cluster_methods import check_clusterable, cluster_captions

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
                embed_with, list(table["caption"]), prompt=prompt, batch_size=batch_size, progress=progress
            )
            clusters = cluster_captions(table, vectors, settings, source=source)
            clusters.save(out)
    _report(clusters, out)


def _report(clusters: "CaptionClusters", out: Path) -> None:
    sizes = sorted(clusters.sizes)
    typer.echo(f"wrote {out}: {sum(sizes)} captions in {clusters.num_clusters} clusters")
    typer.echo(f"sizes: smallest {sizes[0]}, median {sizes[len(sizes) // 2]}, largest {sizes[-1]}")
    typer.echo(f"outliers: {clusters.outliers_before:.1%} before they were assigned, none after")
    for number, words in enumerate(clusters.top_words[:_SHOWN]):
        typer.echo(printable(f"{number:>4}  {clusters.sizes[number]:>5} captions  {', '.join(words)}"))
    if clusters.num_clusters > _SHOWN:
        typer.echo(f"      and {clusters.num_clusters - _SHOWN} more")
