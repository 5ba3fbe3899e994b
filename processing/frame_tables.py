"""Maps frames of an MPEG audio, ADTS or AC-3 stream to samples of the sound."""

import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .frame_headers import HEADER_BYTES, FrameHeader, mpeg_header, side_info_bytes
from .frame_scanning import FoundStream, FrameScan, tag_size
from .sound_source import AudioReadError, SoundSource, kept_while_unchanged

# Samples that a layer III decoder itself is late by (LAME's technical FAQ: 528 + 1).
MP3_DECODER_DELAY = 529
# Encoders that copy a stream count a frame more or less than there is.
_COUNT_SLACK = 2
# Where so many frames of a stream are looked for, this share must be met for its bit rate to be constant.
_PROBES = 32
_PROBES_WITHOUT_INFO = 256
_MOST_MET = 0.9
# Short streams are scanned as fast.
_FEW_FRAMES = 1000
_LONGEST_FRAME = 8192


@dataclass(frozen=True)
class Link:
    """
    Frames that one encoder wrote as one file; several such files may be joined.

    Attributes:
        first: index of its first frame with sound.
        frames: number of frames.
        skip: samples of delay before the sound begins.
        samples: number of samples of sound.
    """

    first: int
    frames: int
    skip: int
    samples: int


@dataclass(frozen=True)
class InfoFrame:
    """
    What a Xing, Info or VBRI frame states about the following frames.

    Attributes:
        frames: number of frames; None if it does not say.
        delay, padding: samples that the encoder added before and after the sound; None if it does not say.
        constant: whether it states a constant bit rate.
    """

    frames: int | None
    delay: int | None
    padding: int | None
    constant: bool


class FrameTable:
    """
    The frames of a stream and its links.

    Args:
        scan: positions of all frames; None if all frames have one size and follow each other.
        header: header of the first frame.
        count: frames.
        links: the links, in order.
        first: byte of frame 0, without a scan.
        behind: bytes after the last frame that are neither tags nor padding.
        missing: number of frames that Xing, Info or VBRI frames declare and that are missing.
    """

    def __init__(
        self,
        positions: np.ndarray | None,
        header: FrameHeader,
        count: int,
        links: list[Link],
        first: int,
        behind: int = 0,
        missing: int = 0,
    ):
        self.behind, self.missing = behind, missing
        self.positions, self.header, self.count, self.links = positions, header, count, links
        self._first = first
        self._mean = mean_frame_bytes(header) if positions is None else Fraction(0)
        self._sizes: dict[bytes, int] = {}

    @property
    def samples(self) -> int:
        """Samples a channel of all links, at the rate that the headers state."""
        return sum(link.samples for link in self.links)

    def frames(self, source: SoundSource, stream: FoundStream, first: int, last: int) -> list[bytes]:
        """The bytes of frames ``first`` to ``last`` (exclusive); empty for a frame that is not at its position."""
        if self.positions is None:
            return self._constant_frames(source, stream, first, last)
        places = self.positions[first:last].astype(np.int64)
        if not len(places):
            return []
        base = int(places[0])
        data = source.read_at(base, int(places[-1]) - base + _LONGEST_FRAME)
        found = []
        for place in (places - base).tolist():
            header = stream.reader(data, place)
            size = header.size if header is not None else 0
            found.append(data[place : place + size] if size <= len(data) - place else b"")
        return found

    def _constant_frames(
        self, source: SoundSource, stream: FoundStream, first: int, last: int
    ) -> list[bytes]:
        whole, parts = self._mean.numerator, self._mean.denominator
        # An encoder may have begun with any fraction of a byte.
        begin = max(self._first + first * whole // parts - 2, 0)
        data = source.read_at(begin, (last - first) * whole // parts + 8 + 2 * self.header.size)
        expected, found = self._first + first * whole // parts - begin, []
        for number in range(first + 1, last + 1):
            for place in (expected, expected + 1, expected - 1, expected + 2, expected - 2):
                size = self._constant_size(stream, data, place)
                if size:
                    break
            found.append(data[place : place + size])
            # After a frame that was found, the next position is known; otherwise it is estimated.
            expected = place + size if size else self._first + number * whole // parts - begin
        return found

    def _constant_size(self, stream: FoundStream, data: bytes, place: int) -> int:
        """Size of the whole frame at ``place``, 0 if there is no frame of this stream."""
        word = data[place : place + 4] if place >= 0 else b""
        size = self._sizes.get(word)
        if size is None:
            header = stream.reader(word, 0)
            belongs = header is not None and header.kind == self.header.kind
            size = header.size if belongs and abs(header.size - self._mean) <= 1 else 0
            # The four bytes of an MPEG header determine its frame.
            self._sizes[word] = size
        return size if place + size <= len(data) else 0


def mean_frame_bytes(header: FrameHeader) -> Fraction:
    """Mean size of an MPEG layer III frame at the constant bit rate of ``header``, to within half a byte."""
    # Find the bit rate, a multiple of 8 kbit/s, that gives this size.
    for bitrate in range(8_000, 321_000, 8_000):
        mean = Fraction(header.samples // 8 * bitrate, header.rate)
        if int(mean) in (header.size, header.size - 1):
            return mean
    return Fraction(header.size)


@kept_while_unchanged(files=64)
def frame_table(source: SoundSource, stream: FoundStream, constant: bool = True) -> FrameTable:
    """
    The table of a stream: from its Info frame if that and the file agree on a constant bit rate, else from a scan.

    Tables are cached in memory while the file does not change.

    Args:
        source, stream: the file and where its frames begin.
        constant: False always scans.

    Raises:
        AudioReadError: for a stream that is truncated or changes its rate.
    """
    is_layer_three = stream.header.kind[0] == "mp3float"
    if constant and is_layer_three and (table := _constant_table(source, stream)) is not None:
        return table
    scan = FrameScan(source, stream)
    count = len(scan.positions)
    if not count:
        raise AudioReadError(f"{source.name}: the file contains no complete audio frame")
    if scan.skipped > (stream.end - stream.first) // 2:
        raise AudioReadError(
            f"{source.name}: the file is damaged: {scan.skipped} of {stream.end - stream.first} bytes are not frames"
        )
    infos = {}
    if is_layer_three:
        for index in scan.marked():
            if (info := read_info_frame(source.read_at(int(scan.positions[index]), 256))) is not None:
                infos[index] = info
    links, missing = _links(source, stream.header, count, infos)
    return FrameTable(scan.positions, stream.header, count, links, stream.first, scan.behind, missing)


def _constant_table(source: SoundSource, stream: FoundStream) -> FrameTable | None:
    """
    The table of a stream of constant bit rate, whose frame positions can be computed; None if they cannot.

    With an Info frame its count and the size of the file must agree as well. Without one every probe must succeed:
    three bytes too many or too few, or one frame of another size, shift all that follow.
    """
    info = read_info_frame(source.read_at(stream.first, 256))
    if info is not None and not (info.constant and info.frames):
        return None
    first = stream.first + (stream.header.size if info is not None else 0)
    header = mpeg_header(source.read_at(first, HEADER_BYTES))
    if header is None or header.kind != stream.header.kind:
        return None
    mean, end = mean_frame_bytes(header), _end_of_frames(source, stream.end)
    # One frame of tolerance: the last whole one.
    count = int((end - first + 2) / mean)
    if count < _FEW_FRAMES:
        return None
    if info is not None and (abs(end - first - info.frames * mean) > header.size or count > info.frames):
        return None
    table = FrameTable(None, header, count, [_link(0, count, header.samples, info)], first)
    wanted = _PROBES if info is not None else _PROBES_WITHOUT_INFO
    probes = sorted({*range(0, count, max(count // wanted, 1)), count - 1})
    met = sum(bool(table.frames(source, stream, probe, probe + 1)[0]) for probe in probes)
    return table if met >= len(probes) * (_MOST_MET if info is not None else 1) else None


def _end_of_frames(source: SoundSource, end: int) -> int:
    """Where the tags at the end of a file begin."""
    if source.read_at(end - 128, 3) == b"TAG":
        end -= 128
    footer = source.read_at(end - 32, 32)
    if footer[:8] == b"APETAGEX":
        has_header = int.from_bytes(footer[20:24], "little") >> 31 & 1
        end -= int.from_bytes(footer[12:16], "little") + (32 if has_header else 0)
    return max(end, 0)


def read_info_frame(frame: bytes) -> InfoFrame | None:
    """Parses an MPEG layer III frame (its first 256 bytes) as a Xing, Info or VBRI frame; None if it is not one."""
    header = mpeg_header(frame)
    if header is None or header.kind[0] != "mp3float":
        return None
    if frame[36:40] == b"VBRI":
        return InfoFrame(int.from_bytes(frame[50:54], "big") or None, None, None, False)
    place = side_info_bytes(frame, 0)
    name = frame[place : place + 4]
    if name not in (b"Xing", b"Info"):
        return None
    flags = int.from_bytes(frame[place + 4 : place + 8], "big")
    rest = frame[place + 8 :]
    frames = None
    if flags & 1:
        frames, rest = int.from_bytes(rest[:4], "big") or None, rest[4:]
    rest = rest[(4 if flags & 2 else 0) + (100 if flags & 4 else 0) + (4 if flags & 8 else 0) :]
    delay = padding = None
    # Nine bytes name the encoder; without a name the rest is nothing (LAME tag specification, revision 1).
    if re.match(rb"[A-Za-z][ -~]{3}", rest) and len(rest) >= 24:
        packed = int.from_bytes(rest[21:24], "big")
        if packed:
            delay, padding = packed >> 12, packed & 4095
    return InfoFrame(frames, delay, padding, name == b"Info")


def _links(
    source: SoundSource, header: FrameHeader, count: int, infos: dict[int, InfoFrame]
) -> tuple[list[Link], int]:
    """Links, and the declared frames that they lack."""
    links, begins, lacking = [], sorted(infos), 0
    if not begins or begins[0] > 0:
        rest = begins[0] if begins else count
        links.append(_link(0, rest, header.samples, None))
    for number, index in enumerate(begins):
        info, first = infos[index], index + 1
        present = (begins[number + 1] if number + 1 < len(begins) else count) - first
        stated = info.frames if info.frames is not None else present
        missing = stated - present
        if missing > _COUNT_SLACK + stated // 20:
            raise AudioReadError(
                f"{source.name}: the file is truncated: its header declares {stated} frames of sound, {present} "
                "are present"
            )
        lacking += missing if missing > _COUNT_SLACK else 0
        own = min(stated, present)
        links.append(_link(first, own, header.samples, info))
        if present > own:  # frames that another encoder appended without stating them
            links.append(_link(first + own, present - own, header.samples, None))
    return [link for link in links if link.samples > 0], lacking


def _link(first: int, frames: int, samples: int, info: InfoFrame | None) -> Link:
    total = frames * samples
    if info is None or info.delay is None or info.padding is None:
        return Link(first, frames, 0, total)
    skip = info.delay + MP3_DECODER_DELAY
    # A stream that lost frames lost its padding first.
    padding = info.padding if info.frames is None or frames >= info.frames else 0
    kept = min(total - info.delay - padding, total - skip)
    return Link(first, frames, skip, kept) if kept > 0 else Link(first, frames, 0, total)


__all__ = ["FrameTable", "Link", "frame_table", "mean_frame_bytes", "read_info_frame", "tag_size"]
