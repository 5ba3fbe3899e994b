"""`auricle index`, `search`, `similar`, `moments`: one's own sounds, found by a sentence or by a sound."""

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
    "--index", envvar="AURICLE_INDEX", help="Directory of the index, or its URI such as s3://bucket/index."
)
_TOP = typer.Option("--top", "-k", min=1, help="How many answers.")
_JSON = typer.Option("--json", help="Print the answers as JSON.")
_MIN_SCORE = typer.Option(help="Leave out answers whose cosine, less half of what is unwanted, is lower.")
_PATH = typer.Option("--path", help="Only files whose path fits, such as '*/rain/*'.")
_TAG = typer.Option(help="Only files in a folder of this name, or with this tag in their metadata.")
_LICENSE = typer.Option(help="Only files of this license, as their metadata tell it.")
_METADATA = typer.Option(
    "--metadata", help="Only files with this in their metadata: NAME=VALUE; may be repeated."
)
_EXACT = typer.Option(
    "--exact", help="Compare with every window, even in an index so large that it estimates."
)
_RAY = typer.Option("--ray", help="Address of a Ray cluster to work on, such as 10.0.0.1:6379, or 'auto'.")
_TEMPLATE = typer.Option(
    help="Phrase for a sentence of one to four words, with {} where it goes; '{}' asks it as it stands."
)
_MIN_DURATION = typer.Option(min=0.0, help="Only files of at least so many seconds.")
_MAX_DURATION = typer.Option(min=0.0, help="Only files of at most so many seconds.")
_EXPORT = typer.Option("--export", help="Also write the answers: .csv, .json, .m3u, or a folder of links.")


def index(
    folders: Annotated[list[Path], typer.Argument(help="Folders or files with sounds.")],
    model: Annotated[
        str | None,
        typer.Option(help="A saved model, directory or Hub id; an index that exists knows its own."),
    ] = None,
    index_dir: Annotated[str, _INDEX] = DEFAULT_INDEX,
    hop: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds between windows' starts; a window if not given.")
    ] = None,
    watch: Annotated[
        float | None,
        typer.Option(min=1.0, max=86_400.0, help="Look again every so many seconds until stopped."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export", help="Also write the index: .parquet, .npz, .csv, .m3u, or a folder of links."
        ),
    ] = None,
    exact_windows: Annotated[
        int | None,
        typer.Option(min=0, help="Up to so many windows a new index answers exactly; 250,000 if not given."),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Take a folder's files out even if it is gone, or no sound is left in it."
        ),
    ] = False,
    ray: Annotated[str | None, _RAY] = None,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """
    Index folders of sounds, or bring an index up to date with them.

    Every file is embedded window by window. Called again, only what changed costs anything: moved files are
    recognised by their content, deleted ones leave the index. It can be stopped or killed at any moment and goes on
    when called again. Files that cannot be read are listed at the end.
    """
    with one_line_errors():
        quiet_libraries()
        from ..search.index_encoder import load_encoder_on_half_the_cores
        from ..search.sound_index import SearchError, SoundIndex
        from ..search.store.index_folder import IndexFolder
        from ..search.update.walking import check_root

        with one_line_errors(SearchError, OSError, ImportError):
            process = {"ray": ray, "loader": load_encoder_on_half_the_cores}
            if watch is not None and export is not None and not export.suffix:
                raise SearchError(f"--export {export}: a folder of links is made once; leave out --watch.")
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
                raise SearchError(f"{index_dir}: there is no index yet; name a model with --model.")

            told: list[tuple[str, str]] | None = None
            while True:
                try:
                    report = sounds.update(folders, prune=prune, progress=progress)
                    # Whoever watches is told of what happened, and not every minute that nothing did.
                    if told is None or report.changes or report.faults != told:
                        typer.echo(report.line())
                        for path, reason in report.faults:
                            typer.echo(one_line(f"  not indexed: {path}: {reason}"), err=True)
                        if export is not None:
                            sounds.export(export)
                        told = report.faults
                except (SearchError, OSError) as error:
                    if told is None:
                        raise
                    # A disk may come back, another writer end: whoever watches goes on.
                    typer.echo(printable(f"error: {error}"), err=True)
                if watch is None:
                    break
                time.sleep(watch)
            typer.echo(printable(f"{len(sounds):,} files in {index_dir}"))


def search(
    sentence: Annotated[str, typer.Argument(help="What the sound should be like.")],
    index_dir: Annotated[str, _INDEX] = DEFAULT_INDEX,
    top: Annotated[int, _TOP] = 10,
    negative: Annotated[
        list[str] | None, typer.Option(help="What it should not be like; may be repeated.")
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Rank by the words of file and folder names too.")
    ] = False,
    in_file: Annotated[Path | None, typer.Option("--in", help="Only within this file.")] = None,
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
        Path | None, typer.Option(help="Directory of an exported text tower: answers without loading torch.")
    ] = None,
    template: Annotated[str | None, _TEMPLATE] = None,
    export: Annotated[Path | None, _EXPORT] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """
    Find the sounds that a sentence describes, each at its best moment.

    The score is the cosine, at most 1; beside it stands how many of 48 common questions fit that moment less.
    """
    with _errors():
        from ..search.query.filters import metadata_pairs

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
    file: Annotated[
        Path, typer.Argument(help="The sound that others should be like; it need not be indexed.")
    ],
    index_dir: Annotated[str, _INDEX] = DEFAULT_INDEX,
    start: Annotated[float, typer.Option(min=0.0, help="Begin of the part that counts, seconds.")] = 0.0,
    end: Annotated[float | None, typer.Option(min=0.0, help="Its end, seconds.")] = None,
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
    """Find the sounds that are most like one of yours, or like a part of it."""
    with _errors():
        from ..search.query.filters import metadata_pairs

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
    file: Annotated[Path, typer.Argument(help="A recording; it need not be indexed.")],
    sentence: Annotated[str, typer.Argument(help="What happens in it.")],
    index_dir: Annotated[str, _INDEX] = DEFAULT_INDEX,
    top: Annotated[int, _TOP] = 5,
    hop: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds between windows; half a window if not given.")
    ] = None,
    template: Annotated[str | None, _TEMPLATE] = None,
    export: Annotated[Path | None, _EXPORT] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Find where in a recording a sentence fits, as spans of time."""
    with _errors():
        sounds = _open(index_dir, None, template=template)
        _show(sounds, sounds.moments(file, sentence, top=top, hop_seconds=hop), as_json, export)


def serve(
    index_dir: Annotated[
        str,
        typer.Argument(
            envvar="AURICLE_INDEX", help="Directory of the index, or its URI such as s3://bucket/index."
        ),
    ] = DEFAULT_INDEX,
    host: Annotated[
        str, typer.Option(help="Address to listen at; other machines cannot reach the usual one.")
    ] = ("127.0.0.1"),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="A free one from 7860 on if not given.")
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    text_tower: Annotated[
        Path | None, typer.Option(help="Directory of an exported text tower, for faster answers.")
    ] = None,
) -> None:
    """
    Open a page on this machine: write a sentence or give a sound, and listen to what is found.

    Needs pip install 'auricle[app]'. Nothing leaves the machine, and of its files only sounds that were answers are
    served.
    """
    with _errors():
        from ..search.page.app import serve as launch

        page = launch(_open(index_dir, text_tower), host=host, port=port, open_browser=open_browser)
        typer.echo(f"{page.local_url}  (Ctrl-C ends it)")
        while True:
            time.sleep(3600)


def _errors() -> Any:
    quiet_libraries()
    from ..search.sound_index import SearchError

    return one_line_errors(SearchError, OSError, ImportError)


def _open(
    index_dir: str, text_tower: Path | None, ray: str | None = None, template: str | None = None
) -> "SoundIndex":
    from ..search.index_encoder import load_encoder_on_half_the_cores
    from ..search.sound_index import SoundIndex

    chosen = {} if template is None else {"template": template}
    return SoundIndex(
        index_dir, text_tower=text_tower, ray=ray, loader=load_encoder_on_half_the_cores, **chosen
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
            typer.echo("nothing fits")
        for rank, hit in enumerate(hits, start=1):
            percentile = "" if hit.percentile is None else f"  {hit.percentile:3.0f} %"
            span = f"{_clock(hit.start)}-{_clock(hit.end)}"
            typer.echo(one_line(f"{rank:>3}. {hit.cosine:6.3f}{percentile}  {span:>13}  {hit.path}"))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"
