"""Finds sound files below folders."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...files.sound_walking import LINKS_MARK, below, printable_path, regular_file, walk_sounds
from ...files.unread_files import SOUND_ENDINGS, Unread


@dataclass(frozen=True)
class FoundFile:
    """
    Attributes:
        path: absolute.
        root: the folder or file at which the walk started.
        size: bytes.
        mtime_ns: time of the last change.
    """

    path: str
    root: str
    size: int
    mtime_ns: int


def find_files(
    roots: Iterable[str | os.PathLike[str]],
    extensions: frozenset[str],
    *,
    outer: Mapping[str, str] | None = None,
    unread: list[Unread] | None = None,
) -> tuple[list[FoundFile], list[tuple[str, str]]]:
    """
    Sound files below the roots, sorted by path, without repetition; see [`walk_sounds`].

    Args:
        roots: folders or files.
        extensions: lower case, with the dot.
        outer: the folder to record as root for each absolute root; see [`outer_roots`].
        unread: takes the files of the folders that are not read and are worth a word; see [`unread_reason`].

    Returns:
        The files, and (path, reason) of inaccessible entries.

    Raises:
        FileNotFoundError: for a root that does not exist.
    """
    found: dict[str, FoundFile] = {}
    faults: list[tuple[str, str]] = []
    for root in roots:
        start = check_root(root)
        told = (outer or {}).get(start, start)
        if os.path.isdir(start):
            walked = walk_sounds(start, extensions)
            faults += walked.faults
            states = walked.sounds
            if unread is not None:
                unread += walked.unread
        else:
            status, fault = regular_file(start)
            states = {} if status is None else {start: status}
            faults += [(start, fault)] if fault else []
        for path, status in states.items():
            try:
                path.encode("utf-8")
            except UnicodeEncodeError:
                faults.append((printable_path(path), "its name is not valid UTF-8; rename it"))
            else:
                found.setdefault(path, FoundFile(path, told, status.st_size, status.st_mtime_ns))
    return [found[path] for path in sorted(found)], faults


def check_root(root: str | os.PathLike[str]) -> str:
    """
    Returns the absolute path of a folder or file.

    Raises:
        FileNotFoundError: if it does not exist.
    """
    start = os.path.abspath(root)
    if not os.path.exists(start):
        raise FileNotFoundError(f"{root}: there is no such file or folder.")
    return start


def outer_roots(roots: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """
    For roots inside a folder that the index was made from: that folder, the nearest one, by root.

    Tags and metadata files of the outer folder then still apply when only a part of it is updated.

    Args:
        roots: absolute.
        known: absolute paths; those that are no longer folders are ignored.
    """
    folders = [root for root in known if os.path.isdir(root)]
    found = {root: [other for other in folders if below(root, [other])] for root in roots}
    return {root: max(others, key=len) for root, others in found.items() if others}


def named_files(
    roots: Iterable[str],
    files: Iterable[FoundFile],
    known: Mapping[str, Mapping[str, Any]],
    extensions: frozenset[str],
) -> list[FoundFile]:
    """
    Existing files of an index that a walk over their folder skips.

    They are in the index because a user named them: they have no extension of a sound, or they or their folders are
    hidden. Sounds in a format that is not readable here are not among them: see [`survey`].

    Args:
        roots: absolute; what was looked at.
        files: that were found.
        known: entries of the index by path, with ``root``.
        extensions: endings that are read, lower case, with the dot.
    """
    found = {file.path for file in files}
    named = []
    for path, row in known.items():
        above = [root for root in roots if below(path, [root])]
        if path in found or not above:
            continue
        hidden = any(part.startswith(".") for part in Path(path).relative_to(max(above, key=len)).parts)
        ending = Path(path).suffix.lower()
        if hidden or not (ending in extensions or ending in SOUND_ENDINGS):
            status, _ = regular_file(path)
            if status is not None:
                named.append(FoundFile(path, row["root"], status.st_size, status.st_mtime_ns))
    return named


def emptied_folders(
    roots: Iterable[str | os.PathLike[str]], files: Iterable[FoundFile], known: Iterable[str]
) -> list[tuple[str, str]]:
    """
    Folders without sounds of which the index has files: perhaps a disk that is not mounted.

    Args:
        roots: folders or files that were looked at.
        files: that were found.
        known: paths that the index has.

    Returns:
        (path, what to do) of each.
    """
    found, held = [file.path for file in files], list(known)
    told = []
    for start in map(os.path.abspath, roots):
        if any(below(path, [start]) for path in found):
            continue
        count = sum(below(path, [start]) for path in held)
        if count:
            kept = f"its {count:,} files stay in the index; --prune removes them"
            told.append((start, f"no sound is left in it; {kept}"))
    return told


def absent_roots(roots: Iterable[str | os.PathLike[str]], known: Iterable[str]) -> list[tuple[str, str]]:
    """
    Folders that do not exist and of which an index has no file: perhaps a misspelt name.

    Args:
        roots: folders or files to look at.
        known: paths that the index has.

    Returns:
        (path, reason) of each.
    """
    held = list(known)
    return [
        (start, "no such file or folder, and the index has no file below it; check the name")
        for start in map(os.path.abspath, roots)
        if not os.path.lexists(start) and not any(below(path, [start]) for path in held)
    ]


__all__ = [
    "LINKS_MARK",
    "FoundFile",
    "absent_roots",
    "below",
    "check_root",
    "emptied_folders",
    "find_files",
    "named_files",
    "outer_roots",
]
