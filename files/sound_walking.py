"""The one walk over folders of sounds: what is read, what is not, and what could not be looked at."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .unread_files import Unread, is_index, unread_among, unread_reason

# Marks a folder of links that an export wrote: its recordings are found at their own places.
LINKS_MARK = ".auricle-links"
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


@dataclass
class SoundWalk:
    """
    Contents of a folder and its subfolders.

    Attributes:
        sounds: state of each file with a sound's extension by its path, in the order of the walk.
        unread: files to report as not read; see [`unread_reason`].
        faults: (path, reason) of inaccessible entries: folders, links without a target, links in a circle,
            pipes and devices with the extension of an audio file.
    """

    sounds: dict[str, os.stat_result] = field(default_factory=dict)
    unread: list[Unread] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)


def walk_sounds(folder: str | os.PathLike[str], extensions: frozenset[str]) -> SoundWalk:
    """
    Looks for sounds in a folder and those below it.

    Files `.ts` are audio if they are MPEG transport streams; others are programs and not reported. Links to
    folders are followed, but for circles and for links to what is in the folder anyway. Hidden files and
    folders are passed over, as are folders of links that an export made; in the folder of an index nothing is
    counted as not read.

    Args:
        folder: where to begin; a missing folder gives an empty walk.
        extensions: endings of sounds that are read, lower case, with the dot.
    """
    found = SoundWalk()
    start = os.fspath(folder)
    indexes: list[str] = []

    def note(error: OSError) -> None:
        if error.filename != start or os.path.lexists(start):
            found.faults.append((printable_path(str(error.filename)), error.strerror or "cannot be opened"))

    for place, names in _folders(start, note):
        if is_index(names):
            indexes.append(place)
        counted = not below(place, indexes)
        for name in sorted(names):
            path = os.path.join(place, name)
            if os.path.splitext(name)[1].lower() in extensions and not name.startswith("."):
                status, fault = regular_file(path)
                if status is None:
                    found.faults.append((printable_path(path), fault))
                elif not _is_source_code(path):
                    found.sounds[path] = status
            elif counted and unread_reason(name, extensions) is not None:
                # A link without a target may be that to a disk that is not there.
                fault = regular_file(path)[1] if os.path.islink(path) else ""
                if fault:
                    found.faults.append((printable_path(path), fault))
                else:
                    found.unread += unread_among(place, [name], extensions)
    return found


def regular_file(path: str) -> tuple[os.stat_result | None, str]:
    """The state of a regular file, or None and the reason: a link without a target, a pipe and others."""
    try:
        status = os.stat(path)
    except OSError as error:
        return None, _fault_of(path, error)
    if stat.S_ISREG(status.st_mode):
        return status, ""
    kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "a folder")
    return None, f"{kind}, not a file"


def _is_source_code(path: str) -> bool:
    """Whether a file `.ts` is not an MPEG transport stream; programs in TypeScript have the same ending."""
    if not path.lower().endswith(".ts"):
        return False
    try:
        with open(path, "rb") as file:
            head = file.read(384)
    except OSError:
        return False
    # Packets of 188 bytes, or of 192 with a time code before each, begin with 0x47 (ISO/IEC 13818-1, 2.4.3.2).
    starts = ((0, 188), (4, 196))
    return not any(all(head[place : place + 1] == b"G" for place in pair) for pair in starts)


def _fault_of(path: str, error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a link that leads back to itself"
    if error.errno == errno.ENOENT and os.path.islink(path):
        try:
            target = os.readlink(path)
        except OSError:
            target = "unknown"
        return f"a link whose target does not exist ({printable_path(target)})"
    return error.strerror or "cannot be looked at"


def _folders(start: str, note: object) -> Iterator[tuple[str, list[str]]]:
    """(folder, names of its entries that are not folders) for each visited folder."""
    seen: set[tuple[int, int]] = set()
    real_start = os.path.realpath(start)

    def is_own_link(path: str) -> bool:
        # Found under its own name as well, by which its metadata file knows it; but for what is hidden.
        real = os.path.realpath(path)
        if not (os.path.islink(path) and below(real, [real_start])):
            return False
        return not any(part.startswith(".") for part in Path(real).relative_to(real_start).parts)

    for folder, folders, files in os.walk(start, followlinks=True, onerror=note):
        try:
            status = os.stat(folder)
        except OSError:
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in seen or LINKS_MARK in files:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(
            name for name in folders if not (name.startswith(".") or is_own_link(os.path.join(folder, name)))
        )
        yield folder, files


def below(path: str, roots: Iterable[str]) -> bool:
    """Whether a path is one of the roots, or is in one."""
    return any(path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


def printable_path(path: str) -> str:
    """A path as text; bytes that are not valid text are escaped."""
    return path.encode("utf-8", "backslashreplace").decode()


__all__ = ["LINKS_MARK", "SoundWalk", "below", "printable_path", "regular_file", "walk_sounds"]
