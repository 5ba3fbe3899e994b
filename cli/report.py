"""`auricle report`: pictures of a training run."""

from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors, printable, quiet_libraries


def report(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run, such as runs/demo.")],
    out: Annotated[
        Path | None, typer.Option(help="The page to write; report.html in the run if not given.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split of the recipe's data to look at; the first test split if not given."),
    ] = None,
    clips: Annotated[
        int, typer.Option(min=2, max=500, help="Clips in the similarity matrix, the first of the split.")
    ] = 40,
    clusters: Annotated[
        int | None,
        typer.Option(min=1, help="Clusters of the split's captions; some by its size if not given."),
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Draw a run: losses and figures by step, similarities of a small split, retrieval by cluster of captions.

    One HTML file that needs no network. Needs pip install 'auricle[pictures]'.
    """
    with one_line_errors():
        quiet_libraries()
        from ..encoders.cpu_threads import set_cpu_threads
        from ..evaluation.reports.picture_page import check_page_path, check_plotly
        from ..training.runs.run_report import read_run, write_run_report

        set_cpu_threads(None)
        with one_line_errors(ValueError, OSError, ImportError):
            page = out or run / "report.html"
            check_page_path(page)
            check_plotly()
            found = read_run(run, split=split, clips=clips, clusters=clusters, progress=progress)
            write_run_report(page, found)
        typer.echo(printable(str(page)))
