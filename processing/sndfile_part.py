"""One file for libsndfile: opens and checks it, and reads from any sample on."""

import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

try:
    import soundfile
except (ImportError, OSError):  # OSError: the package is installed but libsndfile is not
    soundfile = None

from .ogg_links import last_ogg_page_start
from .sound_source import AudioReadError, HeadedFile, SoundSource

# libsndfile clips a chunk whose declared size exceeds the file, and reports it only in its log, as
# "data : 96000 (should be 47978)". The outer RIFF and FORM sizes are ignored: harmless writers get them
# wrong. Wave64 logs only its outer size, in lower case.
_SHORT_CHUNK = re.compile(r"^\s*(?:data|SSND|Data Size|riff)\s*:\s*(\d+)\s*\(should be (\d+)\)", re.MULTILINE)
# Programs that write to a pipe cannot go back to fill in the size and leave a huge number.
_UNKNOWN_CHUNK_SIZE = 0x7FFF_F000
_UNKNOWN_FRAMES = 2**40
_WIDEST_SAMPLE = 8
_UNKNOWN_FORMAT = (
    "not recognised",
    "unknown format",
    "does not exist",
    "unimplemented",
    "unsupported",
    "No Error",
)
_SKIPPED_AT_ONCE = 1 << 18


class UnknownToSndfile(AudioReadError):
    """The file is in no format that libsndfile decodes."""


class OpenLength(AudioReadError):
    """The header does not state the length, which libsndfile needs."""


class SndfilePart:
    """
    A file, or a part of one, for libsndfile.

    Args:
        source: the file.
        start, size: first byte and number of bytes of the part; the whole file by default.
        head: header that replaces a damaged one before the part.

    Attributes:
        rate, channels, frames, container, subtype: as libsndfile states them.

    Raises:
        UnknownToSndfile, OpenLength, AudioReadError: see the classes; the last one for truncated or damaged files.
        ImportError: `soundfile` is not installed.
    """

    def __init__(self, source: SoundSource, start: int = 0, size: int | None = None, head: bytes = b""):
        self._source, self._head, self._start = source, head, start
        self._size = source.size - start if size is None else size
        self._file: Any = None
        self._place = 0
        file = self._opened()
        try:
            self._check(file)
        except AudioReadError:
            self.close()
            raise
        self.rate, self.channels, self.frames = int(file.samplerate), file.channels, file.frames
        self.container, self.subtype = file.format, file.subtype

    def _opened(self) -> Any:
        if self._file is None:
            self._file, self._place = self._open(), 0
        return self._file

    def _open(self) -> Any:
        library = require_soundfile()
        whole = not self._head and not self._start and self._size == self._source.size
        try:
            # A descriptor lets libsndfile read by itself; a stretch of a file goes through Python.
            if whole and self._source.path is not None and os.name != "nt":
                return library.SoundFile(self._descriptor(), closefd=True)
            return library.SoundFile(HeadedFile(self._source, self._start, self._size, self._head))
        # TypeError: the name of the source ends on .raw
        except (library.SoundFileError, TypeError, ValueError, RuntimeError) as error:
            text = _told_by(error)
            if isinstance(error, TypeError) or any(phrase in text for phrase in _UNKNOWN_FORMAT):
                raise UnknownToSndfile(f"{self._source.name}: no format of libsndfile ({text})") from error
            raise AudioReadError(
                f"{self._source.name}: the file is damaged or truncated and cannot be decoded (libsndfile: {text})"
            ) from error

    def _descriptor(self) -> int:
        # One of its own, which libsndfile closes: it does not expect others to move its place in the file.
        try:
            return os.open(self._source.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise AudioReadError(
                f"{self._source.name}: the file cannot be read ({error.strerror})"
            ) from error

    def _check(self, file: Any) -> None:
        for declared, present in _SHORT_CHUNK.findall(file.extra_info):
            # Half a frame is not sound: sizes are often a byte too large, since odd ones are rounded up.
            missing = int(declared) - int(present)
            if missing >= file.channels * _WIDEST_SAMPLE and int(declared) < _UNKNOWN_CHUNK_SIZE:
                raise AudioReadError(
                    f"{self._source.name}: the file is truncated: its header declares {declared} bytes of sound, "
                    f"{present} are present"
                )
        if file.format == "MP3":
            raise UnknownToSndfile(f"{self._source.name}: MPEG audio is read frame by frame")
        if file.frames <= 0:
            raise AudioReadError(f"{self._source.name}: the file contains no samples")
        if file.frames >= _UNKNOWN_FRAMES:
            raise OpenLength(f"{self._source.name}: its header leaves the length open")

    def blocks(self, first: int, count: int, block: int) -> Iterator[np.ndarray]:
        """
        Samples ``first`` to ``first + count``, ``block`` at a time.

        Yields:
            float32 ``(samples, channels)``.

        Raises:
            AudioReadError: if the file ends early or is damaged.
        """
        left = count
        try:
            self._go_to(first)
            while left > 0:
                samples = self._opened().read(min(left, block), dtype="float32", always_2d=True)
                if not len(samples):
                    break
                left -= len(samples)
                self._place += len(samples)
                yield samples
        except require_soundfile().SoundFileError as error:
            raise AudioReadError(
                f"{self._source.name}: the file is damaged and cannot be decoded (libsndfile: {_told_by(error)})"
            ) from error
        if left > 0:
            end = (first + count - left) / self.rate
            raise AudioReadError(
                f"{self._source.name}: the file is truncated: it ends after {end:.6g} s, {left} samples early"
            )

    def _go_to(self, first: int) -> None:
        place = first
        if self.subtype == "VORBIS" and first:
            # Within the last page libsndfile counts back from its end, of which samples may have been cut off.
            last = last_ogg_page_start(self._source, self._start + self._size)
            place = min(first, max(last - 1, 0))
        file = self._opened()
        if self._place == first:
            return
        if file.seekable():
            file.seek(place)
            self._place = place
        elif self._place > first:
            self.close()
        while self._place < first:
            wanted = min(first - self._place, _SKIPPED_AT_ONCE)
            read = self._opened().read(wanted, dtype="float32", always_2d=True)
            if not len(read):
                return
            self._place += len(read)

    def close(self) -> None:
        """Closes libsndfile's objects; the next read opens them again."""
        if self._file is not None:
            self._file.close()
            self._file, self._place = None, 0


def require_soundfile() -> Any:
    """
    The module `soundfile`.

    Raises:
        ImportError: it is not installed.
    """
    if soundfile is None:
        raise ImportError("reading such audio files needs the package 'soundfile': pip install soundfile")
    return soundfile


def sndfile_formats() -> set[str]:
    """libsndfile's names of the containers that it reads; empty if it is not installed."""
    return set(soundfile.available_formats()) if soundfile is not None else set()


def sndfile_version() -> str:
    """Version of libsndfile; "none" without it."""
    return str(getattr(soundfile, "__libsndfile_version__", "none"))


def _told_by(error: Exception) -> str:
    text = re.sub(r"^Error opening .*?: (?=\S)", "", str(error).replace("\n", " "))
    return text.removeprefix("Error : ").strip().rstrip(".")


__all__ = [
    "OpenLength",
    "SndfilePart",
    "UnknownToSndfile",
    "require_soundfile",
    "sndfile_formats",
    "sndfile_version",
]
