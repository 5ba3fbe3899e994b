"""The index on disk: a LanceDB table of files and windows, and the settings that it was made with."""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any

import pyarrow as arrow
import pyarrow.compute as compute

from ..errors import StoreError
from .entries import WHOLE_FILE, FileEntry, from_rows, paths_among, schema, to_rows, whole_files
from .index_folder import IndexFolder
from .index_record import FORMAT, RECORD, SETTINGS, VERSION, open_record, record_text, remember_model
from .lance_table import connect, first_line, mend_table, quoted, reason_of
from .pending import PendingFiles
from .small_updates import FILES_A_COMMIT, finish_beside_the_table, in_order
from .snapshot import Snapshot, drop_snapshot, read_snapshot, snapshot_state, write_snapshot
from .vector_index import MOST_PIECES, Engine, LocalEngine, NearestQuery, is_indexed, merge_pieces, num_pieces

TABLE = "sounds"
# Above, one product with all vectors costs more than asking an approximate index (and more memory than most have).
EXACT_WINDOWS = 250_000
# What another process may still read in an object store; on one's own disk it notices, and reads again.
VERSIONS_STAY, REMOTE_VERSIONS_STAY = timedelta(0), timedelta(hours=1)


class Store:
    """
    The stored index: a LanceDB table and ``index.json``.

    Added files survive a kill: on a local disk their rows are in small files of their own until they are merged
    into the table; in an object store each is committed at once. While the table is small and unchanged, a
    snapshot of it answers queries without the database.

    Args:
        place: folder, or URI in an object store, of an index.
        engine: builds and queries the approximate index; this process if not given.

    Raises:
        StoreError: if the directory is not an index, or is damaged.
    """

    def __init__(self, place: str | os.PathLike[str], *, engine: "Engine | None" = None):
        self.engine = engine or LocalEngine()
        self.folder = IndexFolder(place)
        self.record = open_record(self.folder)
        path = self.folder.path
        self._pending = None if path is None else PendingFiles(path / "pending")
        self._counted: tuple[int, int] | None = None
        self._mapped: tuple[Any, Snapshot | None] = (None, None)
        self._closed = False
        if not self._has_table and self._snapshot() is None:
            raise StoreError(
                f"{place}: its table {TABLE}.lance is missing, and it has no complete snapshot; make a new index."
            )

    @classmethod
    def create(cls, place: str | os.PathLike[str], record: dict[str, Any], width: int) -> "Store":
        """
        Creates an empty index.

        Args:
            place: folder, made if missing; or URI.
            record: settings of the vectors: model, fingerprint, window and hop.
            width: width of the vectors.

        Raises:
            ImportError: if LanceDB is not installed.
            StoreError: if it cannot be written.
        """
        folder = IndexFolder(place)
        full = {
            "format": FORMAT,
            "version": VERSION,
            "exact_windows": EXACT_WINDOWS,
            "settings": {name: default for name, (_, default) in SETTINGS.items()},
            **record,
            "width": width,
        }
        try:
            if folder.path is not None:
                folder.path.mkdir(parents=True, exist_ok=True)
                drop_snapshot(folder.path)
            # In an object store another process may be making the same index at this moment.
            options = {"mode": "overwrite"} if folder.path is not None else {"exist_ok": True}
            connect(folder).create_table(TABLE, schema=schema(width), **options)
            folder.write(RECORD, record_text(full))
        except (OSError, RuntimeError, ValueError) as error:
            raise StoreError(f"{place}: cannot be written ({reason_of(error)}).") from error
        return cls(place)

    @property
    def _has_table(self) -> bool:
        return self.folder.path is None or (self.folder.path / f"{TABLE}.lance").is_dir()

    def close(self) -> None:
        """Closes the table and unmaps files; later calls raise StoreError."""
        self._closed, self._mapped, self._pending = True, (None, None), None
        self.__dict__.pop("table", None)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.folder}: is closed.")

    def upgrade(self) -> None:
        """
        For writers: rewrites an older version's record in the newest format, and rebuilds a missing table
        from the snapshot; raises StoreError.
        """
        self._check_open()
        if not self._has_table:
            try:
                mend_table(self.folder, TABLE, self._snapshot_rows())
            except (OSError, RuntimeError, ValueError) as error:
                raise StoreError(f"{self.folder}: cannot be written ({reason_of(error)}).") from error
        if self.record["version"] != VERSION:
            self.record["version"] = VERSION
            self._writing(lambda: self.folder.write(RECORD, record_text(self.record)))

    def remember_model(self, model: str, revision: str | None) -> None:
        """
        Records the present path of the index's model; on a read-only disk nothing is recorded.

        Args:
            model: absolute directory, or Hub id.
            revision: commit of the Hub repository, or None.
        """
        remember_model(self.folder, self.record, model, revision)

    @cached_property
    def table(self) -> Any:
        """
        The LanceDB table.

        Raises:
            ImportError: if LanceDB is not installed.
            StoreError: if it is damaged.
        """
        try:
            table = connect(self.folder).open_table(TABLE)
            table.count_rows()
        except ImportError:
            raise
        except Exception as error:  # LanceDB raises RuntimeError, ValueError, OSError and its own
            raise StoreError(
                f"{self.folder}: its table cannot be opened ({first_line(error)}); make a new index."
            ) from error
        return table

    @property
    def table_uri(self) -> str:
        """URI of the Lance dataset."""
        return f"{self.folder.uri.rstrip('/')}/{TABLE}.lance"

    # ------------------------------------------------------------------------------------ reading

    def state(self) -> tuple:
        """A value that changes whenever any process changes the index."""
        self._check_open()
        waiting = () if self._pending is None else self._pending.state()
        snapshot = None if self.folder.path is None else snapshot_state(self.folder.path)
        return (waiting, snapshot, self._version() if snapshot is None else None)

    @property
    def finished(self) -> bool:
        """Whether the last update was completed."""
        snapshot = self._snapshot()
        if self._pending is not None and len(self._pending):
            return snapshot is not None and snapshot.waiting == self._pending.mark()
        if snapshot is not None:
            return snapshot.waiting is None
        if self.approximate:
            return self._reading(lambda: is_indexed(self.table))
        return self.folder.path is None

    @property
    def approximate(self) -> bool:
        """Whether there are enough windows for queries to use the approximate index."""
        return self._snapshot() is None and self._windows() > self.record["exact_windows"]

    def files(self) -> dict[str, dict[str, Any]]:
        """Root, size, mtime_ns, digest and described of every file, by path."""
        columns = ["path", "root", "size", "mtime_ns", "digest", "described"]
        return {row["path"]: row for row in self.file_rows(columns).to_pylist()}

    def file_rows(self, columns: list[str], paths: Sequence[str] | None = None) -> arrow.Table:
        """Some columns of the files' own rows, for all files or for given paths."""
        where = f"window = {WHOLE_FILE}"
        if paths is not None:
            where += f" AND path IN ({quoted(paths)})"
        table = self.rows([*dict.fromkeys([*columns, "path"])], where)
        if paths is not None:
            table = table.filter(
                compute.is_in(table.column("path"), value_set=arrow.array(paths, arrow.string()))
            )
        return table.select(columns)

    def rows(self, columns: list[str] | None = None, where: str | None = None) -> arrow.Table:
        """
        Rows of files and windows.

        Args:
            columns: names of columns; None is all.
            where: an SQL condition on columns of the table, such as ``window = -1``; None for all rows.
        """
        self._check_open()
        table, pending = self._snapshot_and_waiting()
        if table is None:
            table = self._reading(lambda: self._scan(columns, where))
        if pending is not None:
            fresh = table.filter(compute.invert(paths_among(table, pending)))
            if where is not None and "window" not in table.column_names:
                pending = whole_files(pending)
            table = arrow.concat_tables([fresh, pending.select(table.column_names)])
        if where is not None and "window" in table.column_names:
            table = whole_files(table)
        return table if columns is None else table.select(columns)

    def entries(self, paths: Sequence[str]) -> dict[str, FileEntry]:
        """Entries of files by path; paths that are not in the index are skipped."""
        self._check_open()
        wanted = arrow.array(list(paths), arrow.string())
        found: list[arrow.Table] = []
        table, pending = self._snapshot_and_waiting()
        if table is None:
            for start in range(0, len(paths), FILES_A_COMMIT):
                where = f"path IN ({quoted(paths[start : start + FILES_A_COMMIT])})"
                found.append(self._reading(lambda where=where: self._scan(None, where)))
        else:
            found.append(table.filter(compute.is_in(table.column("path"), value_set=wanted)))
        entries = from_rows(arrow.concat_tables(found)) if found else {}
        if pending is not None:
            entries |= from_rows(pending.filter(compute.is_in(pending.column("path"), value_set=wanted)))
        return entries

    def entry(self, path: str) -> FileEntry:
        """
        The entry of a file.

        Raises:
            KeyError: if it is not in the index.
        """
        return self.entries([path])[path]

    def waiting(self) -> arrow.Table | None:
        """Rows of files that are not merged into the table yet and replace its rows; None if there are none."""
        return None if self._pending is None else self._pending.read()[0]

    def nearest(self, query: NearestQuery) -> arrow.Table:
        """
        The table's rows nearest to a query, in order, including rows of whole files.

        Waiting rows are not included: see [`waiting`].

        Raises:
            StoreError: if the table cannot be read.
        """
        return self._reading(lambda: self.engine.nearest(self.table, self.table_uri, query))

    def _version(self) -> int:
        return self._reading(lambda: self.table.version)

    def _windows(self) -> int:
        version = self._version()
        if self._counted is None or self._counted[0] != version:
            count = self._reading(lambda: self.table.count_rows(f"window != {WHOLE_FILE}"))
            self._counted = (version, count)
        return self._counted[1]

    def _snapshot_and_waiting(self) -> tuple[arrow.Table | None, arrow.Table | None]:
        """The snapshot's rows, and those that stand for some of them, or of the table; None where there are none."""
        if self._pending is not None:
            mark, snapshot = self._pending.mark(), self._snapshot()
            if snapshot is not None and snapshot.waiting == mark:
                return snapshot.rows, None
        # Before the table: what goes into it meanwhile is then found twice, and not never.
        pending = self.waiting()
        return self._snapshot_rows(), pending

    def _snapshot_rows(self) -> arrow.Table | None:
        snapshot = self._snapshot()
        return None if snapshot is None else snapshot.rows

    def _snapshot(self) -> Snapshot | None:
        if self.folder.path is None:
            return None
        state = snapshot_state(self.folder.path)
        if state is None or self._mapped[0] != state:
            self._mapped = (state, read_snapshot(self.folder.path, schema(self.record["width"])))
        return self._mapped[1]

    def _scan(self, columns: list[str] | None, where: str | None) -> arrow.Table:
        query = self.table.search()
        if where is not None:
            query = query.where(where)
        if columns is not None:
            query = query.select(columns)
        return query.limit(None).to_arrow()

    def _reading(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (OSError, RuntimeError, ValueError):
            # Another process may have merged the pieces that this version of the table was made of.
            try:
                self.table.checkout_latest()
                return read()
            except StoreError:
                raise
            except (OSError, RuntimeError, ValueError) as error:
                raise StoreError(f"{self.folder}: its table cannot be read ({first_line(error)}).") from error

    # ------------------------------------------------------------------------------------ writing

    def add(self, entries: Sequence[FileEntry]) -> None:
        """
        Adds files; files with the same paths are replaced.

        Raises:
            StoreError: if they cannot be written.
        """
        try:
            if self._pending is None:
                self._commit(to_rows(entries, self.record["width"]))
                return
            for entry in entries:
                self._pending.write(entry.path, to_rows([entry], self.record["width"]))
        except (OSError, RuntimeError, ValueError) as error:
            raise StoreError(f"{self.folder}: cannot be written ({reason_of(error)}).") from error
        if len(self._pending) >= FILES_A_COMMIT:
            self.flush()

    def flush(self) -> None:
        """
        Merges waiting files into the table.

        Raises:
            StoreError: if it cannot be written; the files then stay in their waiting files.
        """
        rows, names = self._pending.read() if self._pending is not None else (None, [])
        if rows is not None:
            self._writing(lambda: self._commit(rows))
        elif not names:
            return
        self._pending.drop(names)

    def remove(self, paths: Iterable[str]) -> None:
        """
        Removes files.

        Raises:
            StoreError: if it cannot be written.
        """
        paths = list(paths)
        if not paths:
            return
        self.flush()
        for start in range(0, len(paths), FILES_A_COMMIT):
            where = f"path IN ({quoted(paths[start : start + FILES_A_COMMIT])})"
            self._writing(lambda where=where: self.table.delete(where))

    def finish(self) -> None:
        """
        After an update: merges small pieces, updates the approximate index or writes the snapshot.

        Raises:
            StoreError: if it cannot be written; nothing that was added is lost.
        """
        snapshot = self._snapshot()
        if self._pending is not None and snapshot is not None:
            most = self.record["exact_windows"]
            if finish_beside_the_table(self.folder, self._pending, self.rows, most_windows=most):
                return
        self.flush()
        local = self.folder.path is not None
        stay = VERSIONS_STAY if local else REMOTE_VERSIONS_STAY
        if self._windows() > self.record["exact_windows"]:
            rows = self.table.count_rows()
            train = rows > 2 * self.record.get("trained_on", 0)
            self._writing(lambda: self.engine.refresh(self.table, self.table_uri, stay, train=train))
            if train:
                self.record["trained_on"] = rows
                self._writing(lambda: self.folder.write(RECORD, record_text(self.record)))
            return
        try:
            if num_pieces(self.table) >= MOST_PIECES:
                self._writing(lambda: merge_pieces(self.table, stay))
        except StoreError:
            # Another writer may have changed the pieces meanwhile; the next update merges them.
            if local:
                raise
        if local:
            rows = in_order(self.rows())
            self._writing(lambda: write_snapshot(self.folder.path, rows))

    def _commit(self, rows: arrow.Table) -> None:
        paths = compute.unique(rows.column("path")).to_pylist()
        where = f"path IN ({quoted(paths)})"
        if self._writing(lambda: self.table.count_rows(where)):
            self._writing(lambda: self.table.delete(where))
        self._writing(lambda: self.table.add(rows))

    def _writing(self, write: Callable[[], Any]) -> Any:
        try:
            if self.folder.path is not None:
                if mend_table(self.folder, TABLE, self._snapshot_rows()):
                    self.__dict__.pop("table", None)
                drop_snapshot(self.folder.path)
            return write()
        except StoreError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            raise StoreError(f"{self.folder}: cannot be written ({reason_of(error)}).") from error


__all__ = ["EXACT_WINDOWS", "FILES_A_COMMIT", "TABLE", "Store", "StoreError"]
