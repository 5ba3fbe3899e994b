"""An index's text tower as ONNX, exported to the cache at the first query, so that later ones need no torch."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..encoders.onnx_encoder import OnnxEncoder
from ..encoders.onnx_towers import RECORD_FILE
from ..encoders.truncated_encoder import TruncatedEncoder
from ..files.cache_root import cache_root
from ..files.locking import directory_lock
from ..files.saved_directories import replace_directory

_FOLDER, _LOCK_SECONDS = "text_towers", 600.0


class TextTowerError(ValueError):
    """An index whose text tower cannot be exported."""


def cached_text_tower(
    index: str,
    record: Mapping[str, Any],
    *,
    model: str | None = None,
    exporting: Callable[[Path], None] = lambda directory: None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """
    The directory of the exported text tower of an index's model, which is exported if it is not in the cache.

    Its place is the index's fingerprint, and it is written whole or not at all: what is there is not checked against
    the model again, which may be gone.

    Args:
        index: its name, for messages.
        record: what the index keeps of how it is made.
        model: directory or Hub id of the model, if it was moved.
        exporting: called with the directory before an export.
        cache_dir: None is the package's cache.

    Raises:
        ImportError: if a package that the export needs is not installed.
        TextTowerError: if the index is not of float32, or its model is no Auricle model, is another one by now, or
            cannot be exported.
        OSError: if the cache cannot be written.
    """
    settings = record["settings"]
    if settings["precision"] != "float32":
        raise TextTowerError(
            f"{index}: was made in {settings['precision']}, and text towers are exported in float32; leave out "
            "--text-tower auto."
        )
    directory = cache_root(cache_dir) / _FOLDER / record["fingerprint"][:32]
    if (directory / RECORD_FILE).is_file():
        return directory
    with directory_lock(directory.parent, f"{directory.name}.lock", seconds=_LOCK_SECONDS):
        # Another process may have exported it meanwhile.
        if not (directory / RECORD_FILE).is_file():
            exporting(directory)
            name = _place(model or record["model"], None if model else settings["revision"])
            try:
                replace_directory(directory, lambda fresh: _export(index, record, name, fresh))
            except BaseException:
                # Of a published model it has more than a gigabyte.
                shutil.rmtree(directory.with_name(f"{directory.name}.new"), ignore_errors=True)
                raise
    return directory


def _place(name: str, revision: str | None) -> str:
    from ..encoders.hub_files import fetch_all, find_model_files

    return os.fspath(fetch_all(find_model_files(name, None if os.path.isdir(name) else revision)).directory)


def _export(index: str, record: Mapping[str, Any], name: str, directory: Path) -> None:
    from .onnx_export import ExportError, export_onnx

    try:
        export_onnx(name, directory, towers=("text",))
    except (ExportError, ValueError) as error:
        raise TextTowerError(f"--text-tower auto: {error}") from error
    exported = OnnxEncoder(directory)
    width = record["settings"]["truncate_dim"]
    narrower = width is not None and width < exported.embedding_dim
    encoder = TruncatedEncoder(exported, width) if narrower else exported
    if encoder.fingerprint != record["fingerprint"]:
        raise TextTowerError(
            f"{name}: the weights or settings differ from those that {index} was made with; give the same model with "
            "--model."
        )


__all__ = ["TextTowerError", "cached_text_tower"]
