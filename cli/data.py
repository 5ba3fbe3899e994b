"""`auricle data`: fetches a dataset, checks its files and unpacks archives."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .failures import one_line_errors, printable

if TYPE_CHECKING:
    from ..data.fetching import FetchPlan
    from ..data.sources import ClipListing

data = typer.Typer(
    help="Fetch a dataset, check its files, or unpack its archives.",
    no_args_is_help=True,
    add_completion=False,
)

FOLDER = "folder"


@data.command("check")
def check(
    name: Annotated[
        str,
        typer.Argument(
            help="Layout of the dataset: clotho, audiocaps, wavcaps, folder for a captioned folder; castella, "
            "clotho-moment, or moments for what `auricle data generate-moments` writes."
        ),
    ],
    path: Annotated[Path, typer.Argument(help="Directory of the dataset.")],
    split: Annotated[str | None, typer.Option(help="Check this split only. Default: all splits.")] = None,
    decode: Annotated[bool, typer.Option(help="Decode every audio file completely.")] = True,
    num_workers: Annotated[int, typer.Option(min=1, help="Number of decoding threads.")] = 2,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the full list of problems to this JSON file.")
    ] = None,
    shown: Annotated[int, typer.Option(min=0, help="Number of file names to print per kind of problem.")] = 5,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Report missing, unreadable and duplicate clips of a dataset.

    The report also lists audio files that no metadata row refers to, recordings that occur in more than one
    split, metadata rows that cannot be used, and the number of files that are not read, by reason and
    extension. The exit code is 1 if a clip is missing, unreadable or duplicated, or a row cannot be used.

    Of a dataset of moments, it reports queries that cannot be used, and recordings that are missing, unreadable or of
    another length than their queries say.
    """
    with one_line_errors():
        from ..data.schema import DataError
        from ..data.source_check import check_source, format_check
        from ..evaluation.moments.moment_check import check_moments, format_moment_check
        from ..evaluation.moments.moment_queries import MomentFileError
        from ..evaluation.moments.moment_sources import MOMENT_SOURCES, moment_splits
        from ..files.json_files import write_json

        how = {"decode": decode, "num_workers": num_workers, "progress": progress}
        with one_line_errors(DataError, MomentFileError, OSError, ImportError):
            if name in MOMENT_SOURCES:
                splits = moment_splits(name, path)
                if split is not None and split not in splits:
                    raise DataError(f"{path}: no split {split!r}; the splits are {[*splits]}.")
                chosen = splits if split is None else {split: splits[split]}
                found = check_moments(chosen, path, **how)
                lines = format_moment_check(found, shown=shown)
            else:
                found = check_source(_listings(name, path, split), of_folder=name == FOLDER, **how)
                lines = format_check(found, shown=shown)
            if json_file:
                write_json(json_file, {"data_set": name, "path": str(path), **asdict(found)})
        for line in lines:
            typer.echo(printable(line))
    if json_file:
        typer.echo(f"wrote {json_file}")
    if not found.is_clean:
        raise typer.Exit(1)
    what = "recordings" if name in MOMENT_SOURCES else "clips"
    typer.echo(f"all {what} are present" + (" and readable" if decode else ""))


@data.command("generate-moments")
def generate_moments(
    clips: Annotated[
        Path, typer.Argument(help="Captioned folder of short clips with a label each, such as ESC-10.")
    ],
    out: Annotated[Path, typer.Argument(help="Directory for the recordings and moments.jsonl.")],
    split: Annotated[str, typer.Option(help="Split of the clips to take.")] = "train",
    recordings: Annotated[int, typer.Option(min=1, help="Number of recordings.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all draws.")] = 0,
    sampling_rate: Annotated[int, typer.Option(help="Sampling rate of the recordings in Hz.")] = 16000,
    seconds: Annotated[
        tuple[float, float], typer.Option(help="Shortest and longest recording in seconds.")
    ] = (60.0, 300.0),
    queries: Annotated[tuple[int, int], typer.Option(help="Fewest and most queries of a recording.")] = (
        1,
        4,
    ),
    events: Annotated[tuple[int, int], typer.Option(help="Fewest and most events of a query.")] = (1, 5),
    snr_db: Annotated[
        tuple[float, float],
        typer.Option(help="Lowest and highest level of an event over the background in dB."),
    ] = (-5.0, 10.0),
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """
    Generate recordings of minutes with events at known times, and the queries that ask for them.

    Clips are laid over background noise as in Clotho-Moment; events last as CASTELLA's moments do. The queries are
    JSON lines in the form of DCASE 2026 Task 6. The same clips and seed give the same recordings.
    """
    with one_line_errors():
        from ..data import load_captioned_folder
        from ..data.moments.generated_recordings import (
            GeneratedMomentsError,
            MomentSettings,
            make_moment_recordings,
        )
        from ..data.schema import DataError
        from ..processing import AudioReadError

        with one_line_errors(GeneratedMomentsError, DataError, AudioReadError, OSError):
            settings = MomentSettings(recordings, seed, sampling_rate, seconds, queries, events, snr_db)
            table = (
                load_captioned_folder(clips) if split is None else load_captioned_folder(clips, split=split)
            )
            made = make_moment_recordings(table, out, settings, progress=progress)
    typer.echo(f"wrote {recordings:,} recordings and {made}")


@data.command("unpack")
def unpack(
    archive: Annotated[
        Path,
        typer.Argument(help="Directory with name.zip, and name.z01, name.z02, ... for a split archive."),
    ],
    target: Annotated[
        Path, typer.Argument(help="Directory for the extracted files. It is created if missing.")
    ],
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """
    Unpack a zip archive, including split archives such as those of WavCaps.

    Folders inside the archive are ignored: all files go to one directory. If you run the command again,
    complete files are kept.
    """
    with one_line_errors():
        from ..data.schema import DataError
        from ..data.sources import unpack_archive

        with one_line_errors(DataError, OSError):
            written, kept = unpack_archive(archive, target, progress=progress)
    typer.echo(f"wrote {written} files to {target}" + (f", kept {kept} existing files" if kept else ""))


@data.command("fetch")
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            help="What to fetch: clotho, audiocaps (captions only), wavcaps, exclusions (the list of Freesound ids "
            "that DCASE 2025 excludes), or relevance (the multi-annotation of DCASE 2025)."
        ),
    ],
    directory: Annotated[Path, typer.Argument(help="Where the files go. It is created if missing.")],
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the terms that the command prints.")
    ] = False,
    collection: Annotated[
        list[str] | None,
        typer.Option(
            help="Collection of WavCaps: FreeSound, BBC_Sound_Effects, SoundBible or AudioSet_SL. You can repeat the "
            "option. Default: all."
        ),
    ] = None,
    keep_archives: Annotated[
        bool, typer.Option("--keep-archives", help="Keep archives after they are unpacked.")
    ] = False,
    mirror: Annotated[
        str | None,
        typer.Option(
            help="URL of a server that has the files under the publishers' paths, such as http://mirror:8000. For "
            "WavCaps: the endpoint of a Hub."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be fetched, with sizes, and exit.")
    ] = False,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Fetch a dataset from its publisher.

    The command prints the terms of the dataset first and needs --accept-license. It checks the free disk space,
    downloads the files, compares them with the publisher's checksums where there are any, and unpacks archives.

    If the connection fails, the command tries again. If you run it again, it resumes: complete files are kept, and
    a partial download continues where it ended.
    """
    with one_line_errors():
        from ..data.fetching import FetchError, fetchable_named, plan_fetch
        from ..data.fetching import fetch as fetch_planned
        from ..data.schema import DataError

        with one_line_errors(DataError, OSError):
            fetchable = fetchable_named(name)
            for line in fetchable.terms:
                typer.echo(line)
            if not (accept_license or dry_run):
                raise FetchError("to accept these terms and fetch, add --accept-license.")
            plan = plan_fetch(
                fetchable, directory, collections=collection, keep_archives=keep_archives, mirror=mirror
            )
            _print_plan(plan, listed=dry_run)
            if dry_run:
                return
            fetched, unpacked = fetch_planned(plan, directory, keep_archives=keep_archives, progress=progress)
    typer.echo(f"fetched {fetched} files to {directory}" + (f", unpacked {unpacked}" if unpacked else ""))
    for line in plan.fetchable.afterwards:
        typer.echo(line.replace("{directory}", str(directory)))


def _print_plan(plan: "FetchPlan", *, listed: bool) -> None:
    """The missing downloads and the free disk space; in a dry run also each file."""
    if listed:
        for file, size in plan.files:
            typer.echo(f"  {printable(file.name)}  {'size unknown' if size is None else _size(size)}")
    typer.echo(
        f"{len(plan.files)} files to fetch, {_size(plan.download_bytes)}; needs about {_size(plan.peak_bytes)} of "
        f"disk, {_size(plan.free_bytes)} are free"
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _listings(name: str, path: Path, split: str | None) -> "dict[str, ClipListing]":
    from ..data.schema import DataError
    from ..data.sources import SOURCES, list_folder_clips, list_folder_splits, source_named

    if name != FOLDER and name not in SOURCES:
        raise DataError(f"unknown dataset layout {name!r}; expected one of {[*SOURCES, FOLDER]}.")
    if not path.is_dir():
        raise DataError(f"{path}: directory not found.")
    if name == FOLDER:
        splits, list_clips = list_folder_splits(path) or ["train"], list_folder_clips
    else:
        source = source_named(name)
        splits, list_clips = source.splits(path), source.list_clips
        if not splits:
            raise DataError(f"{path}: not in the layout of {source.title}, which needs {source.needs}.")
    if split is not None and split not in splits:
        raise DataError(f"{path}: no split {split!r}; the splits are {splits}.")
    return {one: list_clips(path, split=one) for one in ([split] if split else splits)}


__all__ = ["data"]
