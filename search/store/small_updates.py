"""A small update of a small index: only the snapshot is written, and the table waits."""

from collections.abc import Callable

import pyarrow as arrow

from ..errors import StoreError
from .entries import whole_files
from .index_folder import IndexFolder
from .lance_table import reason_of
from .pending import PendingFiles
from .snapshot import write_snapshot

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


def in_order(rows: arrow.Table) -> arrow.Table:
    """By path, the row of the whole file before its windows."""
    return rows.sort_by([("path", "ascending"), ("window", "ascending")])


__all__ = ["FILES_A_COMMIT", "finish_beside_the_table", "in_order"]
