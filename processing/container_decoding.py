"""Decodes containers with FFmpeg's libraries: MP4, Matroska, ASF, WavPack and others."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from .container_opening import open_container, reason_of
from .frame_decoding import as_many_channels, require_av
from .sound_source import AudioReadError, SoundSource, kept_while_unchanged

# Their time stamps count samples and never jump: a place can be sought by them.
_COUNTING = frozenset({"wv", "tta", "ape", "tak", "mpc8", "dsf"})
# The same is true of these if their codec is PCM.
_COUNTING_PCM = frozenset({"wav", "aiff", "caf", "au", "w64", "mov"})
# Frames of one length in MP4: there the number of packets tells whether time stamps jump.
_FIXED_FRAMES = {"aac": 1024, "alac": 4096, "mp3float": 1152, "mp3": 1152, "ac3": 1536, "opus": 960}
# Decoded before a place that was sought, so that overlaps, predictors and bit reservoirs are what they would be.
_SETTLING_SECONDS = 1.0
_ANCHOR_SECONDS = 2.0
# Joined files of these formats decode as one, and their time stamps start again: a stamp may mean two places.
_RESTARTING = frozenset({"mpegts", "mpeg", "ogg"})
_MOST_BAD_SHARE = 0.05
_SOME_BAD = 3


@dataclass
class KnownPlaces:
    """
    Facts about a file that decoding it has shown.

    Attributes:
        stamps, samples: time stamps of packets and the first sample that each decodes to, two seconds apart.
        length: samples a channel of the whole file, once its end was reached.
        restart: whether a time stamp followed a greater one.
    """

    stamps: list[int] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    length: int | None = None
    restart: bool = False

    def note(self, stamp: int | None, sample: int, distance: float) -> None:
        """Records a position that is at least ``distance`` samples after the last recorded one."""
        if stamp is None:
            return
        if self.samples and sample > self.samples[-1] and stamp <= self.stamps[-1]:
            self.restart = True
        if self.samples and sample < self.samples[-1] + distance:
            return
        if not self.stamps or stamp > self.stamps[-1]:
            # In this order a thread that reads meanwhile finds a stamp for every sample.
            self.stamps.append(stamp)
            self.samples.append(sample)

    def before(self, sample: int) -> tuple[int, int] | None:
        """The last recorded position at or before a sample."""
        place = int(np.searchsorted(self.samples, sample, side="right")) - 1
        return (self.stamps[place], self.samples[place]) if place >= 0 else None


@kept_while_unchanged(files=1024)
def known_places(source: SoundSource) -> KnownPlaces:
    return KnownPlaces()


class ContainerDecoder:
    """
    The first sound track of a container.

    Args:
        source: the file.
        demuxer: one of [`DEMUXERS`].

    Attributes:
        rate: Hz.
        channels: number of channels of the first frame; later frames are converted to as many.
        notes: remarks on the file for the user.

    Raises:
        AudioReadError: if the file contains no sound, is encrypted, in an unknown codec, damaged or truncated.
        ImportError: PyAV is not installed.
    """

    def __init__(self, source: SoundSource, demuxer: str):
        self._library = require_av()
        self._source, self._demuxer = source, demuxer
        self._places = known_places(source)
        self._bad = self._packets = 0
        self._container, self._stream, self.notes = open_container(source, demuxer)
        # The first frame gives rate and channels; it is kept for reading from the start.
        self._waiting: Any = None
        try:
            first = self._take_first()
        except AudioReadError:
            self.close()
            raise
        self.rate, self.channels = int(first.sample_rate), len(first.layout.channels)
        self._first_stamp = first.pts
        self._stated = self._stated_length()
        self._counts = self._stamps_count()

    def _take_first(self) -> Any:
        self._decoding = self._decoded()
        frame = next(self._decoding, None)
        if frame is None:
            raise AudioReadError(
                f"{self._source.name}: the file contains no samples that can be decoded: it is empty, damaged or "
                "truncated"
            )
        self._waiting = frame
        return frame

    # --------------------------------------------------------------------------------------- length

    def _stated_length(self) -> int | None:
        """Number of samples, where the container states it exactly: the encoder's padding follows them."""
        tag = str(self._container.metadata.get("iTunSMPB", "")).split()
        if self._demuxer == "mov" and len(tag) > 3:
            try:
                samples = int(tag[3], 16)
            except ValueError:
                samples = 0
            if samples:
                return samples
        duration, base = self._stream.duration, self._stream.time_base
        exact = self._demuxer == "mov" or self._demuxer in _COUNTING or self._counts_pcm()
        if exact and duration and duration > 0 and base:
            return round(Fraction(duration) * base * self.rate)
        return None

    @property
    def frames(self) -> int | None:
        """Samples a channel, once they are known; see `count_samples`."""
        return self._places.length

    def count_samples(self) -> int:
        """Samples a channel; decodes the file if its end is not known yet."""
        if self._places.length is None:
            for _ in self.blocks(0, None, 1 << 20):
                pass
        return self._places.length or 0

    def reaches(self, start: int) -> bool:
        """Whether there may be a sample at ``start``."""
        return self._places.length is None or start < self._places.length

    # -------------------------------------------------------------------------------------- samples

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
            AudioReadError: if the file is damaged or truncated.
        """
        waiting: list[np.ndarray] = []
        held, end = 0, None if count is None else start + count
        for place, samples in self._placed(start):
            first = max(start - place, 0)
            last = len(samples) if end is None else min(end - place, len(samples))
            if first < last:
                waiting.append(samples[first:last])
                held += last - first
            if held >= block:
                yield np.concatenate(waiting)
                waiting, held = [], 0
            if end is not None and place + len(samples) >= end:
                break
        if waiting:
            yield np.concatenate(waiting)

    def _placed(self, start: int) -> Iterator[tuple[int, np.ndarray]]:
        """(first sample, samples) of frames from one at or before ``start`` on."""
        settled = start - round(_SETTLING_SECONDS * self.rate)
        if settled > 0:
            if self._counts:
                yield from self._placed_by_stamps(start, settled)
                return
            anchor = self._places.before(settled) if self._stamps_are_unique() else None
            if anchor is not None and anchor[1] > 0:
                found = self._decoded_from_anchor(*anchor)
                if found is not None:
                    yield from self._counted(found, anchor[1])
                    return
        yield from self._counted(self._from_start(), 0)

    def _stamps_are_unique(self) -> bool:
        """Whether time stamps are known to be unique; for some formats only reading the whole file shows it."""
        places = self._places
        return not places.restart and (places.length is not None or self._demuxer not in _RESTARTING)

    def _placed_by_stamps(self, start: int, settled: int) -> Iterator[tuple[int, np.ndarray]]:
        self._seek(self._first_stamp + round(settled / self.rate / self._stream.time_base))
        frames = self._decoded()
        frame = next(frames, None)
        if frame is None or frame.pts is None or self._sample_of(frame.pts) > start:
            yield from self._counted(self._from_start(), 0)
            return

        def rest() -> Iterator[Any]:
            yield frame
            yield from frames

        yield from self._counted(rest(), self._sample_of(frame.pts))

    def _decoded_from_anchor(self, stamp: int, sample: int) -> Iterator[Any] | None:
        """Frames from the one with a time stamp on, settled; None if it is not met again."""
        before = self._places.before(sample - round(_SETTLING_SECONDS * self.rate))
        if before is None or before[1] <= 0:
            return None
        self._seek(before[0])
        frames = self._decoded()
        for number, frame in enumerate(frames):
            if frame.pts == stamp and number:

                def rest(first: Any = frame) -> Iterator[Any]:
                    yield first
                    yield from frames

                return rest()
            if frame.pts is None or frame.pts > stamp:
                return None
        return None

    def _counted(self, frames: Iterator[Any], place: int) -> Iterator[tuple[int, np.ndarray]]:
        stated, distance = self._stated, _ANCHOR_SECONDS * self.rate
        for frame in frames:
            if frame.sample_rate != self.rate:
                raise AudioReadError(
                    f"{self._source.name}: its sampling rate changes from {self.rate} to {frame.sample_rate} Hz at "
                    f"{place / self.rate:.6g} s; convert the file to one rate first"
                )
            samples = as_many_channels(float_samples(frame), self.channels)
            self._places.note(frame.pts, place, distance)
            # Samples after the stated end are padding, if they fit into two packets.
            if stated is not None and 0 <= stated - place < len(samples) <= 65536:
                samples = samples[: stated - place]
                if len(samples):
                    yield place, samples
                place += len(samples)
                break
            yield place, samples
            place += len(samples)
        self._check_end(place)

    def _check_end(self, end: int) -> None:
        if self._bad > _SOME_BAD + _MOST_BAD_SHARE * self._packets:
            raise AudioReadError(
                f"{self._source.name}: the file is damaged: {self._bad} of {self._packets} packets cannot be "
                "decoded"
            )
        stated = self._stated
        if stated is not None and end < stated - max(0.05 * stated, 0.1 * self.rate):
            raise AudioReadError(
                f"{self._source.name}: the file is truncated: its header declares {stated / self.rate:.6g} s of "
                f"sound, {end / self.rate:.6g} s are present"
            )
        self._places.length = end

    def _decoded(self) -> Iterator[Any]:
        """Frames from the container's position; packets that cannot be decoded are counted."""
        errors = (self._library.FFmpegError, ValueError, OverflowError)
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (
                *errors,
                IndexError,
            ) as error:  # IndexError: of a stream that was not there at the beginning
                raise AudioReadError(
                    f"{self._source.name}: the file is damaged and cannot be decoded (FFmpeg: {reason_of(error)})"
                ) from error
            if packet is None:
                return
            self._packets += 1
            try:
                frames = self._stream.decode(packet)
            except errors:
                # The empty packet that ends a stream asks for what is left.
                self._bad += packet.size > 0
                continue
            yield from (frame for frame in frames if frame.samples)

    def _from_start(self) -> Iterator[Any]:
        if self._waiting is None:
            self._reopen()
            yield from self._decoded()
            return
        frame, self._waiting = self._waiting, None
        yield frame
        yield from self._decoding

    def _reopen(self) -> None:
        """Reopens the container, so that nothing decoded before affects what follows."""
        self.close()
        self._waiting, self._bad, self._packets = None, 0, 0
        self._container, self._stream, _ = open_container(self._source, self._demuxer)

    def _seek(self, stamp: int) -> None:
        self._reopen()
        try:
            self._container.seek(max(stamp, 0), stream=self._stream, backward=True)
        except (self._library.FFmpegError, OverflowError):
            self._reopen()

    def _sample_of(self, stamp: int) -> int:
        return round((stamp - self._first_stamp) * self._stream.time_base * self.rate)

    def _stamps_count(self) -> bool:
        """Whether the position of a frame follows from its time stamp."""
        base = self._stream.time_base
        if self._first_stamp is None or not base or (1 / base) % self.rate:
            return False
        if self._demuxer in _COUNTING or self._counts_pcm():
            return True
        length = _FIXED_FRAMES.get(self._stream.codec_context.name)
        if self._demuxer != "mov" or length is None or not self._stream.duration:
            return False
        # SBR doubles the length of a frame and the rate alike: in time it is the same.
        rate = self._stream.codec_context.sample_rate or self.rate
        seconds = self._stream.frames * length / min(rate, self.rate)
        return abs(seconds - float(self._stream.duration * base)) * rate <= 3 * length

    def _counts_pcm(self) -> bool:
        return self._demuxer in _COUNTING_PCM and self._stream.codec_context.name.startswith("pcm_")

    def close(self) -> None:
        """Closes FFmpeg's objects; the source stays open."""
        self._container.close()


def float_samples(frame: Any) -> np.ndarray:
    """A decoded frame as float32 ``(samples, channels)``, full scale at -1 and 1."""
    values = frame.to_ndarray()
    samples = values.T if frame.format.is_planar else values.reshape(-1, len(frame.layout.channels))
    if samples.dtype.kind == "f":
        return np.ascontiguousarray(samples, dtype=np.float32)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128.0) / 128.0
    scale = -float(np.iinfo(samples.dtype).min)
    return np.ascontiguousarray(samples.astype(np.float64) / scale, dtype=np.float32)


__all__ = ["ContainerDecoder", "KnownPlaces", "float_samples"]
