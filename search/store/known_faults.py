"""Files that were unreadable when last tried: reported again, and tried again once something changes."""

import hashlib
import json
import os
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass

from ... import __version__
from ...processing import decoder_versions
from .index_folder import IndexFolder

FAULTS = "faults.json"


@dataclass(frozen=True)
class KnownFault:
    """
    Attributes:
        size, mtime_ns: of the file, bytes and time of change, when it was tried.
        reason: why it could not be read.
        neighbours: digest of related files in the same folder; see [`Neighbours`].
    """

    size: int
    mtime_ns: int
    reason: str
    neighbours: str = ""


class Neighbours:
    """
    Files with a similar name in the same folder, which a decoder may have read as a part of a file.

    For ``take.mp3`` these are files of the same folder whose names start with ``take``, also after
    ``.`` or ``._``, such as the AppleDouble file ``._take.mp3``. A folder is listed once.
    """

    def __init__(self) -> None:
        self._folders: dict[str, list[tuple[str, str, str]]] = {}

    def of(self, path: str) -> str:
        """A digest of the neighbours' names, sizes and times of change; empty without any."""
        folder, name = os.path.split(path)
        stem, listed = os.path.splitext(name)[0], self._listed(folder)
        states = []
        for place in range(bisect_left(listed, (stem,)), len(listed)):
            bare, other, state = listed[place]
            if not bare.startswith(stem):
                break
            # "take 2" belongs to "take", "taken" does not.
            if other != name and not bare[len(stem) : len(stem) + 1].isalnum():
                states.append(state)
        return (
            hashlib.sha256("\n".join(states).encode("utf-8", "surrogateescape")).hexdigest() if states else ""
        )

    def _listed(self, folder: str) -> list[tuple[str, str, str]]:
        """Of a folder's files, sorted: name without what marks sidecars, name, state."""
        if folder not in self._folders:
            found: list[tuple[str, str, str]] = []
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(OSError):
                        status, bare = entry.stat(), entry.name.removeprefix(".").removeprefix("_")
                        state = f"{entry.name}\0{status.st_size}\0{status.st_mtime_ns}"
                        found.append((bare, entry.name, state))
            self._folders[folder] = sorted(found)
        return self._folders[folder]


def read_faults(folder: IndexFolder) -> dict[str, KnownFault]:
    """The stored faults by path; empty if another version of package or decoder wrote them, since it may read more."""
    # Without the file, or with half of one, everything is tried again.
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        kept = json.loads(folder.read(FAULTS))
        if kept["decoder"] == _reader():
            return {path: KnownFault(*fault) for path, fault in kept["faults"].items()}
    return {}


def write_faults(folder: IndexFolder, faults: dict[str, KnownFault]) -> None:
    """
    Replaces the stored faults.

    Raises:
        OSError: if they cannot be written.
    """
    rows = {
        path: [fault.size, fault.mtime_ns, fault.reason, fault.neighbours]
        for path, fault in sorted(faults.items())
    }
    text = json.dumps({"decoder": _reader(), "faults": rows}, ensure_ascii=False)
    folder.write(FAULTS, (text + "\n").encode())


def _reader() -> str:
    """Versions of this package and of all that decodes sound for it."""
    return f"auricle {__version__}, {decoder_versions()}"


__all__ = ["KnownFault", "Neighbours", "read_faults", "write_faults"]
