"""The whole table in one Arrow file, mapped into memory: a question then needs no database."""

import os
from pathlib import Path

import pyarrow as arrow
from pyarrow import ipc

SNAPSHOT = "snapshot.arrow"


def write_snapshot(folder: Path, rows: arrow.Table) -> None:
    """
    Writes all rows, whole or not at all.

    Raises:
        OSError: if there is no room.
    """
    fresh = folder / f".{SNAPSHOT}.partial"
    try:
        with arrow.OSFile(str(fresh), "wb") as sink, ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)
        fresh.replace(folder / SNAPSHOT)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def read_snapshot(folder: Path, schema: arrow.Schema) -> arrow.Table | None:
    """
    All rows, mapped; None if there is no snapshot, or a damaged one, or one of other columns.

    Args:
        folder: of the index.
        schema: of the rows.
    """
    try:
        rows = ipc.open_file(arrow.memory_map(os.fspath(folder / SNAPSHOT))).read_all()
        # Texts and lengths that a disk has changed would end the process; vectors would only be wrong.
        rows.drop_columns(["vector"]).validate(full=True)
        return rows if rows.schema.equals(schema) else None
    except (OSError, KeyError, arrow.ArrowException):
        return None


def snapshot_state(folder: Path) -> tuple[int, int] | None:
    """What is equal as long as the snapshot is the same; None if there is none."""
    try:
        status = (folder / SNAPSHOT).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def drop_snapshot(folder: Path) -> None:
    """Before the first change: what is there is always the table's content. Who has it mapped keeps it."""
    (folder / SNAPSHOT).unlink(missing_ok=True)


__all__ = ["drop_snapshot", "read_snapshot", "snapshot_state", "write_snapshot"]
