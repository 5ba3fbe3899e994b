"""A small update of a small index: only the snapshot is written, and the table waits."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as arrow
import pyarrow.compute as compute

from ..errors import StoreError
from .entries import WHOLE_FILE, whole_files
from .index_folder import IndexFolder
from .lance_table import reason_of
from .pending import PendingFiles, name_of
from .snapshot import write_snapshot

if TYPE_CHECKING:
    from .index_store import Store

FILES_A_COMMIT = 256


def finish_beside_the_table(
    folder: IndexFolder, pending: PendingFiles, rows: Callable[[], arrow.Table], *, most_windows: int
) -> bool:
    """
    Writes a snapshot that has the rows of files beside the table, and leaves those files there.

    Importing the database takes two CPU-seconds, which is more than a hundred short files take. The files go into
    the table with the commit that brings `FILES_A_COMMIT` of them, or that removes a file.

    Args:
        folder: of an index on a disk, with a snapshot.
        pending: the files beside its table.
        rows: gives all rows of the index.
        most_windows: up to which a snapshot is kept.

    Returns:
        Whether that is all. It is not if there are no such files or many, or if one is damaged: that one leaves with
        the next commit.

    Raises:
        StoreError: if the snapshot cannot be written; the one before stays.
    """
    mark, (waiting, names) = pending.mark(), pending.read()
    if waiting is None or not len(whole_files(waiting)) == len(names) < FILES_A_COMMIT:
        return False
    found = rows()
    if len(found) - len(whole_files(found)) > most_windows:
        return False
    try:
        write_snapshot(folder.path, in_order(found), mark)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({reason_of(error)}).") from error
    return True


def rescue_waiting_files(store: "Store") -> list[str]:
    """
    Writes lost or damaged files beside the table again, from the snapshot, which has their rows.

    Call this before an update, under the index's lock. Otherwise an update would take these sounds for unchanged, and
    the next commit would replace the snapshot by one without them.

    Returns:
        The paths of the sounds.

    Raises:
        StoreError: if the table cannot be read.
        OSError: if a file cannot be written.
    """
    pending, snapshot = store._pending, store._snapshot()
    if pending is None or snapshot is None or snapshot.waiting is None:
        return []
    waiting, names = pending.read()
    readable = set() if waiting is None else set(waiting.column("path").to_pylist())
    if len(readable) == len(names) and pending.mark() == snapshot.waiting:
        return []
    columns = [name for name in snapshot.rows.column_names if name != "vector"]
    table = store._reading(lambda: store._scan(columns, f"window = {WHOLE_FILE}"))
    in_table = {row["path"]: row for row in table.select(columns).to_pylist()}
    lost = [
        row["path"]
        for row in whole_files(snapshot.rows).select(columns).to_pylist()
        if row["path"] not in readable and in_table.get(row["path"]) != row
    ]
    for path in lost:
        pending.write(path, snapshot.rows.filter(compute.equal(snapshot.rows.column("path"), path)))
    pending.drop(sorted(set(names) - {name_of(path) for path in (*readable, *lost)}))
    return lost


def in_order(rows: arrow.Table) -> arrow.Table:
    """By path, the row of the whole file before its windows."""
    return rows.sort_by([("path", "ascending"), ("window", "ascending")])


__all__ = ["FILES_A_COMMIT", "finish_beside_the_table", "in_order", "rescue_waiting_files"]
