"""
Reads fields in the chunks of WAV, RF64, BW64 and W64 files, also those of the original WAV in a FLAC file.

Broadcast WAV (EBU Tech 3285), iXML, INFO lists, ID3 chunks.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from ...processing.sound_source import SoundSource
from .container_tags import add_id3
from .field_text import FieldReader, decoded, has_controls
from .ixml_fields import MOST_BYTES, add_ixml

MOST_CHUNKS = 4096
# Cover pictures are in ID3 chunks.
MOST_ID3_BYTES = 1 << 24
MOST_HISTORY = 1 << 16
_OPEN_SIZE = 0xFFFF_FFFF
_LIST = b"LIST"
# The other twelve bytes of the names of Wave64 chunks; the names of `riff` and `list` end differently.
_W64_NAMES = frozenset(map(bytes.fromhex, ("f3acd3118cd100c04f8edb8a", "2f91cf11a5d628db04c10000")))
# GUID and size of `riff`, and the GUID `wave`.
_W64_FORM = 40
_APPLICATION = 2

# EBU Tech 3285, section 2.3: the fields before the coding history.
_BEXT_BYTES = 602
_BEXT_TEXTS = (("description", 0, 256), ("originator", 256, 32), ("originator_reference", 288, 32))
# Multimedia Programming Interface 1.0, chapter 3: names of INFO texts, called as libsndfile calls them.
_INFO_FIELDS = {
    b"INAM": "title",
    b"IART": "artist",
    b"IPRD": "album",
    b"IGNR": "genre",
    b"ICMT": "comment",
    b"ICRD": "date",
    b"ICOP": "copyright",
    b"ISFT": "software",
    b"ITRK": "tracknumber",
    b"IPRT": "tracknumber",
    b"IKEY": "keywords",
    b"ISBJ": "subject",
    b"IENG": "engineer",
    b"ISRC": "source",
    b"IARL": "archival_location",
}


def add_wave(source: SoundSource, start: int, found: FieldReader) -> None:
    """
    Adds the fields of a file of RIFF chunks. If several chunks give the same field, ``bext`` precedes iXML,
    iXML precedes INFO, and INFO precedes ID3.

    Args:
        source: the file.
        start: of ``RIFF``, ``RF64`` or ``BW64``.
        found: receives fields, tags and faults.
    """
    _add_chunks(source, _chunks(source, start), found)


def add_w64(source: SoundSource, start: int, found: FieldReader) -> None:
    """Adds the fields of a Sony Wave64 file; arguments as of [`add_wave`], ``start`` of its ``riff``."""
    _add_chunks(source, _w64_chunks(source, start + _W64_FORM), found)


def add_flac(source: SoundSource, start: int, found: FieldReader) -> None:
    """
    Adds the fields of the original WAV, RF64 or W64 file, which ``flac --keep-foreign-metadata`` stores.

    Args:
        source: the file.
        start: of ``fLaC``.
        found: receives fields, tags and faults.
    """
    _add_chunks(source, _foreign_chunks(source, start), found)


def _add_chunks(source: SoundSource, chunks: Iterable[tuple[bytes, int, int]], found: FieldReader) -> None:
    contents: dict[str, bytes] = {}
    limits = {
        b"bext": ("bext", _BEXT_BYTES + MOST_HISTORY),
        b"iXML": ("iXML", MOST_BYTES),
        b"LIST": ("INFO", MOST_BYTES),
        b"id3 ": ("ID3", MOST_ID3_BYTES),
        b"ID3 ": ("ID3", MOST_ID3_BYTES),
    }
    for name, place, size in chunks:
        kind, most = limits.get(name, ("", 0))
        if not kind or kind in contents or (kind == "INFO" and source.read_at(place, 4) != b"INFO"):
            continue
        if size > most:
            found.fault(f"its {kind} chunk of {size:,} bytes is not read: at most {most:,} are")
            continue
        contents[kind] = source.read_at(place, size)
        if len(contents[kind]) < size:
            found.fault(
                f"its {kind} chunk states {size:,} bytes, of which {len(contents[kind]):,} are present"
            )
    _add_bext(contents.get("bext", b""), found)
    add_ixml(contents.get("iXML", b""), found)
    _add_info(contents.get("INFO", b""), found)
    if contents.get("ID3"):
        add_id3(contents["ID3"], found)


def _chunks(source: SoundSource, start: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, first byte of the content, size) of chunks, up to the first invalid one."""
    place, long_size = start + 12, 0
    for _ in range(MOST_CHUNKS):
        head = source.read_at(place, 8)
        if not _is_name(head[:4]) or len(head) < 8:
            return
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if name == b"ds64":
            long_size = int.from_bytes(source.read_at(place + 16, 8), "little")
        elif name == b"data" and size == _OPEN_SIZE:
            size = long_size
        yield name, place + 8, size
        place += 8 + size
        # Contents of odd size are padded by a byte, but not by every program.
        if size % 2 and not _is_name(source.read_at(place, 4)):
            place += 1


def _w64_chunks(source: SoundSource, place: int) -> Iterator[tuple[bytes, int, int]]:
    """
    As [`_chunks`], of Sony Wave64: names are GUIDs that begin with the name of the RIFF chunk, sizes have 64 bits and
    include the head of 24 bytes, and each chunk begins at a multiple of 8 bytes.
    """
    first = place
    for _ in range(MOST_CHUNKS):
        head = source.read_at(place, 24)
        size = int.from_bytes(head[16:], "little")
        if len(head) < 24 or head[4:16] not in _W64_NAMES or size < 24:
            return
        yield _LIST if head[:4] == b"list" else head[:4], place + 24, size - 24
        place += size + (-(place + size - first) % 8)


def _foreign_chunks(source: SoundSource, start: int) -> Iterator[tuple[bytes, int, int]]:
    """The chunks in APPLICATION blocks of FLAC (RFC 9639, section 8.4), one a block."""
    place = start + 4
    for _ in range(MOST_CHUNKS):
        head = source.read_at(place, 8)
        if len(head) < 8:
            return
        kind, size = head[0] & 0x7F, int.from_bytes(head[1:4], "big")
        content, end = place + 8, place + 4 + size
        if kind == _APPLICATION and head[4:] == b"riff":
            name = source.read_at(content, 4)
            # The first block contains the head of the file; the block of the samples contains only their head.
            if name not in (b"RIFF", b"RF64", b"BW64", b"data", b"fmt ") and end - content >= 8:
                stated = int.from_bytes(source.read_at(content + 4, 4), "little")
                yield name, content + 8, min(stated, end - content - 8)
        elif kind == _APPLICATION and head[4:] == b"w64 ":
            yield from (
                (name, first, min(length, end - first))
                for name, first, length in islice(_w64_chunks(source, content), 1)
                if name != b"data"
            )
        if head[0] & 0x80:
            return
        place = end


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _add_bext(content: bytes, found: FieldReader) -> None:
    if not content:
        return
    if len(content) < _BEXT_BYTES:
        found.fault(f"its bext chunk is damaged: {len(content)} bytes are present of at least {_BEXT_BYTES}")
    texts = {name: decoded(content[first : first + size]) for name, first, size in _BEXT_TEXTS}
    texts["date"] = _numbers_joined(decoded(content[320:330]), (4, 2, 2), "-")
    texts["time"] = _numbers_joined(decoded(content[330:338]), (2, 2, 2), ":")
    texts["coding_history"] = decoded(content[_BEXT_BYTES:])
    noise = [name.replace("_", " ") for name, text in texts.items() if has_controls(text)]
    if noise:
        found.fault(f"its bext chunk is damaged: no text in its {', '.join(noise)}")
    for name, text in texts.items():
        if not has_controls(text):
            found.add(name, text)
    samples = int.from_bytes(content[338:346], "little")
    # Programs without a clock leave it at midnight.
    if len(content) >= 346 and samples:
        found.add("time_reference", str(samples))


def _numbers_joined(text: str, digits: tuple[int, ...], sign: str) -> str:
    """A date or time with the usual sign between its numbers; the standard allows several. Zeros are not a date."""
    numbers = re.fullmatch("[-_:. /]?".join(rf"(\d{{{count}}})" for count in digits), text.strip())
    if numbers is None:
        return text
    joined = sign.join(numbers.groups())
    return "" if joined == "0000-00-00" else joined


def _add_info(content: bytes, found: FieldReader) -> None:
    place = 4
    while place + 8 <= len(content):
        name, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        if not _is_name(name):
            found.fault("its INFO chunk is damaged: it holds something else than texts")
            return
        text = content[place + 8 : place + 8 + size]
        if len(text) < size:
            found.fault("its INFO chunk is damaged: a text reaches beyond its end")
        if name in _INFO_FIELDS:
            found.add(_INFO_FIELDS[name], decoded(text))
        place += 8 + size
        if size % 2 and not _is_name(content[place : place + 4]):
            place += 1


__all__ = ["add_flac", "add_w64", "add_wave"]
