"""Decodes MPEG audio, ADTS and AC-3 frame by frame, from any sample on."""

from collections.abc import Iterator
from typing import Any

import numpy as np

try:
    import av
except (ImportError, OSError):  # OSError: the package is installed but its libraries cannot be loaded
    av = None

from .frame_scanning import FoundStream
from .frame_tables import FrameTable, Link, frame_table
from .sound_source import AudioReadError, SoundSource, notes_of_rest

# Two frames settle overlap and filter bank; before them are the bytes that a layer III frame may reach back to.
_SETTLING = {"mp3float": 2, "mp2float": 2, "mp1float": 2, "ac3": 3}
# Of AAC so many that SBR has its header, which need not be in every frame.
_AAC_SETTLING = 26
_RESERVOIR_BYTES = 511
_FRAMES_A_PACKET = 32
# Frames that cannot be decoded become silence, if they are few.
_MOST_BAD_SHARE = 0.05
_SOME_BAD = 6


class FrameDecoder:
    """
    One stream of self-synchronising frames.

    Args:
        source: the file.
        stream: where its frames begin.

    Attributes:
        rate: Hz.
        channels: number of channels of the first frame; later frames are converted to as many.
        frames: samples a channel.
        notes: remarks on the file for the user.

    Raises:
        AudioReadError: if no frame can be decoded, or as in `frame_table`.
        ImportError: PyAV is not installed.
    """

    def __init__(self, source: SoundSource, stream: FoundStream):
        require_av()
        self._source, self._stream = source, stream
        self._codec = stream.header.kind[0]
        self._bad = 0
        self._table: FrameTable = frame_table(source, stream)
        self.notes: list[str] = notes_of_rest(self._table.behind)
        if self._table.missing:
            self.notes.append(f"the last {self._table.missing} frames that its header declares are missing")
        first = self._first_frame()
        self.rate, self.channels = first.sample_rate, len(first.layout.channels)
        # SBR doubles what a header states.
        self._factor = max(first.samples // stream.header.samples, 1)
        self._frame_samples = stream.header.samples * self._factor

    @property
    def frames(self) -> int:
        return self._table.samples * self._factor

    def _first_frame(self) -> Any:
        context = self._new_context()
        for data in self._bytes_of(0, min(self._table.count, 64)):
            decoded = _decode(context, data)
            if decoded:
                return decoded[0]
        raise AudioReadError(
            f"{self._source.name}: the file is damaged: none of its first frames can be decoded"
        )

    def count_samples(self) -> int:
        """Samples a channel."""
        return self.frames

    def reaches(self, start: int) -> bool:
        """Whether there is a sample at ``start``."""
        return start < self.frames

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
            AudioReadError: if more than a few frames cannot be decoded.
        """
        self._bad = decoded = begin = 0
        end = self.frames if count is None else start + count
        for link in self._table.links:
            length = link.samples * self._factor
            first, last = max(start - begin, 0), min(end - begin, length)
            if first < last:
                for piece in self._link_blocks(link, first, last, max(block, self._frame_samples)):
                    decoded += len(piece)
                    self._check_bad(decoded // self._frame_samples + 1)
                    yield piece
            begin += length

    def _link_blocks(self, link: Link, first: int, last: int, block: int) -> Iterator[np.ndarray]:
        size, skip = self._frame_samples, link.skip * self._factor
        begin, end = first + skip, last + skip
        frame, stop = begin // size, -(-end // size)
        context = self._warm_context(link, frame)
        step = max(block // size, 1)
        while frame < stop:
            number = min(step, stop - frame)
            # A row a channel, as the decoder gives them; turned, it is a column a channel without a copy.
            samples = np.empty((self.channels, number * size), np.float32).T
            for chunk in range(0, number, _FRAMES_A_PACKET):
                many = min(_FRAMES_A_PACKET, number - chunk)
                room = samples[chunk * size : (chunk + many) * size]
                context = self._decode_into(room, context, link, frame + chunk, many)
            base = frame * size
            yield samples[max(begin - base, 0) : end - base]
            frame += number

    def _decode_into(self, room: np.ndarray, context: Any, link: Link, frame: int, many: int) -> Any:
        """Decodes frames into their place; returns the context to continue with."""
        size = self._frame_samples
        data = self._bytes_of(link.first + frame, link.first + frame + many)
        decoded = _decode(context, b"".join(data))
        if len(decoded) == many and all(self._fits(one) for one in decoded):
            for place, one in enumerate(decoded):
                self._put(room[place * size : (place + 1) * size], one)
            return context
        # A decoder omits bad frames of a packet. Decoded one by one, the position of each is known.
        context = self._warm_context(link, frame)
        for place, one in enumerate(data):
            decoded = _decode(context, one)
            part = room[place * size : (place + 1) * size]
            if len(decoded) == 1 and self._fits(decoded[0]):
                self._put(part, decoded[0])
            else:
                part[:] = 0
                self._bad += 1
        return context

    def _warm_context(self, link: Link, frame: int) -> Any:
        """A decoder in the state before ``frame``, counted from the link's first frame."""
        context = self._new_context()
        first = max(frame - self._settling(link.first + frame, frame), 0)
        if first < frame:
            for data in self._bytes_of(link.first + first, link.first + frame):
                _decode(context, data)
        return context

    def _settling(self, index: int, most: int) -> int:
        if self._codec == "aac":
            return _AAC_SETTLING
        count = _SETTLING[self._codec]
        if self._codec != "mp3float":
            return count
        reach, step = 0, 16
        while count < most and reach < _RESERVOIR_BYTES:
            data = self._bytes_of(max(index - count - step, index - most), index - count)
            for one in reversed(data):
                header = self._stream.reader(one, 0)
                reach += header.main_data if header is not None else 0
                count += 1
                if reach >= _RESERVOIR_BYTES:
                    break
        return count

    def _bytes_of(self, first: int, last: int) -> list[bytes]:
        return self._table.frames(self._source, self._stream, first, last)

    def _new_context(self) -> Any:
        context = av.CodecContext.create(self._codec, "r")
        context.thread_count = 1
        return context

    def _fits(self, frame: Any) -> bool:
        return frame.samples == self._frame_samples and frame.sample_rate == self.rate

    def _put(self, room: np.ndarray, frame: Any) -> None:
        """Writes a frame's planes, of float32 one a channel, into ``(samples, channels)``."""
        planes = [np.frombuffer(plane, np.float32, frame.samples) for plane in frame.planes]
        if len(planes) == self.channels:
            for channel, plane in enumerate(planes):
                room[:, channel] = plane
        else:
            room[:] = as_many_channels(np.stack(planes, axis=1), self.channels)

    def _check_bad(self, frames: int) -> None:
        if self._bad > _SOME_BAD + _MOST_BAD_SHARE * frames:
            raise AudioReadError(
                f"{self._source.name}: the file is damaged: {self._bad} of {frames} frames cannot be decoded"
            )

    def close(self) -> None:
        """Does nothing: the caller closes the source."""


def as_many_channels(samples: np.ndarray, channels: int) -> np.ndarray:
    """Converts ``(samples, own channels)`` to another number of channels: several are averaged, one is repeated."""
    own = samples.shape[1]
    if own == channels:
        return samples
    return np.repeat(samples if own == 1 else samples.mean(axis=1, keepdims=True), channels, axis=1)


def _decode(context: Any, data: bytes) -> list[Any]:
    try:
        return context.decode(av.Packet(data))
    except (av.FFmpegError, ValueError):  # ValueError: an empty packet
        return []


def require_av() -> Any:
    """
    The module `av` (PyAV).

    Raises:
        ImportError: it is not installed.
    """
    if av is None:
        raise ImportError(
            "reading MP3, AAC, MP4, Matroska, WMA and other such files needs the package 'av': pip install av"
        )
    return av


def have_av() -> bool:
    """Whether PyAV is installed."""
    return av is not None


def ffmpeg_version() -> str:
    """Versions of the libraries in PyAV; "none" without it."""
    return str(getattr(av, "ffmpeg_version_info", "none"))


__all__ = ["FrameDecoder", "as_many_channels", "ffmpeg_version", "have_av", "require_av"]
