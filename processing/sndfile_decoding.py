"""Decodes with libsndfile: WAV, FLAC, AIFF, CAF, W64, RF64, AU, Ogg and its other formats, exact to the sample."""

from collections.abc import Iterator

import numpy as np

from .frame_decoding import as_many_channels
from .sndfile_part import SndfilePart
from .sound_source import AudioReadError, SoundSource, kept_while_unchanged

# Of larger FLAC files it is only looked at the end of the first stream whether another one follows.
_SMALL_ENOUGH = 64 << 20


class SndfileDecoder:
    """
    One file, or several joined files, decoded by libsndfile.

    Args:
        source: the file.
        parts: the joined files.

    Attributes:
        rate: Hz.
        channels: number of channels of the first part; later parts are converted to as many.
        container: as libsndfile calls it, e.g. ``"WAV"``.
        notes: remarks on the file for the user.

    Raises:
        AudioReadError: if the parts have different rates.
    """

    def __init__(self, source: SoundSource, parts: list[SndfilePart]):
        self._source, self._parts = source, parts
        self.notes: list[str] = []
        first = parts[0]
        self.rate, self.channels, self.container = first.rate, first.channels, first.container
        self._looked_behind = self.container != "FLAC"
        if not self._looked_behind and source.size <= _SMALL_ENOUGH:
            self._look_behind()
        self._check_parts()

    def _check_parts(self) -> None:
        begin = 0
        for part in self._parts:
            if part.rate != self.rate:
                raise AudioReadError(
                    f"{self._source.name}: its sampling rate changes from {self.rate} to {part.rate} Hz at "
                    f"{begin / self.rate:.6g} s; files of one rate can be joined, others must be converted first"
                )
            begin += part.frames

    @property
    def frames(self) -> int:
        """Samples a channel of all parts known so far."""
        return sum(part.frames for part in self._parts)

    def count_samples(self) -> int:
        """Samples a channel, including joined files."""
        self._look_behind()
        return self.frames

    def reaches(self, start: int) -> bool:
        """Whether there is a sample at ``start``."""
        if start >= self.frames:
            self._look_behind()
        return start < self.frames

    def blocks(self, start: int, count: int | None, block: int) -> Iterator[np.ndarray]:
        """
        Samples from ``start`` on.

        Args:
            start: first sample.
            count: how many at most; None for all.
            block: number of samples per block.

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
                for samples in part.blocks(first, left, block):
                    yield as_many_channels(samples, self.channels)
            begin, number = begin + part.frames, number + 1
            if len(self._parts) > 1:
                part.close()
            elif count is None or start + count > begin:
                self._look_behind()

    def _look_behind(self) -> None:
        """Adds FLAC streams that follow the first one in the file."""
        if self._looked_behind:
            return
        self._looked_behind = True
        begins = _flac_begins(self._source)
        if len(begins) > 1:
            # The first one again, since a search in it must not end in another.
            self.close()
            self._parts = parts_at(self._source, begins)
            self._check_parts()

    def close(self) -> None:
        """Closes libsndfile's objects; the source stays open."""
        for part in self._parts:
            part.close()


def parts_at(source: SoundSource, begins: list[int]) -> list[SndfilePart]:
    """The joined files that start at given bytes; they are closed, so that there may be many."""
    parts = []
    for begin, end in zip(begins, [*begins, source.size][1:], strict=True):
        parts.append(SndfilePart(source, begin, end - begin))
        parts[-1].close()
    return parts


@kept_while_unchanged(files=4096)
def _flac_begins(source: SoundSource) -> list[int]:
    # STREAMINFO, 34 bytes long, is the first block of every stream (RFC 9639, section 8.2).
    return source.find(b"fLaC\0\0\0\x22")


__all__ = ["SndfileDecoder", "parts_at"]
