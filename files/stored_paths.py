"""Paths as the file system stores them: one file has one path, however its name was typed."""

import os

from .file_names import folded


def path_as_stored(path: str | os.PathLike[str]) -> str:
    """
    The absolute path, with each name as its folder lists it.

    On macOS and Windows ``Sounds/RAIN.wav`` opens a file that is stored as ``sounds/rain.wav``; on macOS, either
    Unicode form of a name does. Where case matters, and for what does not exist, the path stays unchanged. Links are
    not resolved.

    Args:
        path: absolute or relative.
    """
    absolute = os.path.abspath(path)
    rest = os.path.splitdrive(absolute)[1]
    names = [name for name in rest.split(os.sep) if name]
    stored = absolute[: len(absolute) - len(rest.lstrip(os.sep))] if names else absolute
    for place, name in enumerate(names):
        found = _as_listed(stored, name)
        if found is None:
            return os.path.join(stored, *names[place:])
        stored = os.path.join(stored, found)
    return stored


def _as_listed(folder: str, name: str) -> str | None:
    """The name under which a folder lists what a typed name opens there; None if nothing is opened."""
    typed = os.path.join(folder, name)
    if not os.path.lexists(typed):
        return None
    try:
        listed = os.listdir(folder)
    except OSError:  # a folder that may be entered, but not listed
        return name
    if name in listed:
        return name
    same = [other for other in listed if folded(other) == folded(name)]
    return next((other for other in same if _is_same(os.path.join(folder, other), typed)), name)


def _is_same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


__all__ = ["path_as_stored"]
