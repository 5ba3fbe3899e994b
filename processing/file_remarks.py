"""Remarks on files that are read nevertheless: several sound tracks, channels that cancel, a repaired header."""

import logging
from functools import lru_cache
from typing import Any

logger = logging.getLogger(__name__)


def add_remark(name: str, note: str) -> None:
    """
    Passes a remark on a file to all active collectors; without one, logs it as a warning, once per process.

    Args:
        name: name of the file.
        note: the remark.
    """
    collecting = tuple(_collecting)
    for remarks in collecting:
        remarks.add(name, note)
    if not collecting:
        _log_once(name, note)


class FileRemarks:
    """
    Collects remarks on all files that this process reads within a `with` block, instead of logging them.

    Remarks of other threads are collected too.
    """

    def __init__(self) -> None:
        self._found: dict[str, dict[str, None]] = {}

    def add(self, name: str, note: str) -> None:
        """Adds a remark, unless it is a repetition."""
        self._found.setdefault(name, {})[note] = None

    def of(self, name: str) -> tuple[str, ...]:
        """The remarks on one file."""
        return tuple(self._found.get(name, ()))

    @property
    def found(self) -> list[tuple[str, str]]:
        """(file, remark) of all files, sorted."""
        return sorted((name, note) for name, notes in self._found.copy().items() for note in tuple(notes))

    def __enter__(self) -> "FileRemarks":
        _collecting.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        _collecting[:] = [remarks for remarks in _collecting if remarks is not self]


# Of the process, as handlers of a logger are: a context variable would not reach the threads that decode.
_collecting: list[FileRemarks] = []


@lru_cache(maxsize=4096)
def _log_once(name: str, note: str) -> None:
    logger.warning("%s: %s", name, note)


__all__ = ["FileRemarks", "add_remark"]
