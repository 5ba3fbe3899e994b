"""Updates an index from its folders."""

import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...files.metadata_files import RowFault
from ...files.unread_files import Unread
from ...processing import AudioReadError
from ..store.entries import FileEntry
from ..store.index_store import FILES_A_COMMIT, Store
from ..store.known_faults import KnownFault, Neighbours, read_faults, write_faults
from .index_progress import IndexProgress
from .metadata import NOTHING, Description, merged
from .sound_fields import FIELDS_VERSION, read_fields
from .walking import FoundFile, below

if TYPE_CHECKING:
    # Bringing an index up to date that already is does not need torch.
    from ...encoders.recordings.recording_windows import WindowVectors

    Heard = Callable[[str, float], None]
    EmbedFiles = Callable[[Iterator[str]], Generator[tuple[str, WindowVectors | Exception]]]


@dataclass
class IndexReport:
    """
    The result of an update.

    Attributes:
        added, changed, moved, removed, unchanged: numbers of files.
        described: number of files with new metadata and the same audio: a metadata file changed, or this version
            reads more fields of the file.
        windows: number of windows embedded.
        with_frames: number of contents that were in the index and whose frames were added.
        remade_frames: number of contents whose frames were damaged and were made again; why is among the remarks.
        without_frames: number of contents without frames in an index that keeps them: gone, changed or unreadable.
        faults: (path, reason) of unreadable files, of unreadable metadata files, and of their rows that are not
            used or whose names match only loosely.
        rows: these rows again, with file, line and whether they are used.
        unread: files below the roots that are not readable audio files; see [`unread_reason`].
        field_faults: (path, reason) of files of the index with unreadable fields or tags. Reported when a file is
            read, and not again while it does not change.
        remarks: (path, remark) of files that were embedded with a remark: several sound tracks, channels that
            cancel each other, bytes after the sound, a repaired header, damaged frames that were made again. Reported
            when a file is embedded.
        lost: (path, reason) of files of the index that have changed and are unreadable now: they are removed.
        kept: (path, reason) of files of the index that could not be opened: their entries stay.
    """

    added: int = 0
    changed: int = 0
    described: int = 0
    moved: int = 0
    removed: int = 0
    unchanged: int = 0
    windows: int = 0
    with_frames: int = 0
    remade_frames: int = 0
    without_frames: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)
    rows: list[RowFault] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    field_faults: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    lost: list[tuple[str, str]] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)

    @property
    def changes(self) -> int:
        """Number of files whose entries changed."""
        return self.added + self.changed + self.described + self.moved + self.removed + len(self.lost)

    def line(self) -> str:
        """The result in one line of text."""
        names = [
            "added",
            "changed",
            *(["described"] if self.described else []),
            "moved",
            "removed",
            "unchanged",
        ]
        parts = [f"{getattr(self, name):,} {name}" for name in names]
        parts += [f"{len(self.lost):,} no longer readable and removed"] if self.lost else []
        parts += [f"{len(self.kept):,} not accessible and kept"] if self.kept else []
        told = f"{', '.join(parts)}; {self.windows:,} windows embedded"
        told += f"; frames of {self.with_frames:,} more files" if self.with_frames else ""
        told += f"; damaged frames of {self.remade_frames:,} files made again" if self.remade_frames else ""
        return told + (f"; {self.without_frames:,} without frames" if self.without_frames else "")


def update_index(
    store: Store,
    files: Sequence[FoundFile],
    roots: Sequence[str],
    embed_files: "EmbedFiles",
    *,
    known: dict[str, dict[str, Any]] | None = None,
    descriptions: Mapping[str, Description] | None = None,
    undescribed: Sequence[str] = (),
    unseen: Sequence[str] = (),
    progress: bool | Callable[[IndexProgress], None] = True,
    hear: "Callable[[Heard], None] | None" = None,
    check: Callable[[], None] | None = None,
) -> IndexReport:
    """
    Adds new files, embeds changed ones again, recognises moved ones and removes deleted ones.

    Files are recognised by path, size and time of change. If only the time has changed, or the path is new and a
    file with the same content has disappeared, the hash of the content identifies the file, and it is not embedded
    again. A kill loses at most the file in work. A file that cannot be decoded is reported each time, and tried
    again when it, a related file next to it, or a decoder has changed. An older entry of such a file is removed,
    since the file no longer contains this sound; if a file cannot be opened, its entry stays.

    Args:
        store: the index.
        files: present files below the roots.
        roots: absolute paths; files of the index outside them are not changed.
        embed_files: a function from paths to (path, vectors or error), in any order.
        known: the result of the index's `Store.files`, if the caller has it.
        descriptions: descriptions from metadata files, by path.
        undescribed: folders whose metadata file, and sounds whose row, cannot be read: what the index has of them
            stays.
        unseen: folders and files that could not be looked at: what the index has of them stays.
        progress: show a progress bar with the time left; or a function that is called instead, see [`IndexProgress`].
        hear: passes a callback to ``embed_files``, which calls it with path and seconds embedded so far; None: files
            count when they are done.

    Raises:
        StoreError: if the index cannot be written; what was embedded stays.
    """
    update = _Update(
        store,
        {file.path: file for file in files},
        store.files() if known is None else known,
        descriptions or {},
        roots,
        undescribed,
        unseen,
    )
    sizes = {path: update.files[path].size for path in update.todo}
    with IndexProgress(sizes, progress) as bar:
        if hear is not None:

            def heard(path: str, seconds: float) -> None:
                bar.heard(path, seconds)
                if check is not None:
                    check()

            hear(heard)
        update.describe(bar)
        with closing(embed_files(update.unknown(bar))) as embedded:
            for path, found in embedded:
                update.take(path, found)
                bar.done(path)
                if check is not None:
                    check()
    update.remove()
    return update.report


class _Update:
    """One run over the files: which are known, which are missing, and which are done."""

    def __init__(
        self,
        store: Store,
        files: Mapping[str, FoundFile],
        known: dict[str, dict[str, Any]],
        descriptions: Mapping[str, Description],
        roots: Sequence[str],
        undescribed: Sequence[str],
        unseen: Sequence[str],
    ):
        self.store, self.files, self.descriptions = store, files, descriptions
        self.report = IndexReport()
        kept = frozenset(undescribed)
        self.known = known
        self.gone = {
            path
            for path in self.known
            if path not in files and below(path, roots) and not below(path, unseen)
        }
        # Of a root that was renamed the files are below no root that is looked at, and may be here.
        lost_roots = {
            root for root in {row["root"] for row in self.known.values()} if not os.path.exists(root)
        }
        lost = [path for path, row in self.known.items() if row["root"] in lost_roots]
        self.moved_from: dict[str, list[str]] = {}
        for path in sorted({*self.gone, *lost} - files.keys(), reverse=True):
            self.moved_from.setdefault(self.known[path]["digest"], []).append(path)
        self.digests: dict[str, str] = {}
        self.unreadable: list[str] = []
        self.neighbours = Neighbours()
        self.kept_faults = read_faults(store.folder)
        self.faults = {
            path: fault
            for path, fault in self.kept_faults.items()
            if path in files or not below(path, roots) or below(path, unseen)
        }
        self.todo, self.said_anew = [], []
        for path, file in files.items():
            fault = self.faults.get(path)
            if fault is not None and fault == self._fault_of(path, fault.reason):
                self.report.faults.append((path, fault.reason))
                continue
            self.faults.pop(path, None)
            row = self.known.get(path)
            if row is None or (row["size"], row["mtime_ns"]) != (file.size, file.mtime_ns):
                self.todo.append(path)
            elif row["described"] != self._described(path) and not _any_above(path, kept):
                self.todo.append(path)
                self.said_anew.append(path)
            else:
                self.report.unchanged += 1
        self.changed = bool(self.gone)

    def describe(self, bar: IndexProgress) -> None:
        """Files of which only the metadata differ: nothing is embedded, so many go into one commit."""
        for start in range(0, len(self.said_anew), FILES_A_COMMIT):
            entries = self.store.entries(self.said_anew[start : start + FILES_A_COMMIT])
            told = [replace(entry, **self._told(path)) for path, entry in entries.items()]
            self._add(told)
            # For an older index the fields of all files are read again; for many of them nothing changes.
            news = sum(_about(entry) != _about(entries[entry.path]) for entry in told)
            self.report.described += news
            self.report.unchanged += len(told) - news
            for path in entries:
                bar.done(path)

    def unknown(self, bar: IndexProgress) -> Iterator[str]:
        """Paths with new content; entries of all other paths are updated here."""
        said_anew = set(self.said_anew)
        for path in self.todo:
            if path in said_anew:
                continue
            try:
                if self.files[path].size == 0:
                    raise AudioReadError(f"{path}: is empty (0 bytes).")
                digest = self.digests[path] = content_digest(path)
            except (AudioReadError, OSError) as error:
                self._fault(path, error)
            else:
                row = self.known.get(path)
                if row is not None and row["digest"] == digest:
                    self._add([replace(self.store.entry(path), **self._found(path), **self._told(path))])
                    self.report.unchanged += 1
                elif self.moved_from.get(digest):
                    source = self.moved_from[digest].pop()
                    self.gone.add(source)
                    self._add([replace(self.store.entry(source), **self._found(path), **self._told(path))])
                    self.report.moved += 1
                else:
                    yield path
                    continue
            bar.done(path)

    def take(self, path: str, found: "WindowVectors | Exception") -> None:
        """A file's vectors, or what was wrong with it."""
        if isinstance(found, Exception):
            self._fault(path, found)
            return
        self._add(
            [
                FileEntry(
                    **self._found(path),
                    **self._told(path),
                    digest=self.digests[path],
                    duration=found.duration,
                    starts=found.starts,
                    ends=found.ends,
                    vectors=found.vectors,
                    vector=found.vector,
                )
            ]
        )
        self.report.windows += len(found.starts)
        self.report.remarks += [(path, remark) for remark in found.remarks]
        if path in self.known:
            self.report.changed += 1
        else:
            self.report.added += 1

    def remove(self) -> None:
        """Handles missing files and files that are no longer readable; then updates the index."""
        self.store.remove(sorted(self.gone | {path for path in self.unreadable if path in self.known}))
        # A moved file has left its old place, and is counted once.
        self.report.removed = len(self.gone) - self.report.moved
        if self.changed or not self.store.finished:
            self.store.finish()
        if self.faults != self.kept_faults:
            write_faults(self.store.folder, self.faults)

    def _add(self, entries: list[FileEntry]) -> None:
        self.changed = True
        self.store.add(entries)

    def _fault(self, path: str, error: Exception) -> None:
        reason = _reason(error, path)
        self.report.faults.append((path, reason))
        if isinstance(error, OSError):
            # A disk or permission error is no reason to remove the file's entry.
            self.report.kept += [(path, reason)] if path in self.known else []
            return
        self.report.lost += [(path, reason)] if path in self.known else []
        self.faults[path] = self._fault_of(path, reason)
        self.unreadable.append(path)
        self.changed |= path in self.known

    def _fault_of(self, path: str, reason: str) -> KnownFault:
        file = self.files[path]
        return KnownFault(file.size, file.mtime_ns, reason, self.neighbours.of(path))

    def _said(self, path: str) -> Description:
        return self.descriptions.get(path, NOTHING)

    def _found(self, path: str) -> dict[str, Any]:
        file = self.files[path]
        return {"path": path, "root": file.root, "size": file.size, "mtime_ns": file.mtime_ns}

    def _described(self, path: str) -> str:
        """A value that changes whenever the description of a file may change."""
        return f"{FIELDS_VERSION}:{self._said(path).hash}"

    def _told(self, path: str) -> dict[str, Any]:
        said, own = self._said(path), read_fields(path)
        self.report.field_faults += [(path, "; ".join(own.faults))] if own.faults else []
        license, metadata = merged(own.fields, said)
        tags = dict.fromkeys((*tags_of(path, self.files[path].root), *own.tags, *said.tags))
        described = self._described(path)
        return {"tags": tuple(tags), "license": license, "metadata": metadata, "described": described}


def _about(entry: FileEntry) -> tuple[Any, ...]:
    return entry.tags, entry.license, dict(entry.metadata)


def tags_of(path: str, root: str) -> tuple[str, ...]:
    """Names of the folders between root and file, including the root's own name."""
    if path == root:
        return (Path(path).parent.name,)
    return (Path(root).name, *Path(path).relative_to(root).parts[:-1])


def _any_above(path: str, places: frozenset[str]) -> bool:
    """Whether a path or a folder that it is in is one of the places."""
    return bool(places) and (path in places or any(str(folder) in places for folder in Path(path).parents))


def content_digest(path: str) -> str:
    """SHA-256 of a file's content, by which an index recognises a moved file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error: Exception, path: str) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error).removeprefix(f"{path}: ")


__all__ = ["IndexReport", "content_digest", "tags_of", "update_index"]
