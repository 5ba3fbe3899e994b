"""Small files of an index that several people and programs write: appended to and replaced under a lock."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from filelock import FileLock, Timeout

from ..errors import SearchError
from ..store.index_folder import IndexFolder

LOCK = "marks.lock"
LOCK_SECONDS, POLL_SECONDS = 20.0, 0.005
_remote_lock = Lock()


@contextmanager
def changing(folder: IndexFolder) -> Iterator[None]:
    """
    Holds the lock of marks and saved searches.

    In an object store the lock only works among threads of this process: two servers that use one index may
    overwrite each other's marks there.

    Raises:
        SearchError: if another process has held the lock for `LOCK_SECONDS`, or if the body raises an `OSError`.
    """
    try:
        if folder.path is None:
            with _remote_lock:
                yield
            return
        with FileLock(folder.path / LOCK).acquire(timeout=LOCK_SECONDS, poll_interval=POLL_SECONDS):
            yield
    except Timeout as error:
        raise SearchError(
            f"{folder}: another program has been writing its marks for {LOCK_SECONDS:g} s; try again."
        ) from error
    except OSError as error:
        raise SearchError(f"{folder}: marks cannot be written ({error.strerror or error}).") from error


def append_lines(folder: IndexFolder, name: str, lines: bytes, *, head: bytes) -> None:
    """
    Appends whole lines to a file, within [`changing`]. If the process is killed, at most the last line is incomplete.

    Args:
        folder: folder of the index.
        name: name of the file.
        lines: each with its end.
        head: first line of a file that is not there yet.

    Raises:
        OSError: if they cannot be written; then none of them is.
    """
    if folder.path is None:
        kept = folder.read(name) if folder.exists(name) else head
        folder.write(name, _ended(kept) + lines)
        return
    with open(folder.path / name, "a+b", buffering=0) as file:
        end = file.seek(0, 2)
        content = lines if end else head + lines
        if end:
            file.seek(end - 1)
            # Half a line that a kill left would swallow the next one.
            content = content if file.read(1) == b"\n" else b"\n" + content
        try:
            written = file.write(content)
            if written != len(content):
                raise OSError(f"{name}: the disk took only {written} of {len(content)} bytes")
        except OSError:
            file.truncate(end)
            raise


def _ended(content: bytes) -> bytes:
    return content if not content or content.endswith(b"\n") else content + b"\n"


def read_file(folder: IndexFolder, name: str) -> bytes:
    """
    The content of a file; empty if the file does not exist.

    Raises:
        SearchError: if it cannot be read.
    """
    try:
        return folder.read(name) if folder.exists(name) else b""
    except OSError as error:
        raise SearchError(f"{folder}: its {name} cannot be read ({error.strerror or error}).") from error


def utc_now() -> str:
    """The time now, to the microsecond, in a form that sorts as text: ``2026-03-01T12:00:00.000000Z``."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds // 1000:06d}Z"


__all__ = ["append_lines", "changing", "read_file", "utc_now"]
