"""`auricle map`: a picture of a library."""

from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors, printable, quiet_libraries


def draw_map(
    index_dir: Annotated[
        str,
        typer.Argument(metavar="INDEX", help="Directory of the index, or its URI such as s3://bucket/index."),
    ],
    out: Annotated[Path, typer.Argument(help="The page to write, ending in .html.")],
    min_cluster_size: Annotated[
        int | None,
        typer.Option(min=2, help="Smallest cluster; a hundredth of the files, at least 5, if not given."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Files at most; of more, so many are drawn by the seed.")
    ] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Of drawing and placing: same index, same map.")] = 42,
    title: Annotated[str | None, typer.Option(help="Of the page; the index's name if not given.")] = None,
) -> None:
    """
    Draw a map of an index: sounds that are alike lie near each other, coloured by cluster, to hover and play.

    One HTML file that needs no network. It plays the files from where they lie on this machine. Needs
    pip install 'auricle[pictures]'.
    """
    with one_line_errors():
        quiet_libraries()
        from ..evaluation.reports.picture_page import check_page_path, check_plotly
        from ..search.errors import SearchError
        from ..search.index_encoder import load_encoder_on_half_the_cores
        from ..search.library_map import make_library_map, write_library_map
        from ..search.sound_index import SoundIndex

        with one_line_errors(SearchError, ValueError, OSError, ImportError):
            # Before the minutes that placing may take.
            check_page_path(out)
            check_plotly()
            index = SoundIndex(index_dir, loader=load_encoder_on_half_the_cores)
            found = make_library_map(index, min_cluster_size=min_cluster_size, limit=limit, seed=seed)
            write_library_map(out, found, title or f"Sounds of {Path(index_dir).name}")
        told = f"{len(found.path):,} files in {len(found.names):,} clusters"
        typer.echo(printable(f"{told}: {out}"))
