"""Repairs headers of WAV, AIFF, CAF, AU and W64 files that do not match their samples."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from .sound_source import SoundSource

# Programs that write to a pipe cannot go back to fill in the size and leave a huge number.
UNKNOWN_SIZE = 0x7FFF_F000
_FOUR_GB = 1 << 32
_MOST_CHUNKS = 4096
_LONGEST_FORMAT = 4096

# What libsndfile decodes of WAVE_FORMAT_*: PCM, ADPCM, float, A-law, mu-law, IMA ADPCM, GSM, NMS ADPCM, G.721.
SNDFILE_WAV_TAGS = frozenset({0x0001, 0x0002, 0x0003, 0x0006, 0x0007, 0x0011, 0x0031, 0x0038, 0x0040})
MPEG_WAV_TAGS = frozenset({0x0050, 0x0055})
_EXTENSIBLE = 0xFFFE


@dataclass(frozen=True)
class TrueHeader:
    """
    A repaired header and the samples that it belongs to.

    Attributes:
        head: the header that it should have.
        start, size: first byte and number of bytes of the samples in the file.
    """

    head: bytes
    start: int
    size: int


@dataclass
class WavLayout:
    """
    The chunks of a WAV, RF64 or BW64 file.

    Attributes:
        tag: WAVE_FORMAT_* of the samples; for an extensible format, the tag of its subformat.
        form: the content of the ``fmt`` chunk.
        data_start: first byte of the samples.
        declared: bytes of samples according to the header; None if it leaves that open.
        data_size: bytes of samples to read.
        rebuilt: whether libsndfile needs a repaired header.
        following: first byte of another RIFF file that is joined to this one; None if there is none.
        behind: bytes after the samples that are not chunks.
    """

    tag: int
    form: bytes
    data_start: int
    declared: int | None
    data_size: int
    rebuilt: bool
    following: int | None = None
    behind: int = 0
    extra: dict[str, bytes] = field(default_factory=dict)

    @property
    def block(self) -> int:
        """Bytes of one frame, or of one block of a compressed format; at least 1."""
        return max(int.from_bytes(self.form[12:14], "little"), 1)

    def true_header(self) -> TrueHeader:
        """The header that the file should have."""
        size = self.data_size - self.data_size % self.block
        form = b"fmt " + len(self.form).to_bytes(4, "little") + self.form + b"\0" * (len(self.form) % 2)
        fact = self.extra.get("fact")
        if fact is not None:
            form += b"fact" + len(fact).to_bytes(4, "little") + fact + b"\0" * (len(fact) % 2)
        if size + len(form) + 20 < _FOUR_GB:
            data = b"data" + size.to_bytes(4, "little")
            head = b"RIFF" + (4 + len(form) + 8 + size).to_bytes(4, "little") + b"WAVE" + form + data
        else:
            whole = (4 + 36 + len(form) + 8 + size).to_bytes(8, "little")
            sizes = b"ds64" + (28).to_bytes(4, "little") + whole + size.to_bytes(8, "little") + bytes(12)
            head = b"RF64\xff\xff\xff\xffWAVE" + sizes + form + b"data\xff\xff\xff\xff"
        return TrueHeader(head, self.data_start, size)


def wav_layout(source: SoundSource, start: int = 0) -> WavLayout | None:
    """The layout of the WAV file that begins at ``start``; None without ``fmt`` and ``data``, or of RIFX."""
    magic = source.read_at(start, 4)
    if magic == b"RIFX":
        return None
    form, sizes, extra = b"", b"", {}
    for name, place, size in _chunks(source, start + 12, "little"):
        if name == b"fmt " and not form:
            form = source.read_at(place, min(size, _LONGEST_FORMAT))
        elif name == b"ds64":
            sizes = source.read_at(place, 28)
        elif name == b"fact":
            extra["fact"] = source.read_at(place, min(size, 64))
        elif name == b"data":
            break
    else:
        return None
    if len(form) < 16:
        return None
    tag = int.from_bytes(form[:2], "little")
    if tag == _EXTENSIBLE and len(form) >= 26:
        tag = int.from_bytes(form[24:26], "little")
    long_form = magic in (b"RF64", b"BW64")
    if long_form and size == 0xFFFF_FFFF and len(sizes) >= 16:
        size = int.from_bytes(sizes[8:16], "little")
    present = source.size - place
    layout = WavLayout(tag, form, place, size, size, magic == b"BW64", extra=extra)
    if present <= 0:
        layout.data_size = 0
        return layout
    if size == 0:
        # An interrupted recorder left the size 0, unless chunks follow, as they do after an empty sound.
        open_end = not _is_chunk_list(source, place)
    elif size > present or long_form:
        open_end = size > present and size >= UNKNOWN_SIZE
    else:
        # A 32-bit size that is not a number, or ran over: then what is missing is a multiple of 4 GB.
        ran_over = present - size >= _FOUR_GB - 65536 and (present - size) % _FOUR_GB < 65536
        open_end = size == 0xFFFF_FFFF or ran_over
    if open_end:
        layout.declared, layout.data_size = None, present
        layout.rebuilt = size == 0 or long_form or present >= _FOUR_GB
        return layout
    if size < present:
        _look_behind(source, layout)
    return layout


def _look_behind(source: SoundSource, layout: WavLayout) -> None:
    end = layout.data_start + layout.data_size
    end += _padding(source, end, layout.data_size)
    for name, place, size in _chunks(source, end, "little"):
        head = place - 8
        if name in (b"RIFF", b"RF64") and source.read_at(place, 4) == b"WAVE":
            layout.following = head
            return
        end = place + size
    layout.behind = max(source.size - source.behind_zeros(end), 0)


def rebuilt_aiff(source: SoundSource, start: int = 0) -> TrueHeader | None:
    """An AIFF file whose SSND states no samples although some follow, with corrected sizes; else None."""
    form_type = source.read_at(start + 8, 4)
    common, version = b"", b""
    for name, place, size in _chunks(source, start + 12, "big"):
        if name == b"COMM":
            common = source.read_at(place, min(size, _LONGEST_FORMAT))
        elif name == b"FVER":
            version = b"FVER\0\0\0\4" + source.read_at(place, 4)
        elif name == b"SSND":
            break
    else:
        return None
    data_start = place + 8
    present = source.size - data_start
    if size > 8 or len(common) < 18 or present <= 0 or _is_chunk_list(source, place + size, "big"):
        return None
    channels, bits = int.from_bytes(common[:2], "big"), int.from_bytes(common[6:8], "big")
    block = max(channels * ((bits + 7) // 8), 1)
    frames = present // block
    common = common[:2] + frames.to_bytes(4, "big") + common[6:]
    common += b"\0" * (len(common) % 2)
    sound = frames * block
    body = form_type + version + b"COMM" + len(common).to_bytes(4, "big") + common
    body += b"SSND" + (sound + 8).to_bytes(4, "big") + bytes(8)
    head = b"FORM" + (len(body) + sound).to_bytes(4, "big") + body
    return TrueHeader(head, data_start, sound)


def rebuilt_caf(source: SoundSource, start: int = 0) -> TrueHeader | None:
    """A CAF file of linear samples whose last chunk, the data, leaves its size open (-1 or 0); else None."""
    place, kept = start + 8, b""
    for _ in range(_MOST_CHUNKS):
        head = source.read_at(place, 12)
        if len(head) < 12:
            return None
        size = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] == b"data":
            break
        if not 0 <= size <= source.size - place:
            return None
        if head[:4] == b"desc":
            kept = head + source.read_at(place + 12, size)
        place += 12 + size
    else:
        return None
    if size not in (-1, 0) or kept[20:24] != b"lpcm":
        return None
    # Four bytes count the edits.
    data_start = place + 12 + 4
    block = max(int.from_bytes(kept[28:32], "big"), 1)
    present = (source.size - data_start) // block * block
    if present <= 0:
        return None
    header = source.read_at(start, 8) + kept + b"data" + (present + 4).to_bytes(8, "big") + bytes(4)
    return TrueHeader(header, data_start, present)


def rebuilt_au(source: SoundSource, start: int = 0) -> TrueHeader | None:
    """An AU file that states 0 bytes of samples although some follow; else None."""
    header = source.read_at(start, 24)
    offset = int.from_bytes(header[4:8], "big")
    present = source.size - start - offset
    if len(header) < 24 or any(header[8:12]) or present <= 0 or offset < 24:
        return None
    head = header[:4] + (24).to_bytes(4, "big") + b"\xff\xff\xff\xff" + header[12:]
    return TrueHeader(head, start + offset, present)


def rebuilt_w64(source: SoundSource, start: int = 0) -> TrueHeader | None:
    """A W64 file with bytes after its data, which libsndfile would read as samples; else None."""
    place = start + 40
    for _ in range(_MOST_CHUNKS):
        head = source.read_at(place, 24)
        size = int.from_bytes(head[16:], "little")
        if len(head) < 24 or size < 24:
            return None
        if head[:4] == b"data":
            break
        place += size + -size % 8
    else:
        return None
    data_start, present = place + 24, source.size - place - 24
    sound = size - 24
    if not 0 < sound < present or place - start > 1 << 20:
        return None
    header = source.read_at(start, 16) + (data_start - start + sound).to_bytes(8, "little")
    return TrueHeader(header + source.read_at(start + 24, data_start - start - 24), data_start, sound)


def _chunks(source: SoundSource, place: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """(name, first byte of the content, size) of consecutive chunks, up to the first invalid one."""
    for _ in range(_MOST_CHUNKS):
        head = source.read_at(place, 8)
        if len(head) < 8 or not _is_name(head[:4]):
            return
        size = int.from_bytes(head[4:], order)
        yield head[:4], place + 8, size
        place += 8 + size
        place += _padding(source, place, size)


def _padding(source: SoundSource, place: int, size: int) -> int:
    """Contents of odd size are padded by a byte, but not by every program."""
    return size % 2 if not _is_name(source.read_at(place, 4)) else 0


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _is_chunk_list(source: SoundSource, place: int, order: str = "little") -> bool:
    """Whether chunks fill the file from a place to its end."""
    end = place
    for _, begin, size in _chunks(source, place, order):
        end = begin + size
    return end > place and end in (source.size, source.size - 1, source.size + 1)


__all__ = [
    "MPEG_WAV_TAGS",
    "SNDFILE_WAV_TAGS",
    "TrueHeader",
    "WavLayout",
    "rebuilt_aiff",
    "rebuilt_au",
    "rebuilt_caf",
    "rebuilt_w64",
    "wav_layout",
]
