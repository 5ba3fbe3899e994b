"""Stored path and vectors of a query's file, if the index has it."""

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...files.stored_paths import path_as_stored
from ..store.entries import FileEntry
from ..store.index_store import Store
from .hits import Hit
from .index_contents import CurrentContents

# Start and end of a window are kept as they were computed; a person writes tenths of a second.
SAME_MOMENT_SECONDS = 0.05


def stored_path(store: Store, contents: CurrentContents, path: str | os.PathLike[str]) -> str:
    """
    The absolute path of a file in the Unicode form of the index's entry; unchanged if the index lacks the file.

    Args:
        store, contents: of the index.
        path: any path.
    """
    own = path_as_stored(path)
    if own.isascii() or len(store.file_rows(["path"], [own])):
        return own
    match = contents.get().paths.find(own)
    return match.names[0] if match and match.how == "form" else own


def known_vector(store: Store, path: str, start: float, end: float | None) -> np.ndarray | None:
    """
    The stored vectors of a file, or of one window; None if the index lacks them or they are out of date.

    Args:
        store: store of the index.
        path: absolute.
        start, end: seconds of the part; None is the end of the file.
    """
    entry = unchanged_entry(store, path)
    if entry is None:
        return None
    if start == 0.0 and end is None:
        return entry.vector
    near = np.abs(entry.starts - start) < SAME_MOMENT_SECONDS
    near &= np.abs(entry.ends - (entry.duration if end is None else end)) < SAME_MOMENT_SECONDS
    return entry.vectors[int(np.argmax(near))] if near.any() else None


def described(store: Store, path: str, hits: Sequence[Hit]) -> list[Hit]:
    """Moments of a file with its tags, license, metadata and digest, if an index has the file unchanged."""
    entry = unchanged_entry(store, path)
    if entry is None:
        return list(hits)
    told = {
        "tags": entry.tags,
        "license": entry.license,
        "metadata": entry.metadata,
        "digest": entry.digest,
    }
    return [replace(hit, **told) for hit in hits]


def unchanged_entry(store: Store, path: str) -> FileEntry | None:
    """The index's entry of a file, by its absolute path, if the file is unchanged."""
    try:
        status = os.stat(path)
        entry = store.entries([path]).get(path)
    except OSError:
        # If the file is missing, reading it raises the error.
        return None
    same = entry is not None and (entry.size, entry.mtime_ns) == (status.st_size, status.st_mtime_ns)
    return entry if same else None


__all__ = ["described", "known_vector", "stored_path", "unchanged_entry"]
