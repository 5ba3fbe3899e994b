"""One process at a time in a directory."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

# Windows removes no file that is open. There the lock is released first, which is safe: whoever took it meanwhile has
# the file open, and it stays. Elsewhere a file that is removed after its release could be another process's lock.
REMOVES_OPEN_FILES = sys.platform != "win32"


class DirectoryLockedError(RuntimeError):
    """Another process has locked a directory."""


@contextmanager
def directory_lock(directory: Path, name: str, *, seconds: float) -> Iterator[None]:
    """
    Holds a lock file in a directory, which is made if missing; a process that ends in any way lets go of it.

    Args:
        directory: directory on this machine or on a shared disk.
        name: name of the lock file.
        seconds: how long to wait for another process.

    Raises:
        DirectoryLockedError: if another process still has the lock after that time.
        OSError: if the directory cannot be made or written.
    """
    made = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / name)
    try:
        lock.acquire(timeout=seconds)
    except Timeout as error:
        raise DirectoryLockedError(f"{directory}: another process is using it.") from error
    try:
        yield
    finally:
        if not REMOVES_OPEN_FILES:
            lock.release()
        if made:
            # A refused start removes the directory that it created, unless it contains other files.
            with suppress(OSError):
                if all(path.name == name for path in directory.iterdir()):
                    (directory / name).unlink(missing_ok=True)
                    directory.rmdir()
        lock.release()


__all__ = ["DirectoryLockedError", "directory_lock"]
