"""The record of an index's settings: ``index.json``."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..errors import StoreError
from .index_folder import IndexFolder
from .lance_table import first_line

RECORD = "index.json"
# Version 3 added `settings`. What version 2 kept is read as it is, and rewritten by the next update.
FORMAT, VERSION, OLDEST_VERSION = "auricle index", 3, 2
FIELDS = {
    "model": str,
    "fingerprint": str,
    "window_seconds": int | float,
    "hop_seconds": int | float,
    "exact_windows": int,
    "width": int,
}
# Named settings: the types that each may have, and what an index without it was made with. A new setting is a line
# here: older indexes then have its default, and a program that does not know it refuses the index by its name.
SETTINGS: Mapping[str, tuple[Any, Any]] = {
    "clip_vector": (str, "windows"),  # of a whole file; new indexes have "model", see `embed_recording`
    "precision": (str, "float32"),  # of the encoder's weights
    "revision": (str | None, None),  # commit of the Hub repository that the model came from
    "window_seconds": (int | float | None, None),  # as chosen with --window; None is the model's own
    "truncate_dim": (int | None, None),  # dimensions of its vectors that are kept; None is all
    "frames": (str | None, None),  # format of the stored frames: "float16" or "int8"; None is none
    "engine": (str, "torch"),  # what computed the first vectors; the others differ by 1e-5 at most
    "remote_code": (bool, False),  # whether the model runs Python code that its repository brings
}
# Settings that every program of this version reads.
FIRST_SETTINGS = ("clip_vector", "precision", "revision")


class NewerIndexError(ValueError):
    """The index was made by a later version of this program."""


def read_record(content: bytes) -> dict[str, Any]:
    """
    The settings of an index, from its ``index.json``.

    Returns:
        The fields of ``FIELDS``, ``version`` as it is on disk, and ``settings`` with a value for every known name.

    Raises:
        NewerIndexError: if a later version of this program made it.
        ValueError: if it is damaged, or not an index.
    """
    try:
        record = json.loads(content)
    except ValueError as error:
        raise ValueError(f"is damaged ({first_line(error)})") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError("has another format or version")
    version = record.get("version")
    if isinstance(version, int) and version > VERSION:
        raise NewerIndexError(f"has version {version}, and this program reads versions up to {VERSION}")
    if version not in range(OLDEST_VERSION, VERSION + 1):
        raise ValueError("has another format or version")
    for name, kind in FIELDS.items():
        if not isinstance(record.get(name), kind):
            raise ValueError(f"is damaged ({name} is {record.get(name)!r})")
    settings = record.get("settings", {})
    if not isinstance(settings, dict):
        raise ValueError(f"is damaged (settings is {settings!r})")
    for name, value in settings.items():
        if name not in SETTINGS:
            raise NewerIndexError(f"has the setting {name!r}, which this program does not know")
        if not isinstance(value, SETTINGS[name][0]):
            raise ValueError(f"is damaged (the setting {name} is {value!r})")
    return {**record, "settings": {name: default for name, (_, default) in SETTINGS.items()} | settings}


def _no_index(folder: IndexFolder) -> str:
    if folder.path is None or folder.path.is_dir():
        return f"{folder}: not an index (no {RECORD}); make one with auricle index."
    # A relative name is looked up in the current folder, which may not be the one where the index was made.
    where = f"in {folder.path.absolute().parent}"
    what = "a file" if folder.path.exists() else f"no folder of this name {where}"
    return f"{folder}: not an index ({what}); name it by --index or AURICLE_INDEX, or make one with auricle index."


def open_record(folder: IndexFolder) -> dict[str, Any]:
    """
    [`read_record`] of an index.

    Raises:
        StoreError: if there is no record, or it cannot be read; the message gives the remedy.
    """
    try:
        if not folder.exists(RECORD):
            raise StoreError(_no_index(folder))
        return read_record(folder.read(RECORD))
    except OSError as error:
        raise StoreError(f"{folder}: its {RECORD} cannot be read ({error.strerror or error}).") from error
    except StoreError:
        raise
    except NewerIndexError as error:
        raise StoreError(f"{folder}: its {RECORD} {error}; upgrade auricle.") from error
    except ValueError as error:
        raise StoreError(f"{folder}: its {RECORD} {first_line(error)}; make a new index.") from error


def record_text(record: Mapping[str, Any]) -> bytes:
    """
    The content of ``index.json``, in the newest version.

    Newer settings are omitted while they have their defaults: an earlier program then reads the
    index as before.
    """
    settings = {
        name: value
        for name, value in record["settings"].items()
        if name in FIRST_SETTINGS or value != SETTINGS[name][1]
    }
    content = {**record, "version": VERSION, "settings": settings}
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def remember_model(folder: IndexFolder, record: dict[str, Any], model: str, revision: str | None) -> None:
    """
    Notes in ``index.json``, and in the record, where the index's model is now.

    Args:
        folder: of the index; on a read-only disk only the record is changed.
        record: of the index.
        model: absolute directory, or Hub id.
        revision: commit of the Hub repository, or None.
    """
    if (record["model"], record["settings"]["revision"]) == (model, revision):
        return
    settings = {**record["settings"], "revision": revision}
    with suppress(OSError):
        folder.write(RECORD, record_text({**record, "model": model, "settings": settings}))
    record.update(model=model, settings=settings, version=VERSION)


__all__ = [
    "FORMAT",
    "OLDEST_VERSION",
    "RECORD",
    "SETTINGS",
    "VERSION",
    "NewerIndexError",
    "open_record",
    "read_record",
    "record_text",
    "remember_model",
]
