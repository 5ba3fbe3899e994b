"""Embedded files that are not in the table yet: one small Arrow file each, so that a kill loses none."""

import hashlib
import os
from pathlib import Path

import pyarrow as arrow
from pyarrow import ipc

from ...files.replacing import remove_file, replace_path

ENDING = ".arrow"


class PendingFiles:
    """
    Rows of single files in a folder, until they are merged into the table.

    A commit of the table gets slower with the number of commits before it, and each leaves a version on disk; a small
    file always costs the same. Rows here replace the table's rows of the same path. A few files may stay here after an
    update: the snapshot then includes their rows, because opening the database takes longer than all the rest.

    Args:
        folder: created with the first file.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        # Read at every query: what is unchanged is not read again.
        self._read: tuple[tuple, arrow.Table | None, list[str]] | None = None

    def __len__(self) -> int:
        return len(self._names())

    def write(self, path: str, rows: arrow.Table) -> None:
        """
        Stores a file's rows.

        Raises:
            OSError: if they cannot be written; no partial file remains.
        """
        self.folder.mkdir(exist_ok=True)
        name = name_of(path)
        fresh = self.folder / f".{name}.partial"
        try:
            with arrow.OSFile(str(fresh), "wb") as sink, ipc.new_file(sink, rows.schema) as writer:
                writer.write_table(rows)
            replace_path(fresh, self.folder / name)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise

    def state(self) -> tuple:
        """A value that changes whenever the waiting files change."""
        try:
            with os.scandir(self.folder) as entries:
                found = [(entry.name, entry.inode(), entry.stat().st_mtime_ns) for entry in entries]
        except FileNotFoundError:
            # The folder, or a file that went into the table at this moment.
            return tuple(self._names())
        return tuple(sorted(entry for entry in found if entry[0].endswith(ENDING)))

    def mark(self) -> str:
        """[`state`] in short, for the snapshot that has these rows."""
        return hashlib.sha256(repr(self.state()).encode()).hexdigest()

    def read(self) -> tuple[arrow.Table | None, list[str]]:
        """All rows, and the names to pass to [`drop`] once they are in the table; None if there are none."""
        state = self.state()
        if self._read is not None and self._read[0] == state:
            return self._read[1:]
        tables, names = [], self._names()
        for name in names:
            try:
                tables.append(ipc.open_file(arrow.BufferReader((self.folder / name).read_bytes())).read_all())
            except (OSError, arrow.ArrowInvalid):
                # Another process has merged it, or a power cut emptied it; then the sound is embedded again.
                continue
        found = arrow.concat_tables(tables) if tables else None
        self._read = (state, found, names)
        return found, names

    def drop(self, names: list[str]) -> None:
        """Removes files."""
        for name in names:
            remove_file(self.folder / name)

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.folder) if name.endswith(ENDING))
        except FileNotFoundError:
            return []


def name_of(path: str) -> str:
    """Name of the file with the rows of a sound."""
    return f"{hashlib.sha256(path.encode()).hexdigest()[:32]}{ENDING}"


__all__ = ["PendingFiles", "name_of"]
