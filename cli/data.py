"""`auricle data`: what a data set on this disk lacks, and its archives unpacked."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .failures import one_line_errors, printable

if TYPE_CHECKING:
    from ..data.sources import ClipListing

data = typer.Typer(help="Check a data set's files; unpack archives.", no_args_is_help=True)

FOLDER = "folder"


@data.command("check")
def check(
    name: Annotated[
        str, typer.Argument(help="clotho, audiocaps, wavcaps, or folder for a captioned folder.")
    ],
    path: Annotated[Path, typer.Argument(help="Its directory.")],
    split: Annotated[str | None, typer.Option(help="Only this split; all if not given.")] = None,
    decode: Annotated[bool, typer.Option(help="Decode every sound to its end.")] = True,
    num_workers: Annotated[int, typer.Option(min=1, help="Threads that decode.")] = 2,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all names of all faults as JSON.")
    ] = None,
    shown: Annotated[int, typer.Option(min=0, help="Names to print of each kind of fault.")] = 5,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Report found, missing, undecodable and duplicate clips by name.

    Also the audio files that nothing names, and recordings that occur in more than one split. Exit code 1 if
    anything is missing, undecodable or double.
    """
    with one_line_errors():
        from ..data.schema import DataError
        from ..data.source_check import check_source, format_check
        from ..files.json_files import write_json

        with one_line_errors(DataError, OSError, ImportError):
            found = check_source(
                _listings(name, path, split), decode=decode, num_workers=num_workers, progress=progress
            )
            if json_file:
                write_json(json_file, {"data_set": name, "path": str(path), **asdict(found)})
        for line in format_check(found, shown=shown):
            typer.echo(printable(line))
    if json_file:
        typer.echo(f"wrote {json_file}")
    if not found.is_clean:
        raise typer.Exit(1)
    typer.echo("everything that is named is there" + (" and can be decoded" if decode else ""))


@data.command("unpack")
def unpack(
    archive: Annotated[Path, typer.Argument(help="Directory with name.zip, and name.z01, ... if in parts.")],
    target: Annotated[Path, typer.Argument(help="Directory for the files; made if it is not there.")],
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """
    Unpack an archive, also one in parts as WavCaps publishes them.

    The archive's own folders are left out. Called again, files that are whole are kept.
    """
    with one_line_errors():
        from ..data.schema import DataError
        from ..data.sources import unpack_archive

        with one_line_errors(DataError, OSError):
            written, kept = unpack_archive(archive, target, progress=progress)
    typer.echo(f"wrote {written} files to {target}" + (f", {kept} were there" if kept else ""))


def _listings(name: str, path: Path, split: str | None) -> "dict[str, ClipListing]":
    from ..data.schema import DataError
    from ..data.sources import SOURCES, list_folder_clips, list_folder_splits, source_named

    if name != FOLDER and name not in SOURCES:
        raise DataError(f"there is no data set {name!r}; there are {[*SOURCES, FOLDER]}.")
    if not path.is_dir():
        raise DataError(f"{path}: there is no such directory.")
    if name == FOLDER:
        splits, list_clips = list_folder_splits(path) or ["train"], list_folder_clips
    else:
        source = source_named(name)
        splits, list_clips = source.splits(path), source.list_clips
        if not splits:
            raise DataError(f"{path}: is not in the layout of {source.title}; needed are {source.needs}.")
    if split is not None and split not in splits:
        raise DataError(f"{path}: has no split {split!r}; its splits are {splits}.")
    return {one: list_clips(path, split=one) for one in ([split] if split else splits)}


__all__ = ["data"]
