"""`--text-tower` of the commands that ask an index: a directory, or `auto`."""

import os
from pathlib import Path

import typer

from .failures import printable

AUTO = "auto"
TEXT_TOWER = typer.Option(
    "--text-tower",
    help="Exported text tower (ONNX directory): queries then run without torch. auto: export it to the cache at the "
    "first query, which takes longer, and use it from then on; write ./auto for a directory of that name.",
)


def text_tower_of(index_dir: str, chosen: Path | None, model: str | None = None) -> Path | None:
    """
    The directory that ``--text-tower`` stands for.

    Args:
        index_dir: of the index.
        chosen: the option; "auto" is the cached export of the index's model, made now if there is none.
        model: the option ``--model``.

    Raises:
        SearchError: if the index does not exist, or its text tower cannot be exported.
        ImportError, OSError: as [`cached_text_tower`].
    """
    if chosen is None or os.fspath(chosen) != AUTO:
        return chosen
    from ..hub.text_tower_cache import cached_text_tower
    from ..search.errors import SearchError
    from ..search.store.index_folder import IndexFolder
    from ..search.store.index_record import open_record

    record = open_record(IndexFolder(index_dir))
    try:
        return cached_text_tower(index_dir, record, model=model, exporting=_tell)
    except ValueError as error:
        raise SearchError(str(error)) from error


def _tell(directory: Path) -> None:
    typer.echo(printable(f"exporting the text tower to {directory} for this and later queries"), err=True)


__all__ = ["AUTO", "TEXT_TOWER", "text_tower_of"]
