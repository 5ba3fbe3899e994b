"""The lock that lets only one process at a time write an index on disk."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ...files.locking import DirectoryLockedError, directory_lock
from ..errors import SearchError
from .index_folder import IndexFolder
from .index_record import RECORD
from .index_store import TABLE
from .known_faults import FAULTS
from .snapshot import SNAPSHOT

LOCK = "index.lock"
LOCK_SECONDS = 1.0
# What people marked, and named searches: they go by the content of files, and outlive an index that is rebuilt.
MARKS = frozenset(("marks.jsonl", "marks.lock", "searches.json", "feedback.csv", "feedback.lock"))


@contextmanager
def writing(folder: IndexFolder) -> Iterator[None]:
    """
    Takes the index's lock. An object store needs none, because its table orders commits.

    Raises:
        SearchError: if another process has the lock, or if the body raises an `OSError`.
    """
    try:
        with ExitStack() as stack:
            if folder.path is not None:
                stack.enter_context(directory_lock(folder.path, LOCK, seconds=LOCK_SECONDS))
            yield
    except DirectoryLockedError as error:
        raise SearchError(f"{folder}: another process is writing this index; wait for it.") from error
    except OSError as error:
        raise SearchError(f"{folder}: cannot be written ({error.strerror or error}).") from error


def check_free(folder: IndexFolder) -> None:
    """
    Checks a folder that will become an index; remains of an interrupted start are accepted.

    Raises:
        SearchError: if the folder contains other files.
    """
    if folder.path is None or not folder.path.is_dir():
        return
    own = {f"{TABLE}.lance", LOCK, SNAPSHOT, FAULTS, "pending", f".{RECORD}.partial"}
    if any(entry.name not in own | MARKS for entry in folder.path.iterdir()):
        raise SearchError(f"{folder}: the folder contains other files; name a new or empty one.")


__all__ = ["check_free", "writing"]
