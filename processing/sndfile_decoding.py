"""Decoding by libsndfile: WAV, FLAC, AIFF, CAF, W64, RF64, AU, Ogg and what else it knows, sample by sample exact."""

import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

try:
    import soundfile
except (ImportError, OSError):  # OSError: the package is there but libsndfile is not
    soundfile = None

from .frame_decoding import as_many_channels
from .sound_source import AudioReadError, HeadedFile, SoundSource

# libsndfile clips a chunk that claims more bytes than the file holds and only notes it in its log, as
# "data : 96000 (should be 47978)". The outer RIFF and FORM sizes are left alone: harmless writers get them
# wrong. Wave64 notes only its outer size, which it spells in lower case.
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
# libFLAC reads ahead; what follows a stream lies in, or behind, what it has read.
_FLAC_READ_AHEAD = 1 << 17


class UnknownToSndfile(AudioReadError):
    """The file is in no format that libsndfile decodes."""


class OpenLength(AudioReadError):
    """The header leaves the length open, and libsndfile cannot do without."""


class SndfileDecoder:
    """
    One file, or several joined to one, each decoded by libsndfile.

    Args:
        source: the file.
        parts: (first byte, bytes) of the files that are joined in it; by default it is one.
        opened: a file object in place of the source, for one part whose header had to be rebuilt.

    Attributes:
        rate: Hz.
        channels: of the first part; later ones are brought to as many.
        container: as libsndfile calls it, e.g. ``"WAV"``.
        notes: what a user should know about the file.

    Raises:
        UnknownToSndfile: for another format.
        OpenLength: for a FLAC stream of undeclared length.
        AudioReadError: for a file without samples, truncated or damaged.
        ImportError: `soundfile` is not installed.
    """

    def __init__(
        self,
        source: SoundSource,
        parts: list[tuple[int, int]] | None = None,
        opened: HeadedFile | None = None,
    ):
        self._source = source
        self.notes: list[str] = []
        self._looked_behind = False
        self._own_descriptor: int | None = None
        if parts is None:
            self._parts = [self._open(opened)]
        else:
            self._parts = [self._open(HeadedFile(source, start, size)) for start, size in parts]
        first = self._parts[0]
        self.rate, self.channels, self.container = int(first.samplerate), first.channels, first.format
        self._check_parts()

    def _open(self, file: HeadedFile | None) -> Any:
        library = require_soundfile()
        try:
            if file is not None or os.name == "nt" or self._source.identity is None:
                opened = library.SoundFile(file or HeadedFile(self._source, 0, self._source.size))
            else:
                opened = library.SoundFile(self._descriptor(), closefd=True)
        except (
            library.SoundFileError,
            TypeError,
            ValueError,
            RuntimeError,
        ) as error:  # TypeError: a .raw name
            text = str(error).split("': ", 1)[-1].split(">: ", 1)[-1].strip().rstrip(".")
            if isinstance(error, TypeError) or any(phrase in text for phrase in _UNKNOWN_FORMAT):
                raise UnknownToSndfile(f"{self._source.name}: no format of libsndfile ({text})") from error
            raise AudioReadError(
                f"{self._source.name}: the file is damaged or truncated and cannot be decoded (libsndfile: {text})"
            ) from error
        try:
            self._check(opened)
        except AudioReadError:
            opened.close()
            raise
        return opened

    def _descriptor(self) -> int:
        # One of its own, which libsndfile closes: it does not expect others to move its place in the file.
        try:
            self._own_descriptor = os.open(self._source.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise AudioReadError(
                f"{self._source.name}: the file cannot be read ({error.strerror})"
            ) from error
        return self._own_descriptor

    def _check(self, file: Any) -> None:
        for declared, present in _SHORT_CHUNK.findall(file.extra_info):
            # Half a frame is no sound: a size that is a byte too large, as odd ones are, says nothing.
            missing = int(declared) - int(present)
            if missing >= file.channels * _WIDEST_SAMPLE and int(declared) < _UNKNOWN_CHUNK_SIZE:
                raise AudioReadError(
                    f"{self._source.name}: the file is truncated: its header declares {declared} bytes of sound, "
                    f"{present} are there"
                )
        if file.format == "MP3":
            raise UnknownToSndfile(f"{self._source.name}: MPEG audio is read frame by frame")
        if file.frames <= 0:
            raise AudioReadError(f"{self._source.name}: the file holds no samples")
        if file.frames >= _UNKNOWN_FRAMES:
            raise OpenLength(f"{self._source.name}: its header leaves the length open")

    def _check_parts(self) -> None:
        begin = 0
        for part in self._parts:
            if part.samplerate != self.rate:
                raise AudioReadError(
                    f"{self._source.name}: its sampling rate changes from {self.rate} to {part.samplerate} Hz at "
                    f"{begin / self.rate:.6g} s; files of one rate can be joined, others must be converted first"
                )
            begin += part.frames

    @property
    def frames(self) -> int:
        """Samples a channel of all parts that are known."""
        return sum(part.frames for part in self._parts)

    def count_samples(self) -> int:
        """Samples a channel, of joined files too."""
        self._look_behind()
        return self.frames

    def reaches(self, start: int) -> bool:
        """Whether there is a sample at ``start``."""
        return start < self.frames or (self._look_behind() and start < self.frames)

    def blocks(self, start: int, count: int | None, block: int) -> Iterator[np.ndarray]:
        """
        Samples from ``start`` on.

        Args:
            start: first sample.
            count: how many at most; None for all.
            block: so many are given at a time.

        Yields:
            float32 ``(samples, channels)``.

        Raises:
            AudioReadError: if the file ends early or is damaged.
        """
        number, begin = 0, 0
        while number < len(self._parts):
            part = self._parts[number]
            first = max(start - begin, 0)
            left = part.frames - first
            if count is not None:
                left = min(left, start + count - begin - first)
            if left > 0:
                yield from self._part_blocks(part, begin, first, left, block)
            begin, number = begin + part.frames, number + 1
            if number == len(self._parts) and (count is None or start + count > begin):
                self._look_behind()

    def _part_blocks(self, part: Any, begin: int, first: int, count: int, block: int) -> Iterator[np.ndarray]:
        library, left = require_soundfile(), count
        try:
            if first or part.tell():
                part.seek(first)
            while left > 0:
                samples = part.read(min(left, block), dtype="float32", always_2d=True)
                if not len(samples):
                    break
                left -= len(samples)
                yield as_many_channels(samples, self.channels)
        except library.SoundFileError as error:
            text = str(error).split(": ", 1)[-1].strip().rstrip(".")
            raise AudioReadError(
                f"{self._source.name}: the file is damaged and cannot be decoded (libsndfile: {text})"
            ) from error
        if left > 0:
            end = (begin + first + count - left) / self.rate
            raise AudioReadError(
                f"{self._source.name}: the file is truncated: it ends after {end:.6g} s, {left} samples early"
            )

    def _look_behind(self) -> bool:
        """Takes in FLAC streams that are joined to the one that is read; whether there are any."""
        if self._looked_behind or self.container != "FLAC":
            return False
        self._looked_behind = True
        last = self._parts[0]
        if last.tell() != last.frames:
            last.seek(last.frames - 1)
            last.read(1)
        near = 0
        if self._own_descriptor is not None:
            # How far libFLAC has read.
            near = max(os.lseek(self._own_descriptor, 0, os.SEEK_CUR) - _FLAC_READ_AHEAD, 0)
        # STREAMINFO, 34 bytes long, is the first block of every stream (RFC 9639, section 8.2).
        begins = [place for place in self._source.find(b"fLaC\0\0\0\x22", near) if place > 0]
        for place, end in zip(begins, [*begins, self._source.size][1:], strict=True):
            try:
                self._parts.append(self._open(HeadedFile(self._source, place, end - place)))
            except UnknownToSndfile:
                continue
        self._check_parts()
        return bool(begins)

    def close(self) -> None:
        for part in self._parts:
            part.close()


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
    """What libsndfile calls the containers that it reads; nothing if it is not installed."""
    return set(soundfile.available_formats()) if soundfile is not None else set()


__all__ = ["OpenLength", "SndfileDecoder", "UnknownToSndfile", "require_soundfile", "sndfile_formats"]
