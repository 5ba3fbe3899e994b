"""`auricle index`, `search`, `similar`, `moments`, `serve`: builds and queries an index of recordings."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .failures import one_line, one_line_errors, printable, quiet_libraries, reader_may_leave

if TYPE_CHECKING:
    from ..search.sound_index import Hit, SoundIndex

DEFAULT_INDEX = "sounds.auricle"

_INDEX = typer.Option(
    "--index", envvar="AURICLE_INDEX", help="Index: a directory or a URI such as s3://bucket/index."
)
_TOP = typer.Option("--top", "-k", min=1, help="Number of results.")
_JSON = typer.Option("--json", help="Print the results as JSON.")
_MIN_SCORE = typer.Option(
    help="Minimum score. The score is the cosine similarity, minus half of that to --negative."
)
_PATH = typer.Option("--path", help="Only files whose path matches this pattern, such as '*/rain/*'.")
_TAG = typer.Option(help="Only files in a folder with this name or with this tag in their metadata.")
_LICENSE = typer.Option(help="Only files whose metadata name this license.")
_METADATA = typer.Option("--metadata", help="Only files with this metadata entry: NAME=VALUE. Repeatable.")
_EXACT = typer.Option(
    "--exact", help="Compare with every window. A large index otherwise uses approximate search."
)
_RAY = typer.Option("--ray", help="Run on a Ray cluster: its address, such as 10.0.0.1:6379, or 'auto'.")
_TEMPLATE = typer.Option(
    help="Prompt template for queries of one to four words; {} stands for the query. '{}' turns the template off."
)
_MIN_DURATION = typer.Option(min=0.0, help="Minimum duration of a file in seconds.")
_MAX_DURATION = typer.Option(min=0.0, help="Maximum duration of a file in seconds.")
_EXPORT = typer.Option(
    "--export", help="Also write the results to this .csv, .json or .m3u file, or as links to this folder."
)


def index(
    folders: Annotated[list[Path], typer.Argument(help="Folders of recordings, or single files.")],
    model: Annotated[
        str | None,
        typer.Option(help="Saved model: a directory or a Hub id. Needed for a new index only."),
    ] = None,
    index_dir: Annotated[str, _INDEX] = DEFAULT_INDEX,
    hop: Annotated[
        float | None,
        typer.Option(min=0.1, help="Hop between windows in seconds. Default: the length of a window."),
    ] = None,
    watch: Annotated[
        float | None,
        typer.Option(
            min=1.0, max=86_400.0, help="Keep running and update the index at this interval in seconds."
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            help="Also write the index to this .parquet, .npz, .csv or .m3u file, or as links to this folder.",
        ),
    ] = None,
    exact_windows: Annotated[
        int | None,
        typer.Option(
            min=0, help="New index: number of windows up to which search is exact. Default: 250,000."
        ),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Remove the files of a folder from the index even if the folder is missing or empty.",
        ),
    ] = False,
    ray: Annotated[str | None, _RAY] = None,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """
    Index folders of recordings, or update an index.

    The model embeds every recording window by window. If you run the command again, it embeds only new and
    changed files. It recognises moved files by their content and removes deleted files. You can stop it at
    any time; the next run continues. Unreadable files are skipped and listed at the end. Needs pip install
    'auricle[search]'.
    """
    with one_line_errors():
        quiet_libraries()
        from ..search.index_folder import IndexFolder
        from ..search.index_model import load_model_on_half_the_cores
        from ..search.sound_index import SearchError, SoundIndex
        from ..search.walking import check_root

        with one_line_errors(SearchError, OSError, ImportError):
            process = {"ray": ray, "loader": load_model_on_half_the_cores}
            if watch is not None and export is not None and not export.suffix:
                raise SearchError(
                    f"--export {export}: a folder of links cannot be combined with --watch; export to a file."
                )
            if not prune:
                # Before the model is loaded and a folder made for the index.
                for folder in folders:
                    check_root(folder)
            if model is not None:
                sounds = SoundIndex.create(
                    index_dir, model, hop_seconds=hop, exact_windows=exact_windows, **process
                )
            elif IndexFolder(index_dir).exists("index.json"):
                # The model is loaded once there is something to embed.
                sounds = SoundIndex(index_dir, **process)
                sounds.check_settings(hop_seconds=hop, exact_windows=exact_windows)
            else:
                raise SearchError(f"{index_dir}: no index found; to create one, give a model with --model.")

            reported: list[tuple[str, str]] | None = None
            while True:
                try:
                    report = sounds.update(folders, prune=prune, progress=progress)
                    # With --watch, only changes are printed.
                    if reported is None or report.changes or report.faults != reported:
                        typer.echo(report.line())
                        for path, reason in report.faults:
                            typer.echo(one_line(f"  skipped {path}: {reason}"), err=True)
                        if export is not None:
                            sounds.export(export)
                        reported = report.faults
                except (SearchError, OSError) as error:
                    if reported is None:
                        raise
                    # With --watch, go on: a disk may return, another writer may finish.
                    typer.echo(printable(f"error: {error}"), err=True)
                if watch is None:
                    break
                time.sleep(watch)
            typer.echo(printable(f"{len(sounds):,} files in {index_dir}"))


def search(
    sentence: Annotated[str, typer.Argument(help="Query: a sentence that describes the sound.")],
    index_dir: Annotated[str, _INDEX] = DEFAULT_INDEX,
    top: Annotated[int, _TOP] = 10,
    negative: Annotated[
        list[str] | None, typer.Option(help="Description of sounds to avoid. Repeatable.")
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Also match the words of file and folder names.")
    ] = False,
    in_file: Annotated[Path | None, typer.Option("--in", help="Search within this file only.")] = None,
    path: Annotated[str | None, _PATH] = None,
    tag: Annotated[str | None, _TAG] = None,
    min_duration: Annotated[float | None, _MIN_DURATION] = None,
    max_duration: Annotated[float | None, _MAX_DURATION] = None,
    license: Annotated[str | None, _LICENSE] = None,
    metadata: Annotated[list[str] | None, _METADATA] = None,
    min_score: Annotated[float | None, _MIN_SCORE] = None,
    exact: Annotated[bool, _EXACT] = False,
    ray: Annotated[str | None, _RAY] = None,
    text_tower: Annotated[
        Path | None,
        typer.Option(help="Exported text tower (ONNX directory). Queries then run without torch."),
    ] = None,
    template: Annotated[str | None, _TEMPLATE] = None,
    export: Annotated[Path | None, _EXPORT] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """
    Find the sounds that a sentence describes, each at its best moment.

    Each result has a score, a percentile, a time span and a path. The score is the cosine similarity, at most
    1. The percentile is the share of 48 common queries that score lower for this span.
    """
    with _errors():
        from ..search.filters import metadata_pairs

        filters = {
            "glob": path,
            "tag": tag,
            "min_duration": min_duration,
            "max_duration": max_duration,
            "file": in_file,
            "license": license,
            "metadata": metadata_pairs(metadata or []),
        }
        sounds = _open(index_dir, text_tower, ray, template)
        hits = sounds.search(
            sentence,
            top=top,
            negative=negative or [],
            names=names,
            min_score=min_score,
            exact=exact,
            **filters,
        )
        _show(sounds, hits, as_json, export)


def similar(
    file: Annotated[Path, typer.Argument(help="Query: a recording. It need not be in the index.")],
    index_dir: Annotated[str, _INDEX] = DEFAULT_INDEX,
    start: Annotated[float, typer.Option(min=0.0, help="Start of the part to compare, in seconds.")] = 0.0,
    end: Annotated[
        float | None,
        typer.Option(min=0.0, help="End of the part to compare, in seconds. Default: the end of the file."),
    ] = None,
    top: Annotated[int, _TOP] = 10,
    path: Annotated[str | None, _PATH] = None,
    tag: Annotated[str | None, _TAG] = None,
    min_duration: Annotated[float | None, _MIN_DURATION] = None,
    max_duration: Annotated[float | None, _MAX_DURATION] = None,
    license: Annotated[str | None, _LICENSE] = None,
    metadata: Annotated[list[str] | None, _METADATA] = None,
    min_score: Annotated[float | None, _MIN_SCORE] = None,
    exact: Annotated[bool, _EXACT] = False,
    ray: Annotated[str | None, _RAY] = None,
    export: Annotated[Path | None, _EXPORT] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """
    Find the sounds that are most similar to a recording.

    With --start and --end the query is a part of the recording.
    """
    with _errors():
        from ..search.filters import metadata_pairs

        filters = {
            "glob": path,
            "tag": tag,
            "min_duration": min_duration,
            "max_duration": max_duration,
            "license": license,
            "metadata": metadata_pairs(metadata or []),
        }
        sounds = _open(index_dir, None, ray)
        hits = sounds.similar(
            file, start=start, end=end, top=top, min_score=min_score, exact=exact, **filters
        )
        _show(sounds, hits, as_json, export)


def moments(
    file: Annotated[Path, typer.Argument(help="Recording. It need not be in the index.")],
    sentence: Annotated[str, typer.Argument(help="Query: a sentence that describes the sound.")],
    index_dir: Annotated[str, _INDEX] = DEFAULT_INDEX,
    top: Annotated[int, _TOP] = 5,
    hop: Annotated[
        float | None,
        typer.Option(min=0.1, help="Hop between windows in seconds. Default: half the length of a window."),
    ] = None,
    template: Annotated[str | None, _TEMPLATE] = None,
    export: Annotated[Path | None, _EXPORT] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """
    Find the times in a recording that a sentence describes.

    The result is a ranked list of time spans.
    """
    with _errors():
        sounds = _open(index_dir, None, template=template)
        _show(sounds, sounds.moments(file, sentence, top=top, hop_seconds=hop), as_json, export)


def serve(
    index_dir: Annotated[
        str,
        typer.Argument(
            metavar="INDEX",
            envvar="AURICLE_INDEX",
            help="Index: a directory or a URI such as s3://bucket/index.",
        ),
    ] = DEFAULT_INDEX,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Other machines cannot reach the default.")
    ] = ("127.0.0.1"),
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port to listen on. Default: the first free port from 7860."),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    text_tower: Annotated[
        Path | None, typer.Option(help="Exported text tower (ONNX directory), for faster queries.")
    ] = None,
) -> None:
    """
    Serve a search page on this machine.

    On the page, enter a sentence or upload a recording, and listen to the results. No data leave the machine.
    The server sends only recordings that are results. Needs pip install 'auricle[app]'.
    """
    with _errors():
        from ..search.page import serve as launch

        page = launch(_open(index_dir, text_tower), host=host, port=port, open_browser=open_browser)
        typer.echo(f"{page.local_url}  (press Ctrl-C to stop)")
        while True:
            time.sleep(3600)


def _errors() -> Any:
    quiet_libraries()
    from ..search.sound_index import SearchError

    return one_line_errors(SearchError, OSError, ImportError)


def _open(
    index_dir: str, text_tower: Path | None, ray: str | None = None, template: str | None = None
) -> "SoundIndex":
    from ..search.index_model import load_model_on_half_the_cores
    from ..search.sound_index import SoundIndex

    chosen = {} if template is None else {"template": template}
    return SoundIndex(
        index_dir, text_tower=text_tower, ray=ray, loader=load_model_on_half_the_cores, **chosen
    )


def _show(sounds: "SoundIndex", hits: "list[Hit]", as_json: bool, export: Path | None) -> None:
    if export is not None:
        sounds.export(export, hits=hits)
    with reader_may_leave():
        if as_json:
            from ..search.exports import hits_as_json

            typer.echo(hits_as_json(hits, encoding=sys.stdout.encoding or "utf-8"))
            return
        if not hits:
            typer.echo("no results")
        for rank, hit in enumerate(hits, start=1):
            percentile = "" if hit.percentile is None else f"  {hit.percentile:3.0f} %"
            span = f"{_clock(hit.start)}-{_clock(hit.end)}"
            typer.echo(one_line(f"{rank:>3}. {hit.cosine:6.3f}{percentile}  {span:>13}  {hit.path}"))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"
