"""Lists the sounds below folders, their descriptions in metadata files, and skipped files."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...files.unread_files import Unread, unread_lines
from ..errors import SearchError
from .descriptions import Descriptions, read_descriptions
from .walking import (
    FoundFile,
    absent_roots,
    check_root,
    emptied_folders,
    find_files,
    named_files,
    outer_roots,
)


@dataclass(frozen=True)
class Survey:
    """
    Attributes:
        files: sounds.
        said: what metadata files say of them.
        faults: (path, reason) of inaccessible entries, and of files of the index that are no longer read.
        unread: unreadable or unsupported files to report.
        kept: the faults of files of the index whose entries stay.
    """

    files: list[FoundFile]
    said: Descriptions
    faults: list[tuple[str, str]] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)


def survey(
    roots: Sequence[str], extensions: frozenset[str], known: Mapping[str, Mapping[str, Any]], *, prune: bool
) -> Survey:
    """
    Lists sounds, descriptions and skipped files below folders.

    Args:
        roots: absolute paths of folders or files.
        extensions: endings that are read, lower case, with the dot.
        known: entries of the index by path, with ``root``.
        prune: skip roots that do not exist, and do not report folders that have become empty. A root that does not
            exist and that the index has no file of is reported: it may be misspelt.

    Raises:
        FileNotFoundError: for a root that does not exist.
        SearchError: if there are no sounds, neither in the folders nor in the index.
    """
    there = [root for root in roots if os.path.exists(root)] if prune else list(map(check_root, roots))
    unread: list[Unread] = []
    outer = outer_roots(roots, {row["root"] for row in known.values()})
    files, faults = find_files(there, extensions, outer=outer, unread=unread)
    named = named_files(roots, files, known, extensions)
    if named:
        paths = {file.path for file in named}
        files = sorted([*files, *named], key=lambda file: file.path)
        unread = [file for file in unread if file.path not in paths]
    if not files and not known:
        told = "".join(f"; {path}: {reason}" for path, reason in faults[:3])
        told += "".join(f"; {line}" for line in unread_lines(unread))
        raise SearchError(f"{', '.join(roots)}: no sound file ({', '.join(sorted(extensions))}){told}.")
    said = read_descriptions(((file.path, file.root) for file in files), roots)
    kept = _no_longer_read(unread, known)
    faults += kept
    kept += [fault for fault in faults if fault[0] in known and fault not in kept]
    faults += absent_roots(roots, known) if prune else emptied_folders(roots, files, known)
    return Survey(files, said, faults, unread, kept)


def _no_longer_read(unread: Iterable[Unread], known: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Sounds of an index that are still there, while this installation does not read their endings."""
    reason = "this installation does not read such files; its entries stay in the index"
    return [(file.path, reason) for file in unread if file.path in known]


__all__ = ["Survey", "survey"]
