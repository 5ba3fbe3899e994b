"""`auricle index`: builds or updates an index of recordings."""

import time
from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line, one_line_errors, printable, quiet_libraries
from .index_options import DEFAULT_INDEX, INDEX, RAY


def index(
    folders: Annotated[list[Path], typer.Argument(help="Folders of recordings, or single files.")],
    model: Annotated[
        str | None,
        typer.Option(help="Saved model: a directory or a Hub id. Needed for a new index only."),
    ] = None,
    index_dir: Annotated[str, INDEX] = DEFAULT_INDEX,
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
    ray: Annotated[str | None, RAY] = None,
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
        from ..search.index_encoder import load_encoder_on_half_the_cores
        from ..search.sound_index import SearchError, SoundIndex
        from ..search.store.index_folder import IndexFolder
        from ..search.update.walking import check_root

        with one_line_errors(SearchError, OSError, ImportError):
            process = {"ray": ray, "loader": load_encoder_on_half_the_cores}
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
                        for path, reason in report.field_faults:
                            typer.echo(
                                one_line(f"  indexed without some metadata {path}: {reason}"), err=True
                            )
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
