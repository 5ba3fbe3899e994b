"""The links of a chained Ogg file: streams that follow each other (RFC 3533, section 4)."""

from .sound_source import SoundSource, kept_while_unchanged

_LONGEST_PAGE = 27 + 255 + 255 * 255
_FIRST_PAGE = 2
_LAST_PAGE = 4
# What the first packet of an audio stream that libsndfile decodes begins with.
_AUDIO = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC")
_OTHERS = (b"Speex   ", b"\x80theora", b"fishead\0", b"\x80kate", b"CMML", b"PCM     ", b"BBCD\0", b"OVP80")


@kept_while_unchanged(files=1024)
def ogg_links(source: SoundSource) -> tuple[list[int], bool]:
    """
    The links of an Ogg file.

    Returns:
        The first byte of each, and whether each is a single audio stream that libsndfile may decode: no
        Speex, no video.
    """
    begins = [0, *(place for place in source.find(b"OggS\0\2", 1) if _packet(source, place))]
    simple = all(_packet(source, place).startswith(_AUDIO) for place in begins)
    starts, last_end = [], -1
    for place in begins:
        # Audio and video streams of one link begin directly after each other.
        if place == last_end:
            simple = False
        else:
            starts.append(place)
        last_end = place + _page_size(source, place)
    return starts, simple


def ends_ogg_stream(source: SoundSource, end: int | None = None) -> bool:
    """
    Whether the last Ogg page before ``end`` is whole and marked as the end of the stream (RFC 3533, section 6).

    libsndfile ignores a cut that leaves the last page's header.
    """
    end = source.size if end is None else end
    start = max(end - 2 * _LONGEST_PAGE, 0)
    tail = source.read_at(start, end - start)
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & _LAST_PAGE:
        return False
    segments = page[27 : 27 + page[26]]
    return len(segments) == page[26] and len(page) >= 27 + len(segments) + sum(segments)


def ogg_end(source: SoundSource) -> int:
    """The end (exclusive) of the last Ogg page if it is whole; else the end of the file."""
    start = max(source.size - 2 * _LONGEST_PAGE, 0)
    place = source.read_at(start, source.size - start).rfind(b"OggS")
    return source.size if place < 0 else min(start + place + _page_size(source, start + place), source.size)


def last_ogg_page_start(source: SoundSource, end: int) -> int:
    """The first sample of the last Ogg page before byte ``end``, from the page before it."""
    start = max(end - 2 * _LONGEST_PAGE, 0)
    tail = source.read_at(start, end - start)
    place = tail.rfind(b"OggS")
    while (place := tail.rfind(b"OggS", 0, max(place, 0))) >= 0:
        granule = int.from_bytes(tail[place + 6 : place + 14], "little", signed=True)
        if granule >= 0:
            return granule
    return 0


def _packet(source: SoundSource, place: int) -> bytes:
    """The begin of a stream's first packet; empty if there is no such page at a place."""
    head = source.read_at(place, 27)
    if len(head) < 27 or head[:5] != b"OggS\0" or head[5] != _FIRST_PAGE:
        return b""
    packet = source.read_at(place + 27 + head[26], 8)
    return packet if packet.startswith(_AUDIO + _OTHERS) else b""


def _page_size(source: SoundSource, place: int) -> int:
    head = source.read_at(place, 27)
    segments = source.read_at(place + 27, head[26]) if len(head) == 27 else b""
    return 27 + len(segments) + sum(segments)


__all__ = ["ends_ogg_stream", "last_ogg_page_start", "ogg_end", "ogg_links"]
