"""Finds where a container's file ends, by the sizes that its parts state."""

import re
from collections.abc import Callable, Iterator

import numpy as np

from .container_opening import stated_bytes
from .sound_source import SoundSource

_MOST_PIECES = 10_000_000
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
# Data, simple index, index, media object index and timecode index objects (ASF specification, sections 5 and 6).
_ASF_OBJECTS = (
    bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c"),
    bytes.fromhex("90080033b1e5cf1189f400a0c90349cb"),
    bytes.fromhex("d329e2d6da35d111903400a0c90349be"),
    bytes.fromhex("f803b1feadf9ce11b3b900aa00a0a8c4"),
    bytes.fromhex("6bd5cb3c8fd0ef4bac6b5ba2d3f6f4ce"),
)
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb"
# Bytes after the first one of a frame, by its type (RFC 4867, section 5.3); None is reserved.
_AMR_SIZES = (12, 13, 15, 17, 19, 20, 26, 31, 5, *[None] * 6, 0)
_AMR_WIDE_SIZES = (17, 23, 32, 36, 40, 46, 50, 58, 60, 5, *[None] * 4, 0, 0)
_NIST_COUNTS = (b"sample_count", b"channel_count", b"sample_n_bytes")
_PIECE = 1 << 20
# So many bytes of AMR frames marked as lost, at the end, are padding.
_AMR_PADDING = 1000


def _mov_end(source: SoundSource, start: int) -> int | None:
    """ISO/IEC 14496-12, section 4.2: boxes up to the end, an invalid box, or the boxes of another movie."""
    place, movie, media = start, False, False
    for _ in range(_MOST_PIECES):
        head = source.read_at(place, 16)
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if len(head) < 8 or not _is_box(name):
            return place
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if (name == b"ftyp" and (movie or media)) or (name == b"moov" and movie):
            return place
        if size == 0:
            return source.size
        if size < 8:
            return place
        movie, media = movie or name == b"moov", media or name == b"mdat"
        if place + size > source.size and name != b"mdat":
            # No more than a tag or free space may be cut off, or else FFmpeg misses it.
            return source.size if name in (b"moov", b"moof", b"free", b"skip", b"udta") else place
        place += size
        if place >= source.size:
            return place
    return source.size


def _is_box(name: bytes) -> bool:
    # The copyright sign begins QuickTime's names of texts.
    return all(32 <= byte < 127 or byte == 0xA9 for byte in name)


def _matroska_end(source: SoundSource, start: int) -> int | None:
    """The end of a segment; one of open size ends where the next header of its kind begins."""
    stated = stated_bytes(source, "matroska", start)
    if stated is not None:
        return stated
    for place in source.find(b"\x1aE\xdf\xa3", start + 4):
        head = source.read_at(place, 64)
        if b"\x42\x82\x84webm" in head or b"\x42\x82\x88matroska" in head:
            return place
    return None


def _avi_end(source: SoundSource, start: int) -> int | None:
    """The RIFF list and the lists that continue it (OpenDML AVI file format extensions, section 3)."""
    place = start
    for _ in range(_MOST_PIECES):
        head = source.read_at(place, 12)
        if head[:4] != b"RIFF" or head[8:] != (b"AVI " if place == start else b"AVIX"):
            return place
        size = int.from_bytes(head[4:8], "little")
        place += 8 + size
        if size % 2 and source.read_at(place, 4) != b"RIFF":
            place += 1
    return place


def _asf_end(source: SoundSource, start: int) -> int | None:
    place = start
    for _ in range(1000):
        head = source.read_at(place, 24)
        begins = head[:16]
        size = int.from_bytes(head[16:], "little")
        if len(head) < 24 or (place == start) != (begins == _ASF_HEADER):
            return place
        if place > start and begins not in _ASF_OBJECTS:
            return place
        if size < 24:  # a broadcast
            return None
        place += size
        if place >= source.size:
            return place
    return None


def _wavpack_end(source: SoundSource, start: int) -> int | None:
    """Blocks (WavPack 4 file format, block header) up to one that begins a new file."""
    place = start
    last = -1
    for _ in range(_MOST_PIECES):
        head = source.read_at(place, 32)
        if len(head) < 32 or head[:4] != b"wvpk":
            return place
        size, index = int.from_bytes(head[4:8], "little") + 8, int.from_bytes(head[16:20], "little")
        samples, flags = int.from_bytes(head[20:24], "little"), int.from_bytes(head[24:28], "little")
        index |= head[10] << 32
        # Of the channels of one block of sound, the first begins it.
        if samples and flags & 0x800:
            if index <= last:
                return place
            last = index
        place += size
        if size < 32 or place >= source.size:
            return place
    return place


def _tta_end(source: SoundSource, start: int) -> int | None:
    """The seek table has the size of each frame (TTA1 format description)."""
    head = source.read_at(start, 22)
    rate, samples = int.from_bytes(head[10:14], "little"), int.from_bytes(head[14:18], "little")
    if len(head) < 22 or not rate or not samples:
        return None
    frames = -(-samples // (rate * 256 // 245))
    table = source.read_at(start + 22, min(4 * frames, source.size))
    if len(table) < 4 * frames:
        return None
    return start + 22 + 4 * frames + 4 + int(np.frombuffer(table, "<u4").sum(dtype=np.uint64))


def _flv_end(source: SoundSource, start: int) -> int | None:
    """Where the next header begins, or what `filesize` states where no tag ends with the file."""
    for place in source.find(b"FLV\x01", start + 4):
        head = source.read_at(place, 13)
        if head[5:] == b"\0\0\0\x09\0\0\0\0" and not head[4] & 0xFA:
            return place
    stated = _flv_number(source, start, b"filesize")
    # Editors leave the number as it was.
    if stated is None or _is_flv_end(source, source.size):
        return None
    end = start + int(stated)
    return end if end > source.size or _is_flv_end(source, end) else None


def _flv_number(source: SoundSource, start: int, name: bytes) -> float | None:
    """A number of the script tag at the begin (Adobe Flash Video specification, section E.5)."""
    head = source.read_at(start, 4096)
    place = head.find(len(name).to_bytes(2, "big") + name + b"\0")
    if place < 0:
        return None
    value = float(np.frombuffer(head[place + 3 + len(name) :][:8].ljust(8, b"\0"), ">f8")[0])
    return value if 0 <= value < 2**53 else None


def _is_flv_end(source: SoundSource, end: int) -> bool:
    """Whether a whole tag with its size ends at a position."""
    size = int.from_bytes(source.read_at(max(end - 4, 0), 4), "big")
    head = source.read_at(max(end - 4 - size, 0), 4)
    return size >= 11 and head[:1] in b"\x08\x09\x12" and int.from_bytes(head[1:], "big") == size - 11


def _caf_end(source: SoundSource, start: int) -> int | None:
    place = start + 8
    for _ in range(_MOST_PIECES):
        head = source.read_at(place, 12)
        size = int.from_bytes(head[4:], "big", signed=True)
        if len(head) < 12 or head[:4] == b"caff" or not _is_box(head[:4]):
            return place
        if size < 0 or (size == 0 and head[:4] == b"data"):  # the data, of open size
            return None
        if place + 12 + size > source.size and head[:4] != b"data":
            return place
        place += 12 + size
        if place >= source.size:
            return place
    return None


def _au_end(source: SoundSource, start: int) -> int | None:
    head = source.read_at(start, 24)
    order = "big" if head[:4] == b".snd" else "little"
    offset, size = int.from_bytes(head[4:8], order), int.from_bytes(head[8:12], order)
    return None if size in (0, 0xFFFF_FFFF) or offset < 24 else start + offset + size


def _aiff_end(source: SoundSource, start: int) -> int | None:
    """Chunks up to another file; what FORM states of its size is often not true."""
    place, sound = start + 12, False
    for _ in range(_MOST_PIECES):
        head = source.read_at(place, 12)
        size = int.from_bytes(head[4:8], "big")
        if len(head) < 8 or not _is_box(head[:4]) or (head[:4] == b"FORM" and head[8:11] == b"AIF"):
            return place if sound else None
        if head[:4] == b"SSND":
            sound = True
            if size <= 8 or size >= 0x7FFF_F000:
                return None
        elif place + 8 + size > source.size:
            return place if sound else None
        place += 8 + size
        if size % 2 and not _is_box(source.read_at(place, 4)):
            place += 1
        if place >= source.size:
            return place
    return None


def _w64_end(source: SoundSource, start: int) -> int | None:
    """Chunks of a GUID and eight bytes of size, aligned to eight (Sony Wave64 specification)."""
    place = start + 40
    for _ in range(_MOST_PIECES):
        head = source.read_at(place, 24)
        size = int.from_bytes(head[16:], "little")
        if len(head) < 24 or head[:12] == _W64_RIFF or not _is_box(head[:4]):
            return place
        if size < 24 or (head[:4] == b"data" and (size == 24 or size >= 2**62)):
            return None
        if place + size > source.size and head[:4] != b"data":
            return place
        place += size
        aligned = place + -(place - start) % 8
        place = aligned if source.read_at(place, 4) != b"riff" else place
        if place >= source.size:
            return place
    return None


def _voc_end(source: SoundSource, start: int) -> int | None:
    """Blocks of a type, three bytes of size and content, up to the one of type 0, which many files lack."""
    place = start + int.from_bytes(source.read_at(start + 20, 2), "little")
    for _ in range(_MOST_PIECES):
        head = source.read_at(place, 4)
        if not head or head.startswith(b"Crea"):
            return place
        if head[0] == 0:
            return place + 1
        if head[0] > 9 or len(head) < 4:
            return place
        place += 4 + int.from_bytes(head[1:4], "little")
    return None


def _amr_end(source: SoundSource, start: int) -> int | None:
    """Frames whose first byte gives their size (RFC 4867, section 5)."""
    magic = source.read_at(start, 9)
    if magic == b"#!AMR-WB\n":
        sizes, place = _AMR_WIDE_SIZES, start + 9
    elif magic.startswith(b"#!AMR\n"):
        sizes, place = _AMR_SIZES, start + 6
    else:
        return None  # of several channels
    # The first bit and the last two of a frame are 0.
    steps = [0 if first & 0x83 or (size := sizes[first >> 3]) is None else 1 + size for first in range(256)]
    heard, chained = place, True
    while chained and (data := source.read_at(place, _PIECE)):
        at, most = 0, len(data)
        while at < most and (step := steps[data[at]]):
            at += step
            if step and data[at - step]:
                heard = place + at
        chained = at >= most
        place += at
    # A frame that is cut is no more than 20 ms.
    return heard if place - heard > _AMR_PADDING else min(place, source.size)


def _dsf_end(source: SoundSource, start: int) -> int | None:
    size = int.from_bytes(source.read_at(start + 12, 8), "little")
    return start + size if size >= 92 else None


def _ape_end(source: SoundSource, start: int) -> int | None:
    """The descriptor of version 3.98 and later has the size of each part."""
    head = source.read_at(start, 36)
    if len(head) < 36 or int.from_bytes(head[4:6], "little") < 3980:
        return None
    parts = np.frombuffer(head[8:36], "<u4").astype(np.uint64)
    own, header, table, wav_head, low, high, wav_tail = parts.tolist()
    return start + own + header + table + wav_head + low + (high << 32) + wav_tail


def _nist_end(source: SoundSource, start: int) -> int | None:
    """A header of text states the samples (NIST SPHERE)."""
    head = source.read_at(start, 1024)
    if re.search(rb"sample_coding -s\d+ (?!pcm\s|ulaw\s|alaw\s)", head):
        return None
    found = [re.search(rb"%s -i (\d{1,15})\s" % name, head) for name in _NIST_COUNTS]
    size = re.match(rb"NIST_1A\n\s*(\d{1,9})\n", head)
    if size is None or not all(found):
        return None
    count, channels, width = (int(one.group(1)) for one in found)
    return start + int(size.group(1)) + count * channels * width if count else None


def _transport_end(source: SoundSource, start: int) -> int | None:
    """The position after the last of five consecutive packets."""
    for step in (188, 192):
        first = 0 if step == 188 else 4
        if source.read_at(start + first, 1) != b"\x47":
            continue
        for base, data in _backwards(source, 6 * step):
            marks = np.frombuffer(data, np.uint8) == 0x47
            chain = marks[4 * step :].copy()
            for number in range(4):
                chain &= marks[number * step : len(marks) - (4 - number) * step]
            places = np.flatnonzero(chain)
            if len(places):
                return min(base + int(places[-1]) + 4 * step + step - first, source.size)
    return None


def _backwards(source: SoundSource, overlap: int) -> Iterator[tuple[int, bytes]]:
    end = source.size
    while end > 0:
        base = max(end - _PIECE, 0)
        yield base, source.read_at(base, min(end - base + overlap, source.size - base))
        end = base


# From the first byte of a file to its end (exclusive), beyond the actual end if it is cut; None if it is open.
ENDS: dict[str, Callable[[SoundSource, int], int | None]] = {
    "mov": _mov_end,
    "matroska": _matroska_end,
    "avi": _avi_end,
    "asf": _asf_end,
    "wv": _wavpack_end,
    "tta": _tta_end,
    "flv": _flv_end,
    "CAF": _caf_end,
    "AU": _au_end,
    "AIFF": _aiff_end,
    "W64": _w64_end,
    "voc": _voc_end,
    "amr": _amr_end,
    "dsf": _dsf_end,
    "ape": _ape_end,
    "NIST": _nist_end,
    "mpegts": _transport_end,
}

__all__ = ["ENDS"]
