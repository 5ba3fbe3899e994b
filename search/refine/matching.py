"""From marks to windows of the index: by the content of the file and the times of the moment."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..query.known_vectors import SAME_MOMENT_SECONDS
from ..store.entries import FileEntry
from ..store.index_store import Store
from .mark_table import Marks
from .marked_index import counted, digests_of, files_by_digest
from .marks import Mark

# A window stands for a moment of other length if it shares at least so much of the shorter of both.
LEAST_SHARED = 0.5
GONE = "the file is not in the index"
CHANGED = "the file's content has changed since it was marked"
NO_WINDOW = "the index has no window at that moment"


@dataclass(frozen=True)
class MatchedMarks:
    """
    Marks as windows of the index, one a window.

    Attributes:
        marks: the last one of each window, ``marks``.
        vectors: vectors of the windows, ``(marks, width)``.
        fits: ``(marks,)`` bool.
        starts, ends: of the windows, seconds, ``(marks,)``.
        paths: paths of each window's file, several if there are copies.
        contradictions: number of windows that were marked both ways.
        missing: marks that no window goes with, and why.
        foreign: number of the marks that were set in an index of another model.
    """

    marks: Sequence[Mark]
    vectors: np.ndarray
    fits: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    paths: Sequence[Sequence[str]]
    contradictions: int = 0
    missing: Sequence[tuple[Mark, str]] = ()
    foreign: int = 0
    groups: Sequence[str] = field(default=())

    def __len__(self) -> int:
        return len(self.marks)

    @property
    def windows(self) -> set[tuple[str, float, float]]:
        """Path, start and end of every marked window, of all copies."""
        rows = zip(self.paths, self.starts, self.ends, strict=True)
        return {(path, float(start), float(end)) for paths, start, end in rows for path in paths}

    def remarks(self) -> list[str]:
        """Remarks for the user, one sentence each."""
        told = []
        if self.contradictions:
            windows = counted(self.contradictions, "window is", "windows are")
            told.append(f"{windows} marked both as fitting and as not fitting; the later mark counts.")
        for reason, count in Counter(reason for _, reason in self.missing).most_common():
            first = next(mark for mark, why in self.missing if why == reason)
            marks = counted(count, "mark is", "marks are")
            told.append(f"{marks} not used: {reason} (first: {first.path or first.digest}).")
        if self.foreign:
            marks = counted(self.foreign, "mark was", "marks were")
            told.append(f"{marks} set in an index of another model, and matched by content and time.")
        return told


def match_window(starts: np.ndarray, ends: np.ndarray, start: float, end: float) -> int | None:
    """
    Index of the window that represents a moment; None if there is none.

    The window with the same times; otherwise the one that overlaps the moment most by intersection over union, if the
    overlap is at least half of the shorter of both. Of equal windows the first one.

    Args:
        starts, ends: of a file's windows, seconds, ``(windows,)``.
        start, end: of the moment, seconds.
    """
    if not len(starts):
        return None
    same = (np.abs(starts - start) < SAME_MOMENT_SECONDS) & (np.abs(ends - end) < SAME_MOMENT_SECONDS)
    if same.any():
        return int(np.argmax(same))
    shared = np.maximum(np.minimum(ends, end) - np.maximum(starts, start), 0.0)
    shorter = np.minimum(ends - starts, end - start)
    union = np.maximum(ends, end) - np.minimum(starts, start)
    overlap = np.where(shared >= LEAST_SHARED * shorter, shared / np.maximum(union, 1e-9), -1.0)
    best = int(np.argmax(overlap))
    return best if overlap[best] > 0 else None


def match_marks(store: Store, marks: Iterable[Mark], query: np.ndarray | None = None) -> MatchedMarks:
    """
    Finds the windows of marks, also for files that have moved.

    Args:
        store: store of the index.
        marks: in the order in which they were set, as [`MarkTable.changes`] gives them.
        query: vector ``(width,)`` of the query, for marks without a moment: theirs is the file's best window.
            Without it that is the window nearest to the whole file.

    Raises:
        StoreError: if the index cannot be read.
    """
    found = list(marks)
    paths = files_by_digest(store, (mark.digest for mark in found if mark.digest))
    entries = store.entries(sorted({places[0] for places in paths.values()}))
    by_digest = {digest: entries[places[0]] for digest, places in paths.items() if places[0] in entries}
    unknown = [mark.path for mark in found if mark.digest not in by_digest and mark.path]
    now_there = digests_of(store, unknown)
    last: dict[tuple[str, int], Mark] = {}
    both: set[tuple[str, int]] = set()
    missing: list[tuple[Mark, str]] = []
    for mark in found:
        entry = by_digest.get(mark.digest)
        window = None if entry is None else _window_of(entry, mark, query)
        if window is None:
            reason = NO_WINDOW
            if entry is None:
                reason = CHANGED if mark.digest and mark.path in now_there else GONE
            missing += [(mark, reason)] if mark.fits is not None else []
            continue
        before = last.pop((mark.digest, window), None)
        if before is not None and {before.fits, mark.fits} == {True, False}:
            both.add((mark.digest, window))
        last[mark.digest, window] = mark
    last = {place: mark for place, mark in last.items() if mark.fits is not None}
    width = store.record["width"]
    windows = [(by_digest[digest], window) for digest, window in last]
    vectors = [entry.vectors[window] for entry, window in windows]
    kept = list(last.values())
    fingerprint = store.record["fingerprint"]
    return MatchedMarks(
        kept,
        np.stack(vectors).astype(np.float32) if vectors else np.zeros((0, width), dtype=np.float32),
        np.array([bool(mark.fits) for mark in kept], dtype=bool),
        np.array([float(entry.starts[window]) for entry, window in windows]),
        np.array([float(entry.ends[window]) for entry, window in windows]),
        [tuple(paths[digest]) for digest, _ in last],
        len(both) + (marks.contradictions if isinstance(marks, Marks) else 0),
        missing,
        sum(mark.fingerprint not in ("", fingerprint) for mark in kept),
        [digest for digest, _ in last],
    )


def _window_of(entry: FileEntry, mark: Mark, query: np.ndarray | None) -> int | None:
    if mark.start is None or mark.end is None:
        if not len(entry.starts):
            return None
        return int(np.argmax(entry.vectors @ (entry.vector if query is None else query)))
    return match_window(entry.starts, entry.ends, mark.start, mark.end)


__all__ = ["CHANGED", "GONE", "NO_WINDOW", "MatchedMarks", "match_marks", "match_window"]
