"""Decodes files of one container that were joined end to end as one sound."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .frame_decoding import as_many_channels
from .sound_source import AudioReadError, SoundSource


class JoinedDecoder:
    """
    Several sounds, each with its own decoder; one is open at a time.

    Args:
        source: the file.
        files: functions that open them.

    Attributes:
        rate: Hz.
        channels: number of channels of the first file; others are converted to as many.
        notes: remarks on the file for the user.

    Raises:
        AudioReadError: if one cannot be opened, or their rates differ.
    """

    def __init__(self, source: SoundSource, files: list[Callable[[], Any]]):
        self._files = files
        self._number, self._current = 0, files[0]()
        self.rate, self.channels = self._current.rate, self._current.channels
        self.notes: list[str] = list(self._current.notes)
        self._lengths: list[int | None] = [self._current.frames]
        for number in range(1, len(files)):
            decoder = self._open(number)
            if decoder.rate != self.rate:
                self.close()
                raise AudioReadError(
                    f"{source.name}: its sampling rate changes from {self.rate} to {decoder.rate} Hz at file "
                    f"{number + 1} of the {len(files)} that it was joined of; files of one rate can be joined, others "
                    "must be converted first"
                )
            self.notes += [note for note in decoder.notes if note not in self.notes]
            self._lengths.append(decoder.frames)

    def _open(self, number: int) -> Any:
        if number != self._number:
            self._current.close()
            self._number, self._current = number, self._files[number]()
        return self._current

    def _length(self, number: int) -> int:
        length = self._lengths[number]
        if length is None:
            length = self._lengths[number] = self._open(number).count_samples()
        return length

    @property
    def frames(self) -> int | None:
        """Samples a channel of all files; None while the length of one is unknown."""
        lengths = [length for length in self._lengths if length is not None]
        return sum(lengths) if len(lengths) == len(self._lengths) else None

    def count_samples(self) -> int:
        """Samples a channel of all files."""
        return sum(self._length(number) for number in range(len(self._files)))

    def reaches(self, start: int) -> bool:
        """Whether there is a sample at ``start``."""
        for number, length in enumerate(self._lengths):
            if start <= 0:
                return True
            if length is None and number + 1 == len(self._lengths):
                return self._open(number).reaches(start)
            start -= self._length(number)
        return start < 0

    def blocks(self, start: int, count: int | None, block: int) -> Iterator[np.ndarray]:
        """
        Samples from ``start`` on.

        Args:
            start: first sample.
            count: how many at most; None for all.
            block: approximate number of samples per block.

        Yields:
            float32 ``(samples, channels)``.

        Raises:
            AudioReadError: if one of the files is damaged or truncated.
        """
        begin, left = 0, count
        for number in range(len(self._files)):
            first = start - begin
            if left == 0:
                return
            if first > 0 and first >= (length := self._length(number)):
                begin += length
                continue
            given = 0
            for samples in self._open(number).blocks(max(first, 0), left, block):
                given += len(samples)
                yield as_many_channels(samples, self.channels)
            left = None if left is None else left - given
            begin = max(begin, start) + given
            if self._lengths[number] is None and first <= 0 and left != 0:
                self._lengths[number] = given

    def close(self) -> None:
        """Closes the open decoder; the source stays open."""
        self._current.close()


__all__ = ["JoinedDecoder"]
