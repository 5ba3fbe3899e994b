"""Contents of an index in memory, read again when the index has changed."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ...files.file_names import NameTable
from ..store.columns import FACTS, read_columns, read_facts
from ..store.index_store import Store
from .filters import indexed_folders
from .names import NameIndex, labels

# While another process writes a large index, it is not read again for every added file.
TIMES_AS_LONG = 10


class IndexContents:
    """
    A snapshot of an index's rows as arrays; each part is read when it is first used.

    Args:
        store: store of the index.
    """

    def __init__(self, store: Store):
        self._store = store
        self._lock = threading.RLock()
        self._parts: dict[str, Any] = {}
        self.seconds = 0.0

    @property
    def windows(self) -> dict[str, np.ndarray]:
        """Rows of all windows; see [`columns.read_columns`]."""
        return self._part("columns", lambda: read_columns(self._store.rows()))["windows"]

    @property
    def files(self) -> dict[str, np.ndarray]:
        """Path, root, duration, tags, license, metadata (JSON) and digest of every file, sorted by path."""
        return self._part("files", self._read_files)

    @property
    def roots(self) -> tuple[str, ...]:
        """The indexed folders, sorted; for a single file, its folder."""
        return self._part("roots", lambda: indexed_folders(self.files))

    @property
    def names(self) -> NameIndex:
        """Names of the files, in order."""
        return self._part("names", lambda: NameIndex(labels(self.files)))

    @property
    def paths(self) -> NameTable:
        """Paths of the files, for finding one by a name in another Unicode form."""
        return self._part("paths", lambda: NameTable(self.files["path"].tolist()))

    def _part(self, name: str, read: Callable[[], Any]) -> Any:
        with self._lock:
            if name not in self._parts:
                began = time.monotonic()
                self._parts[name] = read()
                self.seconds += time.monotonic() - began
            return self._parts[name]

    def _read_files(self) -> dict[str, np.ndarray]:
        if not self._store.approximate:
            return self._part("columns", lambda: read_columns(self._store.rows()))["files"]
        return read_facts(self._store.file_rows(list(FACTS)))


class CurrentContents:
    """
    An index's newest [`IndexContents`]; thread-safe.

    After a change they are read again, at most once in ten times the time that reading takes.

    Args:
        store: store of the index.
    """

    def __init__(self, store: Store):
        self.store = store
        self._lock = threading.Lock()
        self._held: IndexContents | None = None
        self._state: tuple | None = None
        self._since = 0.0

    def forget(self) -> None:
        """Makes the next call read everything again."""
        with self._lock:
            self._held = None

    def get(self) -> IndexContents:
        """The present contents."""
        with self._lock:
            state = self.store.state()
            held = self._held
            if held is not None and state != self._state:
                wait = TIMES_AS_LONG * held.seconds
                if time.monotonic() >= self._since + wait:
                    held = None
            if held is None:
                held = self._held = IndexContents(self.store)
                self._state, self._since = state, time.monotonic()
            return held


__all__ = ["CurrentContents", "IndexContents"]
