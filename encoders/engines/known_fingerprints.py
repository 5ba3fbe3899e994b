"""A cache of fingerprints of model directories, keyed by their files' sizes and times."""

import logging
import os
import time
from typing import Any

from ...files.cache_root import cache_root
from ...files.json_files import read_json, write_json

logger = logging.getLogger(__name__)

FILE = "model_fingerprints.json"
# Version of what a fingerprint covers: raise it when `model_fingerprint` changes.
_FORM = 1
# File systems count time in steps; a file written over within one of them looks as it did.
_SETTLED_SECONDS = 2.0


def known_fingerprint(directory: str | os.PathLike[str], cache_dir: Any = None) -> str | None:
    """
    The saved fingerprint of a model directory; None if there is none or a file has changed since then.

    Args:
        directory: directory of the model.
        cache_dir: directory of the cache; None is the package's cache.
    """
    try:
        known = read_json(cache_root(cache_dir) / FILE)
        entry = known[os.path.abspath(directory)]
        if entry["form"] == _FORM and entry["files"] == files_of(directory):
            return str(entry["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def was_loaded_from(
    directory: str | os.PathLike[str], files: list[list[Any]] | None, fingerprint: str
) -> bool:
    """
    Whether a model was loaded from files with a known fingerprint; hashing large weights takes seconds.

    Args:
        directory: directory of the model.
        files: result of [`files_of`] before the model was loaded; None if it is unknown.
        fingerprint: expected fingerprint.
    """
    return files is not None and files == files_of(directory) and known_fingerprint(directory) == fingerprint


def remember_fingerprint(
    directory: str | os.PathLike[str], files: list[list[Any]], fingerprint: str, cache_dir: Any = None
) -> None:
    """
    Saves the fingerprint of a model directory, so that its weights need not be read again.

    Args:
        directory: directory of the model.
        files: result of [`files_of`] before the model was loaded, to detect files that changed meanwhile.
        fingerprint: fingerprint of the loaded model, in float32.
        cache_dir: as in [`known_fingerprint`]. If it cannot be written, nothing is kept.
    """
    path = cache_root(cache_dir) / FILE
    try:
        try:
            known = read_json(path)
        except ValueError:
            known = None
        known = known if isinstance(known, dict) else {}
        entry = {"form": _FORM, "files": files, "fingerprint": fingerprint}
        if known.get(os.path.abspath(directory)) != entry:
            write_json(path, {**known, os.path.abspath(directory): entry})
    except OSError as error:
        logger.info("%s: cannot be kept (%s)", path, error.strerror or error)


def files_of(directory: str | os.PathLike[str]) -> list[list[Any]] | None:
    """
    Name, size, times of change and number of every file of a directory.

    The change time cannot be set by hand. A file that was written within the last two seconds might be written again
    and look the same.

    Returns:
        The files; None if there are none, they cannot be read, or one has changed too recently.
    """
    found: list[list[Any]] = []
    try:
        for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
            if entry.is_file():
                # Followed: in the Hub's cache the names are links to the contents.
                status = entry.stat()
                times = [status.st_mtime_ns, status.st_ctime_ns]
                if max(times) > time.time_ns() - _SETTLED_SECONDS * 1e9:
                    return None
                found.append([entry.name, status.st_size, *times, str(status.st_ino)])
    except OSError:
        return None
    return found or None


__all__ = ["files_of", "known_fingerprint", "remember_fingerprint", "was_loaded_from"]
