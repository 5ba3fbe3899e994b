"""Shared code of the index commands: options, opening the index, printing results."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .failures import one_line, one_line_errors, quiet_libraries, reader_may_leave
from .spare_imports import spare_pandas

if TYPE_CHECKING:
    from ..search.query.copies import CopyGroup
    from ..search.sound_index import Hit, SoundIndex

DEFAULT_INDEX = "sounds.auricle"
# Exit code of a query that nothing fits; errors have 2.
NO_RESULTS = 3
# Copies of a result whose paths are printed.
NAMED_COPIES = 5

INDEX = typer.Option(
    "--index", envvar="AURICLE_INDEX", help="Index: a directory or a URI such as s3://bucket/index."
)
TOP = typer.Option("--top", "-k", min=1, help="Number of results.")
JSON = typer.Option("--json", help="Print the results as JSON.")
MIN_SCORE = typer.Option(
    help="Minimum score. The score is the cosine similarity, minus half of that to --negative."
)
RANK = typer.Option(
    "--rank",
    help="'window' ranks files by their best window, 'clip' by the embedding of the whole file.",
)
PATH = typer.Option("--path", help="Only files whose path matches this pattern, such as '*/rain/*'.")
TAG = typer.Option(help="Only files in a folder with this name or with this tag in their metadata.")
LICENSE = typer.Option(help="Only files whose metadata name this license.")
METADATA = typer.Option("--metadata", help="Only files with this metadata entry: NAME=VALUE. Repeatable.")
FILE_TYPE = typer.Option("--type", help="Only files whose name has this ending, such as flac.")
EXACT = typer.Option(
    "--exact", help="Compare with every window. A large index otherwise uses approximate search."
)
RAY = typer.Option("--ray", help="Run on a Ray cluster: its address, such as 10.0.0.1:6379, or 'auto'.")
TEMPLATE = typer.Option(
    help="Prompt template for queries of one to four words; {} stands for the query. '{}' turns the template off."
)
MODEL = typer.Option(
    "--model",
    help="Model of the index, if it was moved: its new directory or Hub id. The index remembers it.",
)
MIN_DURATION = typer.Option(min=0.0, help="Minimum duration of a file in seconds.")
MAX_DURATION = typer.Option(min=0.0, help="Maximum duration of a file in seconds.")
EXPORT = typer.Option(
    "--export",
    help="Also write the results to this file: .csv, .json, or with the moments .m3u (VLC), .cue, .txt (Audacity "
    "labels) or .reaper.csv (Reaper regions); or as links to this folder. Labels and regions need one recording.",
)


def search_errors() -> Any:
    """The context in which errors of a search are printed in one line; also silences the libraries."""
    quiet_libraries()
    from ..search.errors import SearchError

    return one_line_errors(SearchError, OSError, ImportError)


def open_index(
    index_dir: str,
    text_tower: Path | None,
    ray: str | None = None,
    template: str | None = None,
    model: str | None = None,
    trust_remote_code: bool = False,
    engine: str | None = None,
) -> "SoundIndex":
    """Opens an index; the model is loaded when a query needs it, by the index's engine unless another one is given."""
    spare_pandas()
    from ..search.index_creation import loader_by_engine
    from ..search.sound_index import SoundIndex

    chosen = {} if template is None else {"template": template}
    return SoundIndex(
        index_dir,
        text_tower=text_tower,
        ray=ray,
        model=model,
        trust_remote_code=trust_remote_code,
        loader=loader_by_engine(engine),
        **chosen,
    )


def show_hits(
    sounds: "SoundIndex | None",
    hits: "list[Hit]",
    as_json: bool,
    export: Path | None,
    why: Sequence[str] = (),
    *,
    title: str = "",
    groups: "Sequence[CopyGroup] | None" = None,
) -> None:
    """
    Prints results, one a line or as JSON, and exports them before that.

    Args:
        sounds: the index; None if an engine answered.
        hits: the best first.
        as_json: print them as JSON.
        export: a file or folder that they are also written to; or None.
        why: reasons for an empty result, one sentence each, for stderr.
        title: what was asked, for the names of exported moments.
        groups: the same results with their copies, where copies are grouped.

    Raises:
        typer.Exit: with code `NO_RESULTS` if the result is empty.
    """
    if export is not None:
        from ..search.exports import export_hits

        export_hits(export, hits, title)
    with reader_may_leave():
        if as_json:
            from ..search.query.hits import hits_as_json, rows_as_json

            encoding = sys.stdout.encoding or "utf-8"
            if groups is None:
                typer.echo(hits_as_json(hits, encoding=encoding))
            else:
                typer.echo(rows_as_json([group.as_row() for group in groups], encoding=encoding))
        else:
            if not hits:
                typer.echo("no results")
            show_rows(hits, groups)
    if not hits:
        for line in why:
            typer.echo(one_line(line), err=True)
        raise typer.Exit(NO_RESULTS)


def show_rows(hits: "list[Hit]", groups: "Sequence[CopyGroup] | None" = None) -> None:
    """Prints results, one a line, and below it what is grouped with it."""
    for rank, hit in enumerate(hits, start=1):
        percentile = "" if hit.percentile is None else f"  {hit.percentile:3.0f} %"
        span = f"{_clock(hit.start)}-{_clock(hit.end)}"
        typer.echo(one_line(f"{rank:>3}. {hit.cosine:6.3f}{percentile}  {span:>13}  {hit.path}"))
        told = groups[rank - 1].told() if groups else ""
        if told:
            others = [other.path for other in (*groups[rank - 1].copies, *groups[rank - 1].near)]
            more = f" and {len(others) - NAMED_COPIES:,} more" if len(others) > NAMED_COPIES else ""
            typer.echo(one_line(f"     {told}: {', '.join(others[:NAMED_COPIES])}{more}"))


def why_none(
    sounds: "SoundIndex", filters: Mapping[str, Any], min_score: float | None, ask: "Callable[..., list[Hit]]"
) -> list[str]:
    """
    Reasons why a query has no results, one sentence each.

    Args:
        sounds: the index.
        filters: filters of the query.
        min_score: minimum score of the query, or None.
        ask: repeats the query with other values of ``top`` and ``min_score``.
    """
    from ..search.engine.resident_index import why_none as find_why

    return find_why(sounds, filters, min_score, ask)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"
