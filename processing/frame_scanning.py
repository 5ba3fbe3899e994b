"""Finds the frames of MPEG audio, ADTS and AC-3 streams in one pass over their headers, without decoding."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .frame_headers import HEADER_BYTES, FrameHeader, ac3_header, adts_header, mpeg_header
from .sound_source import AudioReadError, SoundSource

HeaderReader = Callable[[bytes, int], FrameHeader | None]

# So many headers in a row, each where the one before says, are a stream and no accident.
CHAIN = 4
# How far after tags a stream may begin; cover art in a tag whose size is wrong is longer than most junk.
LONGEST_JUNK = 16 << 20
# False headers that a search accepts at most: a limit on what a hostile file can cost.
MOST_CANDIDATES = 50_000
_PIECE = 1 << 20
_READERS: tuple[tuple[bytes, HeaderReader], ...] = (
    (b"\xff", mpeg_header),
    (b"\xff", adts_header),
    (b"\x0b\x77", ac3_header),
)


@dataclass(frozen=True)
class FoundStream:
    """
    Attributes:
        first: byte of the first frame.
        end: end (exclusive) of the bytes that may belong to frames.
        reader: reads this stream's headers.
        sync: first bytes of every header.
        header: header of the first frame.
    """

    first: int
    end: int
    reader: HeaderReader
    sync: bytes
    header: FrameHeader


def behind_tags(source: SoundSource, start: int = 0) -> int:
    """The first byte after ID3v2 tags and zeros at ``start``."""
    while (head := source.read_at(start, 10))[:3] == b"ID3" and len(head) == 10:
        size = _id3_size(head)
        if start + 10 + size >= source.size:
            return start + 10
        start += 10 + size + (10 if head[5] & 0x10 else 0)
    position = start
    while position < min(start + LONGEST_JUNK, source.size):
        piece = source.read_at(position, _PIECE)
        rest = piece.lstrip(b"\0")
        if rest or not piece:
            return position + len(piece) - len(rest)
        position += len(piece)
    return start


def find_stream(source: SoundSource, start: int = 0, end: int | None = None) -> FoundStream | None:
    """
    The first stream of frames after ``start``.

    Args:
        source: the file.
        start: where to begin, after tags.
        end: limit of the stream; by default the file's end.

    Returns:
        None if no chain of headers begins within 16 MiB.
    """
    end = source.size if end is None else end
    position, candidates = start, 0
    while position < min(start + LONGEST_JUNK, end):
        piece = source.read_at(position, min(_PIECE + 4 * 8192, end - position))
        for place in _candidates(piece[: _PIECE + 2]):
            candidates += 1
            if candidates > MOST_CANDIDATES:
                return None
            for sync, reader in _READERS:
                header = reader(piece, place) if piece.startswith(sync, place) else None
                if header is not None and _is_chain(source, position + place, end, reader, header.kind):
                    return FoundStream(position + place, end, reader, sync, header)
        position += _PIECE
    return None


class FrameScan:
    """
    The positions of all frames of a stream.

    Args:
        source, stream: what is scanned.

    Attributes:
        positions: first byte of each frame.
        skipped: bytes between frames that are not tags.
        behind: bytes after the last frame that are neither tags nor padding.

    Raises:
        AudioReadError: if the sampling rate or codec changes within the stream, or no more frames follow.
    """

    def __init__(self, source: SoundSource, stream: FoundStream):
        self._source, self._stream = source, stream
        self._kind = stream.header.kind
        self._candidates = 0
        self._marks: set[int] = set()
        self.skipped = self.behind = 0
        self.positions = self._scan()

    def marked(self) -> list[int]:
        """Indices of MPEG frames that may be Xing, Info or VBRI frames."""
        if not self._marks or not len(self.positions):
            return []
        marks = np.asarray(sorted(self._marks), dtype=np.int64)
        places = self.positions.astype(np.int64)
        owners = np.searchsorted(places, marks, side="right") - 1
        near = (owners >= 0) & (marks - places[np.maximum(owners, 0)] <= 36)
        return sorted(set(owners[near].tolist()))

    def _scan(self) -> np.ndarray:
        stream, reader, kind = self._stream, self._stream.reader, self._kind
        position, end, places = stream.first, stream.end, []
        known: dict[bytes, int] = {}
        # The four bytes of an MPEG header determine its frame: each distinct header is parsed once.
        remember = reader is mpeg_header
        while position + 4 <= end:
            base, data = position, self._source.read_at(position, _PIECE)
            if not data:
                break
            if remember:
                self._note_marks(base, data)
            # The bytes after a piece's last header may mark its frame.
            rest = 0 if base + len(data) >= end else 64
            last = min(len(data), end - base) - HEADER_BYTES - rest
            place = 0
            while place <= last:
                word = data[place : place + 4]
                size = known.get(word, 0)
                if not size:
                    header = reader(data, place)
                    if header is None or header.kind != kind:
                        break
                    size = header.size
                    if remember:
                        known[word] = size
                places.append(base + place)
                place += size
            position = base + place
            if place > last and position + HEADER_BYTES < end and place:
                continue
            following = self._go_on(position)
            if following is None or (
                following == base and not place
            ):  # the latter if the file was cut meanwhile
                break
            position = following
        if places and places[-1] + self._size_at(places[-1]) > end:
            places.pop()
        return np.asarray(places, dtype=np.uint32 if end < 2**32 else np.int64)

    def _note_marks(self, base: int, data: bytes) -> None:
        for mark in (b"Xing", b"Info", b"VBRI"):
            place = data.find(mark)
            while place >= 0:
                self._marks.add(base + place)
                place = data.find(mark, place + 1)

    def _size_at(self, position: int) -> int:
        header = self._stream.reader(self._source.read_at(position, HEADER_BYTES), 0)
        return header.size if header else 0

    def _go_on(self, position: int) -> int | None:
        """The next frame after a tag or junk; None at the end."""
        end = self._stream.end
        while position + 4 <= end:
            head = self._source.read_at(position, 32)
            tag = tag_size(head)
            if tag:
                position += tag
                continue
            header = self._stream.reader(head, 0)
            if header is not None and header.kind == self._kind and position + header.size <= end:
                return position
            following = self._search(position)
            if following is None:
                self.behind = max(end - self._source.behind_zeros(position), 0)
                return None
            self.skipped += following - position
            position = following
            if tag_size(self._source.read_at(position, 32)) == 0:
                return position
        return None

    def _search(self, position: int) -> int | None:
        """The next place at which a tag or a chain of frames begins."""
        stream, start = self._stream, position
        while position < min(start + LONGEST_JUNK, stream.end):
            piece = self._source.read_at(position, min(_PIECE + 32, stream.end - position))
            for place in _candidates(piece[:_PIECE], tags=True):
                if position + place == start:
                    continue
                if tag_size(piece[place : place + 32]):
                    return position + place
                self._candidates += 1
                if self._candidates > MOST_CANDIDATES:
                    raise AudioReadError(
                        f"{self._source.name}: the file is damaged: from byte {start} on it contains no frames of "
                        "sound"
                    )
                header = stream.reader(piece, place)
                if header is None or not _is_chain(
                    self._source, position + place, stream.end, stream.reader, header.kind
                ):
                    continue
                if header.kind != self._kind:
                    raise AudioReadError(
                        f"{self._source.name}: its sampling rate changes from {self._kind[1]} to {header.rate} Hz "
                        f"at byte {position + place}; files of one rate can be joined, others must be converted"
                    )
                return position + place
            position += _PIECE
        return None


def tag_size(head: bytes) -> int:
    """Size of the tag that starts with ``head`` (32 bytes), ID3v1, ID3v2 or APE; 0 if it is not a tag."""
    if head[:3] == b"ID3" and len(head) >= 10 and head[3] < 0x10:
        return 10 + _id3_size(head) + (10 if head[5] & 0x10 else 0)
    if head[:4] == b"TAG+":
        return 227
    if head[:3] == b"TAG":
        return 128
    if head[:8] == b"APETAGEX" and len(head) >= 32:
        is_header = int.from_bytes(head[20:24], "little") >> 29 & 1
        return 32 + (int.from_bytes(head[12:16], "little") if is_header else 0)
    return 0


def _id3_size(head: bytes) -> int:
    """Bytes after the ten of the header: seven bits a byte; if one has its top bit set, all eight."""
    size = head[6:10]
    if any(byte & 0x80 for byte in size):
        return int.from_bytes(size, "big")
    return size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]


def _candidates(piece: bytes, tags: bool = False) -> list[int]:
    """Places of two bytes that a header, or on request a tag, may begin with."""
    values = np.frombuffer(piece, np.uint8)
    if len(values) < 2:
        return []
    first, second = values[:-1], values[1:]
    found = ((first == 0xFF) & (second >= 0xE0)) | ((first == 0x0B) & (second == 0x77))
    if tags:
        pairs = (b"ID", b"TA", b"AP")
        for one, two in pairs:
            found |= (first == one) & (second == two)
    return np.flatnonzero(found).tolist()


def _is_chain(
    source: SoundSource, position: int, end: int, reader: HeaderReader, kind: tuple[str, int]
) -> bool:
    """Whether frames of one kind follow each other from a place on, to the end or as many as make a chain."""
    for number in range(CHAIN):
        if position == end and number:
            return number > 1
        data = source.read_at(position, HEADER_BYTES)
        header = reader(data, 0)
        if header is None or header.kind != kind:
            # What follows a short stream may be a tag.
            return number > 1 and (tag_size(source.read_at(position, 32)) > 0 or position >= end)
        if position + header.size > end:
            return number > 1
        position += header.size
    return True


__all__ = ["FoundStream", "FrameScan", "behind_tags", "find_stream", "tag_size"]
