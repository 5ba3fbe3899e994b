"""Finding sound files below folders."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...files.unread_files import Unread, is_index, unread_among

# Lies in a folder of links that an export made: its sounds are found where they are.
LINKS_MARK = ".auricle-links"


@dataclass(frozen=True)
class FoundFile:
    """
    Attributes:
        path: absolute.
        root: the folder, or file, that the walk began at.
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
    Sound files below the roots, sorted by path, each once; links to folders are followed, circles are not.

    Args:
        roots: folders or files.
        extensions: lower case, with the dot.
        outer: by absolute root the folder that its files are said to lie in; see [`outer_roots`].
        unread: takes the files of the folders that are not read and are worth a word; see [`unread_reason`].

    Returns:
        The files, and (path, reason) of what could not be looked at.

    Raises:
        FileNotFoundError: for a root that does not exist.
    """
    found: dict[str, FoundFile] = {}
    faults: list[tuple[str, str]] = []
    for root in roots:
        start = check_root(root)
        told = (outer or {}).get(start, start)
        names = [start] if os.path.isfile(start) else _walk(start, extensions, faults, unread)
        for path in names:
            try:
                status = os.stat(path)
                path.encode("utf-8")
            except OSError as error:
                faults.append((_printable(path), error.strerror or "cannot be looked at"))
            except UnicodeEncodeError:
                faults.append((_printable(path), "its name is not valid UTF-8; rename it"))
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
    Of roots that lie in one of those that an index was made from, by root that one, the nearest.

    What a folder's tags and metadata files say of a sound stays true when only a part of it is looked at.

    Args:
        roots: absolute.
        known: absolute; those that are no folder any more do not count.
    """
    folders = [root for root in known if os.path.isdir(root)]
    found = {root: [other for other in folders if below(root, [other])] for root in roots}
    return {root: max(others, key=len) for root, others in found.items() if others}


def emptied_folders(
    roots: Iterable[str | os.PathLike[str]], files: Iterable[FoundFile], known: Iterable[str]
) -> list[tuple[str, str]]:
    """
    Folders of which an index has files while there is no sound left in them: perhaps a disk that is not mounted.

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
            kept = f"what the index has of it ({count:,} files) stays, unless with --prune"
            told.append((start, f"no sound is left in it; {kept}"))
    return told


def below(path: str, roots: Iterable[str]) -> bool:
    """Whether a path is one of the roots, or lies in one."""
    return any(path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


def _walk(
    start: str, extensions: frozenset[str], faults: list[tuple[str, str]], unread: list[Unread] | None
) -> Iterator[str]:
    seen: set[tuple[int, int]] = set()
    indexes: list[str] = []
    real_start = os.path.realpath(start)

    def is_own_link(path: str) -> bool:
        # Found under its own name as well, by which its metadata file knows it; but for what is hidden.
        real = os.path.realpath(path)
        if not (os.path.islink(path) and below(real, [real_start])):
            return False
        return not any(part.startswith(".") for part in Path(real).relative_to(real_start).parts)

    def note(error: OSError) -> None:
        faults.append((_printable(str(error.filename)), error.strerror or "cannot be opened"))

    for folder, folders, files in os.walk(start, followlinks=True, onerror=note):
        try:
            status = os.stat(folder)
        except OSError:
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        if LINKS_MARK in files:
            folders.clear()
            continue
        folders[:] = sorted(
            name for name in folders if not (name.startswith(".") or is_own_link(os.path.join(folder, name)))
        )
        if is_index(files):
            indexes.append(folder)
        if unread is not None and not below(folder, indexes):
            unread += unread_among(folder, files, extensions)
        for name in files:
            if Path(name).suffix.lower() in extensions and not name.startswith("."):
                yield os.path.join(folder, name)


def _printable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


__all__ = [
    "LINKS_MARK",
    "FoundFile",
    "below",
    "check_root",
    "emptied_folders",
    "find_files",
    "outer_roots",
]
