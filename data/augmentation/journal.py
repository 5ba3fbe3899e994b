"""Saves answers to disk as they arrive, so that a resumed job sends no request twice."""

import os
import sqlite3
from pathlib import Path
from types import TracebackType

from ..schema import DataError

_TABLE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID"


class Journal:
    """
    A file of answers, keyed by the hash of their request. Use it in a `with` block, in one process.

    Args:
        path: a SQLite file, created if it does not exist.

    Raises:
        DataError: if the file is not a journal, or another process has it open.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = sqlite3.connect(self.path, timeout=0, isolation_level=None)
            # Two jobs on one journal would ask everything twice.
            self._database.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute(_TABLE)
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise DataError(
                f"{self.path}: another job uses this file, or it is not writable ({error})."
            ) from error
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self.path}: not a journal of answers ({error}); move the file away."
            ) from error

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def __len__(self) -> int:
        return self._database.execute("SELECT COUNT(*) FROM answers").fetchone()[0]

    def get(self, key: str) -> str | None:
        """The answer to a request, or None if it has not arrived yet."""
        row = self._database.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def put(self, key: str, answer: str) -> None:
        """Saves an answer; if the process is killed after this returns, nothing is lost."""
        self._database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, answer))


__all__ = ["Journal"]
