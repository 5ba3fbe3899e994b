"""The whole table in one memory-mapped Arrow file, so that queries need no database."""

import mmap
import os
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

import pyarrow as arrow
from pyarrow import ipc

from ...files.replacing import remove_file, replace_path

SNAPSHOT = "snapshot.arrow"
# Windows neither replaces nor removes a file that any process has mapped: there a snapshot is read into memory, or a
# page that is open for days would stop every update.
MAPS = sys.platform != "win32"
BYTES, CHECKSUM, WAITING = b"auricle.bytes", b"auricle.crc32", b"auricle.waiting"


class Snapshot(NamedTuple):
    """
    Attributes:
        rows: of the whole index.
        waiting: `PendingFiles.mark` of the files beside the table whose rows it has; None: of no such files.
    """

    rows: arrow.Table
    waiting: str | None


def write_snapshot(folder: Path, rows: arrow.Table, waiting: str | None = None) -> None:
    """
    Writes all rows, atomically, followed by a checksum: an empty record batch whose metadata contain the number of
    bytes before it and their CRC-32.

    Args:
        folder: of the index.
        rows: all of it.
        waiting: see [`Snapshot`].

    Raises:
        OSError: if the disk is full.
    """
    fresh = folder / f".{SNAPSHOT}.partial"
    try:
        with arrow.OSFile(str(fresh), "wb") as sink, ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)
            sink.flush()
            count = sink.tell()
            with open(fresh, "rb") as written:
                checksum = _checksum(written.fileno(), count)
            told = {BYTES: str(count), CHECKSUM: str(checksum)}
            told |= {} if waiting is None else {WAITING: waiting}
            writer.write_batch(arrow.RecordBatch.from_pylist([], schema=rows.schema), custom_metadata=told)
        replace_path(fresh, folder / SNAPSHOT)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def read_snapshot(folder: Path, schema: arrow.Schema) -> Snapshot | None:
    """
    The snapshot, with its rows memory-mapped; None if there is no snapshot, it is damaged, or it has other columns.

    Snapshots of earlier versions have no checksum: they are only checked for damage that would crash the process.

    Args:
        folder: folder of the index.
        schema: schema of the rows.
    """
    try:
        path = os.fspath(folder / SNAPSHOT)
        reader = ipc.open_file(
            arrow.memory_map(path) if MAPS else arrow.BufferReader(Path(path).read_bytes())
        )
        if not reader.schema.equals(schema):
            return None
        count = reader.num_record_batches
        _, told = reader.get_batch_with_custom_metadata(count - 1) if count else (None, None)
        if told is not None and CHECKSUM in told:
            with open(path, "rb") as file:
                if _checksum(file.fileno(), int(told[BYTES])) != int(told[CHECKSUM]):
                    return None
            # Without the empty one at the end: columns of one piece are not copied.
            batches = [reader.get_batch(place) for place in range(count - 1)]
            waiting = told.get(WAITING)
            rows = arrow.Table.from_batches(batches, schema=reader.schema)
            return Snapshot(rows, None if waiting is None else waiting.decode())
        rows = reader.read_all()
        # Texts and lengths that a disk has changed would end the process; vectors would only be wrong.
        rows.drop_columns(["vector"]).validate(full=True)
        return Snapshot(rows, None)
    except (OSError, ValueError, KeyError, arrow.ArrowException):
        return None


def _checksum(file: int, count: int) -> int:
    """
    CRC-32 of a file's first bytes.

    Raises:
        ValueError: if it has not so many.
    """
    if not count:
        return 0
    with mmap.mmap(file, count, access=mmap.ACCESS_READ) as content:
        return zlib.crc32(content)


def snapshot_state(folder: Path) -> tuple[int, int] | None:
    """A value that changes whenever the snapshot changes; None if there is no snapshot."""
    try:
        status = (folder / SNAPSHOT).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def drop_snapshot(folder: Path) -> None:
    """Removes the snapshot before the table's first change, after which it is out of date; open maps stay valid."""
    remove_file(folder / SNAPSHOT)


__all__ = ["Snapshot", "drop_snapshot", "read_snapshot", "snapshot_state", "write_snapshot"]
