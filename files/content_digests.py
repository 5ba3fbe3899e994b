"""SHA-256 of files, computed once and kept: a file that has only moved is recognised and not read again."""

import hashlib
import io
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tqdm.auto import tqdm

logger = logging.getLogger(__name__)

DATABASE = "content_digests.sqlite"
# Bytes at the start and at the end: enough to distinguish recordings of one name, size and time without reading all.
_ENDS = 16_384
_WAIT_SECONDS = 60.0
# File systems count time in steps; a file written over within one of them looks as it did.
_TIME_STEP_NS = 100_000_000
_NEVER = -1
# Below SQLite's older limit of values in one statement.
_AT_ONCE = 900
_A_TASK = 32
# Each time waits for the disk; what a killed process had not kept is read again.
_KEPT_AT_ONCE = 8_000
# Path, state, digest of head and tail, digest of all.
_Entry = tuple[str, tuple, str, str]
# Files that people and tools put next to a model without changing it.
_NOT_CONTENT = ("README.md", "best.json", "training_args.bin")
_NOT_CONTENT_ENDINGS = (".py", ".md", ".gitattributes", ".log")


class ContentDigests:
    """
    SHA-256 of files' contents, kept in a small database.

    A file is recognised in two ways. By place: its path, size, times and inode equal the recorded ones, and it
    is not opened. By content: its name, size, modification time and a hash of its first and last 16 KiB equal those of
    a file that was read before, for example in a moved folder or a copy with its times. Any other file is read
    whole. If the database cannot be written, digests are kept only for this process.

    Args:
        directory: where the database is, made if missing; None keeps digests in memory.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None):
        self.path = None if directory is None else Path(directory) / DATABASE
        self.read_whole = 0
        self._memory: dict[str, tuple] = {}

    def of_file(self, path: str | os.PathLike[str]) -> str | None:
        """The SHA-256 of one file, 64 hexadecimal digits; None if it cannot be read."""
        return self.of_files([path])[os.fspath(path)]

    def of_files(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        num_workers: int = 2,
        progress: bool = False,
        description: str = "hashing audio",
    ) -> dict[str, str | None]:
        """
        The SHA-256 of files.

        Args:
            paths: files; each is read once at most, however often it is named.
            num_workers: threads that read.
            progress: show a progress bar.
            description: description of the bar.

        Returns:
            By path as given 64 hexadecimal digits, or None for a file that cannot be read.
        """
        names = list(dict.fromkeys(os.fspath(path) for path in paths))
        found: dict[str, str | None] = {}
        fresh: list[_Entry] = []
        bar = tqdm(total=len(names), desc=description, unit="file", disable=not progress, delay=2)
        with bar, ThreadPoolExecutor(max(num_workers, 1)) as pool, self._opened() as database:
            for start in range(0, len(names), _AT_ONCE):
                part = names[start : start + _AT_ONCE]
                unchanged, alike = self._look_up(part, database)
                found.update(unchanged)
                bar.update(len(unchanged))
                rest = [(name, alike.get(name, {})) for name in part if name not in unchanged]
                # Reading and hashing work outside the interpreter lock; a task a file would outweigh a short file.
                shares = [rest[first : first + _A_TASK] for first in range(0, len(rest), _A_TASK)]
                for share, results in zip(shares, pool.map(_digests, shares), strict=True):
                    for (name, _), (digest, entry, was_read) in zip(share, results, strict=True):
                        found[name] = digest
                        self.read_whole += was_read
                        if entry is not None:
                            fresh.append(entry)
                    bar.update(len(share))
                if len(fresh) >= _KEPT_AT_ONCE:
                    self._keep(fresh)
                    fresh = []
            self._keep(fresh)
        return found

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        """The database for reading; None if there is none."""
        if self.path is None or not self.path.is_file():
            yield None
            return
        try:
            database = self._connect()
        except sqlite3.Error as error:
            self._give_up(error)
            yield None
            return
        with closing(database):
            yield database

    def _look_up(
        self, names: list[str], database: sqlite3.Connection | None
    ) -> tuple[dict[str, str], dict[str, dict[tuple, str]]]:
        """Digests of files that are as they were recorded; for the others, digests of recorded contents alike."""
        places = {name: os.path.abspath(name) for name in names}
        if database is None or self.path is None:
            return _unchanged(places, self._memory), {}
        alike: dict[str, dict[tuple, str]] = {}
        try:
            wanted = list(places.values())
            query = "SELECT path, size, time, changed, inode, digest FROM places WHERE path IN "
            rows = database.execute(f"{query}({', '.join('?' * len(wanted))})", wanted)
            unchanged = _unchanged(places, {row[0]: row[1:] for row in rows})
            for name in names:
                if name not in unchanged:
                    rows = database.execute(
                        "SELECT size, time, ends, digest FROM contents WHERE name = ?",
                        (os.path.basename(places[name]),),
                    )
                    alike[name] = {row[:3]: row[3] for row in rows}
        except sqlite3.Error as error:
            self._give_up(error)
            return {}, {}
        return unchanged, alike

    def _keep(self, entries: list[_Entry]) -> None:
        if self.path is None or not entries:
            self._memory.update({place: (*status, digest) for place, status, _, digest in entries})
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as database, database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS places (path TEXT PRIMARY KEY, size INTEGER, time INTEGER, "
                    "changed INTEGER, inode INTEGER, digest TEXT) WITHOUT ROWID"
                )
                database.execute(
                    "CREATE TABLE IF NOT EXISTS contents (name TEXT, size INTEGER, time INTEGER, ends TEXT, "
                    "digest TEXT, PRIMARY KEY (name, size, time, ends)) WITHOUT ROWID"
                )
                database.executemany(
                    "INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?, ?, ?)",
                    [(place, *status, digest) for place, status, _, digest in entries],
                )
                database.executemany(
                    "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?, ?)",
                    [
                        (os.path.basename(place), *status[:2], ends, digest)
                        for place, status, ends, digest in entries
                    ],
                )
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
            self._keep(entries)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=_WAIT_SECONDS)

    def _give_up(self, error: Exception) -> None:
        logger.warning(
            "%s: cannot be used (%s); digests of files are computed again in the next run", self.path, error
        )
        self.path = None


def directory_fingerprint(
    directory: str | os.PathLike[str], digests: ContentDigests | None = None
) -> str | None:
    """
    A digest of a directory's files: of their names below it and their contents, wherever it is.

    Code, model cards, hidden files and trainers' logs are skipped: none changes what a model
    computes.

    Returns:
        64 hexadecimal digits; None if there is no such directory, it contains no file, or one cannot be read.
    """
    root = Path(directory)
    files = sorted(_content_files(root))
    contents = (digests or ContentDigests()).of_files(files)
    if not files or None in contents.values():
        return None
    listed = "".join(f"{path.relative_to(root).as_posix()} {contents[os.fspath(path)]}\n" for path in files)
    return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()


def _content_files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        for name in names:
            if not (name in _NOT_CONTENT or name.startswith(".") or name.endswith(_NOT_CONTENT_ENDINGS)):
                yield Path(folder, name)


def _unchanged(places: Mapping[str, str], recorded: Mapping[str, tuple]) -> dict[str, str]:
    """Digests of files whose size, times and inode equal the recorded ones."""
    found = {}
    for name, place in places.items():
        row = recorded.get(place)
        if row is not None:
            with suppress(OSError):
                if row[:4] == _status(os.stat(name)):
                    found[name] = row[4]
    return found


def _digests(files: list[tuple[str, Mapping[tuple, str]]]) -> list[tuple[str | None, _Entry | None, bool]]:
    return [_digest(name, alike) for name, alike in files]


def _digest(name: str, alike: Mapping[tuple, str]) -> tuple[str | None, _Entry | None, bool]:
    """(digest or None, record to store or None, whether the file was read whole)."""
    try:
        with open(name, "rb", buffering=0) as file:
            status = _status(os.fstat(file.fileno()))
            ends = _ends(file, status[0])
            digest = alike.get((*status[:2], ends))
            was_read = digest is None
            if was_read:
                file.seek(0)
                # Of a short file head and tail are all of it.
                is_short = status[0] <= 2 * _ENDS and os.fstat(file.fileno()).st_size == status[0]
                digest = ends if is_short else hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None, None, False
    if time.time_ns() - status[2] < _TIME_STEP_NS:
        status = (*status[:2], _NEVER, status[3])
    return digest, (os.path.abspath(name), status, ends, digest), was_read


def _status(status: os.stat_result) -> tuple[int, int, int, int]:
    # The change time cannot be set by hand: a file written over and given its old time still differs in it.
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, _signed(status.st_ino)


def _signed(number: int) -> int:
    """Inodes of some file systems exceed the 63 bits of SQLite's integers."""
    return number if number < 2**63 else number - 2**64


def _ends(file: io.FileIO, size: int) -> str:
    digest = hashlib.sha256(_read(file, _ENDS))
    if size > _ENDS:
        file.seek(max(size - _ENDS, _ENDS))
        digest.update(_read(file, _ENDS))
    return digest.hexdigest()


def _read(file: io.FileIO, count: int) -> bytes:
    """So many bytes, or those up to the end; the system may give fewer at a time."""
    parts = []
    while count > 0 and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


__all__ = ["ContentDigests", "directory_fingerprint"]
