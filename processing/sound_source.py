"""The bytes of a sound from a path, a file object or bytes, with one interface."""

import io
import os
import stat
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, BinaryIO


class AudioReadError(ValueError):
    """A recording cannot be read. The message names the file (or array), the fault and the remedy."""


# With the character that ends a path (Microsoft, "Maximum Path Length Limitation").
WINDOWS_PATH_LIMIT = 260
# Fewer bytes than this after a sound cannot be lost sound.
_SMALL_REST = 4096


def notes_of_rest(rest: int) -> list[str]:
    """Remark for the user on unknown bytes after a sound: neither a tag, padding nor another file."""
    if rest <= _SMALL_REST:
        return []
    return [f"{rest} bytes after the end of its audio are neither audio nor a known chunk"]


def _long_path_hint(path: str | bytes, system: str = os.name) -> str:
    """Why Windows may not find a file that exists: its limit of 260 characters, with the one at the end."""
    if system != "nt" or len(path) < WINDOWS_PATH_LIMIT or os.fsdecode(path).startswith("\\\\?\\"):
        return ""
    return (
        f"; the path has {len(path)} characters, and Windows finds longer ones than {WINDOWS_PATH_LIMIT - 1} only if "
        "long paths are enabled (LongPathsEnabled). Move the file, or write the path with \\\\?\\ in front"
    )


class SoundSource:
    """
    The bytes of one sound, open for reading.

    Python opens the path and passes a descriptor on. Decoders never see the name, so they cannot look for other files
    by it (libsndfile opens ``._take.mp3`` next to ``take.mp3``) or take it for an address.

    Args:
        source: a path, bytes, or a seekable binary file object; the object stays open and is read from its
            beginning, not from its current position.
        name: name of the sound in messages; by default the path, or the object's name.

    Attributes:
        name: see above.
        file: the open binary file.
        size: bytes.
        path: as it was given; None for objects and bytes.
        identity: a value that distinguishes the contents of two paths, as far as the file system does; None for
            objects and bytes.

    Raises:
        AudioReadError: if there is no such file, it cannot be opened or read, is not a regular file or is empty.
    """

    def __init__(self, source: Any, name: str | None = None):
        self.identity: tuple[int, ...] | None = None
        self.path: str | bytes | None = None
        self._owned = False
        if isinstance(source, (bytes, bytearray, memoryview)):
            self.name = name or "the sound in memory"
            self.file: BinaryIO = io.BytesIO(source)
        elif isinstance(source, (str, os.PathLike)):
            path = self.path = os.fspath(source)
            self.name = name or (os.fsdecode(path) if isinstance(path, bytes) else path)
            self.file = self._open_path(path)
            self._owned = True
        elif hasattr(source, "read") and hasattr(source, "seek"):
            self.name = name or str(getattr(source, "name", "the sound object"))
            self.file = source
        else:
            raise AudioReadError(
                f"{name or 'the sound'}: is a {type(source).__name__}, but must be a path, bytes or a binary file"
            )
        try:
            self.size = self.file.seek(0, os.SEEK_END)
            self.file.seek(0)
            first = self.file.read(1)
            self.file.seek(0)
        except (OSError, ValueError) as error:
            self.close()
            reason = getattr(error, "strerror", None) or str(error)
            raise AudioReadError(f"{self.name}: the file cannot be read ({reason})") from error
        if not isinstance(first, bytes):
            raise AudioReadError(f"{self.name}: is a text file object, but must be opened in binary mode")
        if not first:
            self.close()
            raise AudioReadError(f"{self.name}: the file is empty (0 bytes)")

    def _open_path(self, path: str | bytes) -> BinaryIO:
        try:
            status = os.stat(path)
            if stat.S_ISDIR(status.st_mode):
                raise AudioReadError(f"{self.name}: is a directory, but must be an audio file")
            if not stat.S_ISREG(status.st_mode):
                raise AudioReadError(f"{self.name}: is not a regular file")
            file = open(path, "rb")  # noqa: SIM115
        except FileNotFoundError as error:
            raise AudioReadError(f"{self.name}: no such file{_long_path_hint(path)}") from error
        except OSError as error:
            raise AudioReadError(f"{self.name}: the file cannot be read ({error.strerror})") from error
        except ValueError as error:  # a NUL in the name
            if isinstance(error, AudioReadError):
                raise
            raise AudioReadError(f"{self.name}: no such file ({error})") from error
        self.identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        return file

    def read_at(self, position: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``position`` on; fewer at the end of the file only."""
        try:
            self.file.seek(position)
            return self.file.read(count)
        except OSError as error:
            raise AudioReadError(
                f"{self.name}: the file cannot be read at byte {position} ({error.strerror})"
            ) from error

    def stretch(self, start: int, end: int) -> "SoundSource":
        """The bytes ``start`` to ``end`` as a source of their own, valid while this one is open."""
        part = SoundSource(HeadedFile(self, start, end - start), self.name)
        part.identity = None if self.identity is None else (*self.identity, start, end)
        return part

    def behind_zeros(self, position: int) -> int:
        """The first byte from ``position`` on that is not 0; the end of the file if all are."""
        while piece := self.read_at(position, 1 << 20):
            rest = piece.lstrip(b"\0")
            position += len(piece) - len(rest)
            if rest:
                return position
        return self.size

    def find(self, pattern: bytes, start: int = 0) -> list[int]:
        """Positions of a pattern from byte ``start`` on; reads in pieces so that other threads can run."""
        places, piece = [], 1 << 22
        position, kept = start, b""
        while data := self.read_at(position, piece):
            text = kept + data
            base = position - len(kept)
            place = text.find(pattern)
            while place >= 0:
                places.append(base + place)
                place = text.find(pattern, place + 1)
            kept = text[-(len(pattern) - 1) :] if len(pattern) > 1 else b""
            position += len(data)
        return places

    def close(self) -> None:
        """Closes the file if it was opened here."""
        if self._owned:
            self.file.close()

    def __enter__(self) -> "SoundSource":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class HeadedFile(io.RawIOBase):
    """
    A part of a file as a file of its own, with a repaired header in place of a damaged one.

    Args:
        source: read through its `read_at`.
        start: first byte of the part.
        size: number of bytes of the part.
        head: bytes before the part.
    """

    def __init__(self, source: SoundSource, start: int, size: int, head: bytes = b""):
        super().__init__()
        self._source, self._start, self._head = source, start, head
        self._size = len(head) + size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(base + offset, 0)
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(self._size - self._place, 0))
        data = self._head[self._place : self._place + wanted]
        if len(data) < wanted:
            place = self._start + max(self._place - len(self._head), 0)
            data += self._source.read_at(place, wanted - len(data))
        view[: len(data)] = data
        self._place += len(data)
        return len(data)


def kept_while_unchanged(files: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """
    A decorator that caches results of functions of a [`SoundSource`] and hashable arguments.

    Results stay in memory while the file's identity, size and time do not
    change; for sounds without an identity nothing is cached. Errors are not cached.

    Args:
        files: number of files whose results are kept at most.

    Returns:
        A decorator. `cache_clear` of the decorated function forgets all results.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @lru_cache(maxsize=files)
        def kept(call: _Call) -> Any:
            result = function(*call.arguments)
            call.arguments = ()  # cached results must not keep the open file
            return result

        @wraps(function)
        def ask(source: SoundSource, *others: Any) -> Any:
            if source.identity is None:
                return function(source, *others)
            return kept(_Call((source.identity, *others), (source, *others)))

        ask.cache_clear = kept.cache_clear
        return ask

    return decorate


class _Call:
    """Arguments of a call that compare by the file's identity."""

    def __init__(self, place: tuple[Any, ...], arguments: tuple[Any, ...]):
        self.place, self.arguments = place, arguments

    def __hash__(self) -> int:
        return hash(self.place)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Call) and self.place == other.place


__all__ = ["AudioReadError", "HeadedFile", "SoundSource", "kept_while_unchanged", "notes_of_rest"]
