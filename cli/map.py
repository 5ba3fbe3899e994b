"""`auricle map`: draws a map of an index as an HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors, printable, quiet_libraries


def draw_map(
    index_dir: Annotated[
        str,
        typer.Argument(metavar="INDEX", help="Index: a directory or a URI such as s3://bucket/index."),
    ],
    out: Annotated[Path, typer.Argument(help="Output file (.html).")],
    min_cluster_size: Annotated[
        int | None,
        typer.Option(
            min=2, help="Minimum number of files in a cluster. Default: 1 % of the files, at least 5."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Maximum number of files. A larger index is sampled at random.")
    ] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the sample and of the layout.")] = 42,
    title: Annotated[
        str | None, typer.Option(help="Title of the page. Default: the name of the index.")
    ] = None,
) -> None:
    """
    Draw a map of an index as an HTML page.

    Each file is a point; similar files are close to each other, and colours show clusters. Point at a file to
    see its name, click to play it. The page is one HTML file and needs no network. It plays the files from
    their paths on this machine. Needs pip install 'auricle[pictures]'.
    """
    with one_line_errors():
        quiet_libraries()
        from ..evaluation.reports.picture_page import check_page_path, check_plotly
        from ..search.errors import SearchError
        from ..search.index_creation import load_encoder_on_half_the_cores
        from ..search.library_map import make_library_map, write_library_map
        from ..search.sound_index import SoundIndex

        with one_line_errors(SearchError, ValueError, OSError, ImportError):
            # Before the minutes that placing may take.
            check_page_path(out)
            check_plotly()
            index = SoundIndex(index_dir, loader=load_encoder_on_half_the_cores)
            found = make_library_map(index, min_cluster_size=min_cluster_size, limit=limit, seed=seed)
            write_library_map(out, found, title or f"Sounds of {Path(index_dir).name}")
        counts = f"{len(found.path):,} files in {len(found.names):,} clusters"
        typer.echo(printable(f"wrote {out}: {counts}"))
