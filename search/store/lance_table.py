"""Opens LanceDB, builds path conditions, and shortens its error messages."""

import os
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pyarrow as arrow

from .index_folder import IndexFolder

_KNOWN_REASONS = ("No space left on device", "Read-only file system", "Permission denied")


def connect(folder: IndexFolder) -> Any:
    """
    The LanceDB database of an index; each call sees what other processes have written.

    Raises:
        ImportError: if LanceDB is not installed.
    """
    # LanceDB logs every table that it creates.
    os.environ.setdefault("LANCEDB_LOG", "error")
    try:
        import lancedb
    except ImportError as error:
        raise ImportError("an index needs LanceDB: pip install 'auricle[search]'.") from error
    # A store without TLS is reached only when asked for by its address.
    if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        os.environ.setdefault("AWS_ALLOW_HTTP", "true")
    return lancedb.connect(folder.uri, read_consistency_interval=timedelta(0))


def mend_table(folder: IndexFolder, name: str, rows: arrow.Table | None) -> bool:
    """
    Rebuilds a table that is unreadable or missing, before its first change.

    Args:
        folder: folder of the index.
        name: name of the table.
        rows: all rows; None if they are unknown: then nothing is done.

    Returns:
        Whether it was rebuilt.

    Raises:
        ImportError: if LanceDB is not installed.
        OSError, RuntimeError, ValueError: if it cannot be written.
    """
    if rows is None:
        return False
    try:
        connect(folder).open_table(name).search().select(["path"]).limit(None).to_arrow()
    except ImportError:
        raise
    except Exception:  # LanceDB raises RuntimeError, ValueError, OSError and its own
        connect(folder).create_table(name, data=rows, mode="overwrite")
        return True
    return False


def quoted(texts: Sequence[str]) -> str:
    """Texts as an SQL list, without parentheses."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def reason_of(error: Exception) -> str:
    """A short reason for a failed write."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return next((known for known in _KNOWN_REASONS if known in str(error)), first_line(error))


def first_line(error: Exception) -> str:
    """The first non-empty line of an error's message, at most 200 characters."""
    lines = (line.strip() for line in str(error).splitlines())
    first = next((line for line in lines if line), type(error).__name__)
    # Lance appends the location in its own sources.
    return re.sub(r",?\s*\S+\.rs:\d+:\d+", "", first)[:200]


__all__ = ["connect", "first_line", "mend_table", "quoted", "reason_of"]
