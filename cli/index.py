"""`auricle index`: builds or updates an index of recordings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .encoder_options import DIMS, ENGINE, PRECISION, TRUST_REMOTE_CODE, WINDOW
from .failures import one_line_errors, printable, quiet_libraries
from .index_options import DEFAULT_INDEX, INDEX, RAY
from .index_report import show_report
from .interrupts import Interrupts
from .spare_imports import spare_pandas

if TYPE_CHECKING:
    from ..search.sound_index import SoundIndex

# What a person without the default model can name instead.
OTHER_MODELS = (
    "Or give a model with --model: a local directory, a checkpoint converted with `auricle convert retrieval`, or the "
    "model that `make demo` trains (runs/demo/refinetune/model)."
)


def index(
    folders: Annotated[list[Path], typer.Argument(help="Folders of recordings, or single files.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Model of a new index: a directory or a Hub id, also owner/name@revision. "
            "Default: laion/clap-htsat-unfused."
        ),
    ] = None,
    index_dir: Annotated[str, INDEX] = DEFAULT_INDEX,
    hop: Annotated[
        float | None,
        typer.Option(min=0.1, help="Hop between windows in seconds. Default: the length of a window."),
    ] = None,
    window: Annotated[float | None, WINDOW] = None,
    precision: Annotated[str | None, PRECISION] = None,
    engine: Annotated[str | None, ENGINE] = None,
    dims: Annotated[int | None, DIMS] = None,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    frames: Annotated[
        Literal["float16", "int8", "none"] | None,
        typer.Option(
            help="Also store one vector a second (frames), so that `auricle moments` does not read the sound. "
            "Adds them to an index without frames, and prints first how much disk space they need. none: removes them."
        ),
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
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Write the full list of skipped files and unused metadata rows to this JSON file."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of files to embed at a time, one CPU thread each. Default: one at a time, with half of the "
            "cores. Use the number of cores if the machine does nothing else. With batches: number of files to decode "
            "at a time.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of windows, of several files, in one batch. Default: 16 on a GPU. On a CPU each file is "
            "embedded separately, and batches are not faster.",
        ),
    ] = None,
    ray: Annotated[str | None, RAY] = None,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """
    Index folders of recordings, or update an index.

    The model embeds every recording window by window. If you run the command again, it embeds only new and
    changed files. It recognises moved files by their content and removes deleted files. You can stop it at
    any time; the next run continues. Unreadable files are skipped and listed at the end, with metadata rows
    that are not used and the number of other files by extension.

    An index has one model, window, hop, precision and number of dimensions, chosen when it is made. For other
    values, make another index. The engine is recorded too, and updates may use another one.
    Needs pip install 'auricle[search]'.
    """
    with one_line_errors():
        quiet_libraries(download_bars=progress)
        spare_pandas()
        from ..search.index_creation import loader_by_engine
        from ..search.sound_index import EncoderSettings, SearchError, SoundIndex
        from ..search.store.index_folder import IndexFolder
        from ..search.update.frame_choice import choose_frames
        from ..search.update.walking import check_root

        with one_line_errors(SearchError, OSError, ImportError), Interrupts() as interrupts:
            process = {
                "ray": ray,
                "loader": loader_by_engine(engine, workers, batch_size),
                "trust_remote_code": trust_remote_code,
            }
            if ray is not None and (workers or batch_size):
                raise SearchError(
                    "--ray: each worker of the cluster embeds one file at a time; leave out --workers and --batch-size."
                )
            kept = None if frames == "none" else frames
            settings = EncoderSettings(window, precision, dims, frames=kept, engine=engine)
            if watch is not None and export is not None and not export.suffix:
                raise SearchError(
                    f"--export {export}: a folder of links cannot be combined with --watch; export to a file."
                )
            if not prune:
                # Before the model is loaded and a folder made for the index.
                for folder in folders:
                    check_root(folder)
            chosen = model
            is_new = not IndexFolder(index_dir).exists("index.json")
            if is_new:
                settings = EncoderSettings(window, precision, dims, frames=kept, engine=engine or "auto")
                chosen = model or _default_model()
            elif frames is not None:
                choose_frames(index_dir, frames)
            if chosen is not None:
                try:
                    sounds = SoundIndex.create(
                        index_dir,
                        chosen,
                        hop_seconds=hop,
                        exact_windows=exact_windows,
                        settings=settings,
                        **process,
                    )
                    if is_new and settings.engine == "auto":
                        used = sounds.store.record["settings"]["engine"]
                        typer.echo(f"engine: {used} (--engine auto)", err=True)
                except SearchError as error:
                    # A window or precision that was chosen is for this model: do not fall back to another one.
                    if model is None and (window, precision, dims, engine) == (None,) * 4:
                        raise SearchError(f"{error} {OTHER_MODELS}") from error
                    raise
            else:
                # The model is loaded once there is something to embed.
                sounds = SoundIndex(index_dir, **process)
                sounds.check_settings(hop_seconds=hop, exact_windows=exact_windows, settings=settings)

            if kept is not None:
                _tell_size_of_frames(sounds, folders, prune=prune)
            reported: tuple[list[Any], list[Any]] | None = None
            while True:
                try:
                    report = sounds.update(folders, prune=prune, progress=progress, check=interrupts.check)
                    # With --watch, only changes are printed.
                    if reported is None or report.changes or (report.faults, report.unread) != reported:
                        show_report(report, json_file)
                        if export is not None:
                            sounds.export(export)
                        reported = (report.faults, report.unread)
                except (SearchError, OSError) as error:
                    interrupts.check()
                    if reported is None:
                        raise
                    # With --watch, keep trying: a disk may return, another writer may finish.
                    typer.echo(printable(f"error: {error}"), err=True)
                if watch is None:
                    break
                interrupts.sleep(watch)
            # Only counted: `len(sounds)` would read the columns that queries need.
            count = len(sounds.store.file_rows(["path"]))
            typer.echo(printable(f"{count:,} files in {index_dir}"))


def _tell_size_of_frames(sounds: "SoundIndex", folders: list[Path], *, prune: bool) -> None:
    """Prints how much disk space the frames of the sounds below folders need, as far as their headers state lengths."""
    from ..search.update.frame_size import expected_frame_size

    size = expected_frame_size(sounds.store, [str(folder) for folder in folders], prune=prune)
    if size is not None:
        typer.echo(printable(size.line()), err=True)


def _default_model() -> str:
    """Says which public model will be used, under which license, and how much will be downloaded."""
    from ..encoders.default_model import DEFAULT_MODEL, expected_download

    expected = expected_download(DEFAULT_MODEL)
    facts = []
    if expected is not None:
        facts.append(f"license {expected.license}" if expected.license else "no license named")
        if expected.num_bytes:
            facts.append(f"downloading {expected.num_bytes / 1e6:,.1f} MB")
        elif expected.num_bytes == 0:
            facts.append("already downloaded")
    shown = f" ({', '.join(facts)})" if facts else ""
    typer.echo(f"no --model given: using {DEFAULT_MODEL}{shown}", err=True)
    return DEFAULT_MODEL
