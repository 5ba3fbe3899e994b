"""The index on disk: a LanceDB table of files and their windows, and what they were made with."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow

TABLE = "sounds"
RECORD = "index.json"
FORMAT, VERSION = "auricle index", 1
WHOLE_FILE = -1


class StoreError(ValueError):
    """An index that cannot be opened or written; the message says why and what to do."""


@dataclass(frozen=True)
class FileEntry:
    """
    One file as it is kept.

    Attributes:
        path, root: absolute.
        size, mtime_ns, digest: bytes, time of change and SHA-256 of the content.
        duration: seconds.
        tags: names of the folders between root and file.
        starts, ends: of the windows, seconds, ``(windows,)``.
        vectors: unit length, ``(windows, width)``.
        vector: of the whole file, unit length, ``(width,)``.
    """

    path: str
    root: str
    size: int
    mtime_ns: int
    digest: str
    duration: float
    tags: tuple[str, ...]
    starts: np.ndarray
    ends: np.ndarray
    vectors: np.ndarray
    vector: np.ndarray


class Store:
    """
    A folder with a LanceDB table and ``index.json``.

    A file's rows are added in one commit: a process that is killed leaves all of them or none.

    Args:
        directory: of an index.

    Raises:
        ImportError: if LanceDB is not installed.
        StoreError: if it is none, or damaged.
    """

    def __init__(self, directory: str | os.PathLike[str]):
        self.directory = Path(directory)
        path = self.directory / RECORD
        if not path.is_file():
            raise StoreError(f"{directory}: is no index (no {RECORD}); make one with auricle index.")
        try:
            self.record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            known = self.record["format"] == FORMAT and self.record["version"] == VERSION
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise StoreError(f"{path}: is damaged ({error}); make the index anew.") from error
        if not known:
            raise StoreError(f"{path}: is of another kind or version; make the index anew.")
        try:
            self._table = _connect(self.directory).open_table(TABLE)
            self._table.count_rows()
        except ImportError:
            raise
        except Exception as error:  # LanceDB raises RuntimeError, ValueError, OSError and its own
            raise StoreError(
                f"{directory}: its table cannot be opened ({_line(error)}); make it anew."
            ) from error

    @classmethod
    def create(cls, directory: str | os.PathLike[str], record: dict[str, Any], width: int) -> "Store":
        """
        Makes an empty index.

        Args:
            directory: made if missing.
            record: what the vectors are made with: model, fingerprint, window and hop.
            width: of the vectors.
        """
        directory = Path(directory)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _connect(directory).create_table(TABLE, schema=_schema(width), mode="overwrite")
            full = {"format": FORMAT, "version": VERSION, **record, "width": width}
            fresh = directory / f".{RECORD}.partial"
            fresh.write_text(json.dumps(full, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            fresh.replace(directory / RECORD)
        except OSError as error:
            raise StoreError(f"{directory}: cannot be written ({error.strerror or _line(error)}).") from error
        return cls(directory)

    def files(self) -> dict[str, dict[str, Any]]:
        """By path: root, size, mtime_ns and digest of every file."""
        columns = ["path", "root", "size", "mtime_ns", "digest"]
        rows = self._read(columns, f"window = {WHOLE_FILE}").to_pylist()
        return {row["path"]: row for row in rows}

    def rows(self) -> arrow.Table:
        """All rows: files and windows."""
        return self._read(None, None)

    def add(self, entries: Sequence[FileEntry]) -> None:
        """Adds files in one commit."""
        if not entries:
            return
        try:
            self._table.add(_rows(entries, self.record["width"]))
        except (OSError, RuntimeError, ValueError) as error:
            raise StoreError(f"{self.directory}: cannot be written ({_line(error)}).") from error

    def remove(self, paths: Iterable[str]) -> None:
        """Takes files out."""
        paths = list(paths)
        for start in range(0, len(paths), 200):
            quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths[start : start + 200])
            try:
                self._table.delete(f"path IN ({quoted})")
            except (OSError, RuntimeError, ValueError) as error:
                raise StoreError(f"{self.directory}: cannot be written ({_line(error)}).") from error

    def entry(self, path: str) -> FileEntry:
        """A file's rows."""
        quoted = path.replace("'", "''")
        table = self._read(None, f"path = '{quoted}'").sort_by("window")
        rows = table.to_pylist()
        vectors = matrix(table)
        first = rows[0]
        return FileEntry(
            path=path,
            root=first["root"],
            size=first["size"],
            mtime_ns=first["mtime_ns"],
            digest=first["digest"],
            duration=first["duration"],
            tags=tuple(first["tags"]),
            starts=np.array([row["start"] for row in rows[1:]]),
            ends=np.array([row["end"] for row in rows[1:]]),
            vectors=vectors[1:],
            vector=vectors[0],
        )

    def compact(self) -> None:
        """Merges the many small pieces that single additions leave."""
        # Versions that a process which has the table open may still read stay for a while.
        self._table.optimize(cleanup_older_than=timedelta(minutes=10))

    def _read(self, columns: list[str] | None, where: str | None) -> arrow.Table:
        query = self._table.search()
        if where is not None:
            query = query.where(where)
        if columns is not None:
            query = query.select(columns)
        return query.limit(None).to_arrow()


def matrix(table: arrow.Table) -> np.ndarray:
    """The column ``vector`` as float32 ``(rows, width)``."""
    column = table.column("vector").combine_chunks()
    width = column.type.list_size
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float32).reshape(-1, width)


def _schema(width: int) -> arrow.Schema:
    return arrow.schema(
        [
            ("path", arrow.string()),
            ("root", arrow.string()),
            ("window", arrow.int32()),
            ("start", arrow.float64()),
            ("end", arrow.float64()),
            ("duration", arrow.float64()),
            ("size", arrow.int64()),
            ("mtime_ns", arrow.int64()),
            ("digest", arrow.string()),
            ("tags", arrow.list_(arrow.string())),
            ("vector", arrow.list_(arrow.float16(), width)),
        ]
    )


def _rows(entries: Sequence[FileEntry], width: int) -> arrow.Table:
    columns: dict[str, list] = {name: [] for name in _schema(width).names if name != "vector"}
    vectors = []
    for entry in entries:
        spans = [(WHOLE_FILE, 0.0, entry.duration), *_spans(entry)]
        for window, start, end in spans:
            shared = {
                "path": entry.path,
                "root": entry.root,
                "duration": entry.duration,
                "size": entry.size,
                "mtime_ns": entry.mtime_ns,
                "digest": entry.digest,
                "tags": list(entry.tags),
            }
            for name, value in {**shared, "window": window, "start": float(start), "end": float(end)}.items():
                columns[name].append(value)
        vectors += [entry.vector[None], entry.vectors]
    values = arrow.array(np.concatenate(vectors).astype(np.float16).reshape(-1))
    columns["vector"] = arrow.FixedSizeListArray.from_arrays(values, width)
    return arrow.table(columns, schema=_schema(width))


def _spans(entry: FileEntry) -> list[tuple[int, float, float]]:
    return [(place, *span) for place, span in enumerate(zip(entry.starts, entry.ends, strict=True))]


def _connect(directory: Path) -> Any:
    # It tells of every table that it makes.
    os.environ.setdefault("LANCEDB_LOG", "error")
    try:
        import lancedb
    except ImportError as error:
        raise ImportError("an index needs LanceDB: pip install 'auricle[search]'.") from error
    return lancedb.connect(str(directory))


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[
        :200
    ]


__all__ = ["RECORD", "WHOLE_FILE", "FileEntry", "Store", "StoreError", "matrix"]
