"""Bringing an index up to date with the folders it covers."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from ..processing import AudioReadError
from .store import FileEntry, Store
from .walking import FoundFile

if TYPE_CHECKING:
    # Bringing an index up to date that already is does not need torch.
    from .windows import WindowVectors

# Every file is a commit of its own; as many small pieces are merged into one.
COMMITS_BETWEEN_COMPACTIONS = 2_000


@dataclass
class IndexReport:
    """
    What an update did.

    Attributes:
        added, changed, moved, removed, unchanged: numbers of files.
        windows: that were embedded.
        faults: (path, reason) of files that are not in the index.
    """

    added: int = 0
    changed: int = 0
    moved: int = 0
    removed: int = 0
    unchanged: int = 0
    windows: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)

    def line(self) -> str:
        """For people."""
        names = ("added", "changed", "moved", "removed", "unchanged")
        parts = [f"{getattr(self, name):,} {name}" for name in names]
        return f"{', '.join(parts)}; {self.windows:,} windows embedded"


def update_index(
    store: Store,
    files: Sequence[FoundFile],
    roots: Sequence[str],
    embed: "Callable[[str], WindowVectors]",
    *,
    unseen: Sequence[str] = (),
    progress: bool = True,
) -> IndexReport:
    """
    Adds new files, embeds changed ones anew, follows moved ones and takes deleted ones out.

    A file is known by path, size and time of change; one whose time alone has changed, or whose path is new while
    a file of the same content is gone, is told by the hash of its content and not embedded again. Killed at any
    moment, at most the file in work is lost.

    Args:
        store: the index.
        files: what there is now below the roots.
        roots: absolute; files of the index below others are left alone.
        embed: from a path to its vectors.
        unseen: folders and files that could not be looked at: what the index has of them stays.
        progress: show a progress bar with rate and time left.

    Raises:
        StoreError: if the index cannot be written.
    """
    report = IndexReport()
    known, there = store.files(), {file.path for file in files}
    gone = {path for path in known if path not in there and _below(path, roots) and not _below(path, unseen)}
    moved_from: dict[str, list[str]] = {}
    for path in sorted(gone):
        moved_from.setdefault(known[path]["digest"], []).append(path)
    todo = []
    for file in files:
        row = known.get(file.path)
        if row is not None and (row["size"], row["mtime_ns"]) == (file.size, file.mtime_ns):
            report.unchanged += 1
        else:
            todo.append(file)
    commits = 0
    for file in tqdm(todo, desc="indexing", unit="file", disable=not progress):
        try:
            entry, what = _entry(store, file, known, moved_from, gone, embed, report)
        except (AudioReadError, OSError) as error:
            report.faults.append((file.path, _reason(error, file.path)))
            if file.path in known:
                store.remove([file.path])
            continue
        if file.path in known:
            store.remove([file.path])
        store.add([entry])
        setattr(report, what, getattr(report, what) + 1)
        commits += 1
        if commits % COMMITS_BETWEEN_COMPACTIONS == 0:
            store.compact()
    if gone:
        store.remove(sorted(gone))
        report.removed += len(gone)
        # A moved file has left its old place, and is counted once.
        report.removed -= report.moved
    if commits or gone:
        store.compact()
    return report


def _entry(
    store: Store,
    file: FoundFile,
    known: dict[str, dict],
    moved_from: dict[str, list[str]],
    gone: set[str],
    embed: "Callable[[str], WindowVectors]",
    report: IndexReport,
) -> tuple[FileEntry, str]:
    if file.size == 0:
        raise AudioReadError(f"{file.path}: is empty (0 bytes).")
    digest = _digest(file.path)
    fresh = {"path": file.path, "root": file.root, "size": file.size, "mtime_ns": file.mtime_ns}
    fresh["tags"] = tags_of(file.path, file.root)
    row = known.get(file.path)
    if row is not None and row["digest"] == digest:
        return replace(store.entry(file.path), **fresh), "unchanged"
    if moved_from.get(digest):
        return replace(store.entry(moved_from[digest].pop()), **fresh), "moved"
    found = embed(file.path)
    report.windows += len(found.starts)
    entry = FileEntry(
        **fresh,
        digest=digest,
        duration=found.duration,
        starts=found.starts,
        ends=found.ends,
        vectors=found.vectors,
        vector=found.vector,
    )
    return entry, "changed" if row is not None else "added"


def tags_of(path: str, root: str) -> tuple[str, ...]:
    """Names of the folders between root and file, the root's own included."""
    if path == root:
        return (Path(path).parent.name,)
    return (Path(root).name, *Path(path).relative_to(root).parts[:-1])


def _below(path: str, roots: Sequence[str]) -> bool:
    return any(path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error: Exception, path: str) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error).removeprefix(f"{path}: ")


__all__ = ["IndexReport", "tags_of", "update_index"]
