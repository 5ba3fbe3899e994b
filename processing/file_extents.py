"""Where a file ends by its own structure; a tag, another file or unread bytes may follow."""

from dataclasses import dataclass

from .container_ends import ENDS
from .frame_scanning import behind_tags, tag_size
from .sound_formats import identify
from .sound_source import AudioReadError, SoundSource, kept_while_unchanged

_MOST_FILES = 10_000
# What follows zeros may begin with some of its own.
_OWN_ZEROS = 3


@dataclass(frozen=True)
class FileExtents:
    """
    The joined files of one container within a file, or the single one.

    Attributes:
        files: first byte and end (exclusive) of each.
        rest: bytes after the last file that are neither a tag, padding nor a file of the same container.
        missing: bytes that the last one declares and that are missing.
    """

    files: tuple[tuple[int, int], ...]
    rest: int = 0
    missing: int = 0


@kept_while_unchanged(files=4096)
def file_extents(source: SoundSource, start: int, kind: str) -> FileExtents:
    """
    Finds the joined files within a file, each by its own structure.

    Args:
        source: the file.
        start: where the first file begins, after tags.
        kind: its container, as [`identify`] calls it.

    Returns:
        One file that reaches to the end, for a container whose structure does not show its end.
    """
    measure = ENDS.get(kind)
    if measure is None:
        return FileExtents(((start, source.size),))
    files: list[tuple[int, int]] = []
    while len(files) < _MOST_FILES:
        end = measure(source, start)
        if end is None:
            end = source.size
        files.append((start, min(end, source.size)))
        if end > source.size:
            return FileExtents(tuple(files), missing=end - source.size)
        place = _behind_trailers(source, end)
        following = _file_at(source, place, kind)
        if following is None:
            return FileExtents(tuple(files), rest=source.size - place)
        start = following
    return FileExtents(tuple(files), rest=source.size - end)


def _file_at(source: SoundSource, place: int, kind: str) -> int | None:
    """The first byte of a file of a container, at a position or after ID3v2 tags there; None if there is none."""
    places = [place]
    if source.read_at(place, 3) == b"ID3":
        behind = behind_tags(source, place)
        places = [behind, max(behind - _OWN_ZEROS, 0)]
    for begin in places:
        try:
            if begin < source.size and identify(source, begin).container == kind:
                return begin
        except AudioReadError:  # a text
            continue
    return None


def _behind_trailers(source: SoundSource, place: int) -> int:
    """The first byte after ID3v1 and APE tags and zeros."""
    while (begin := source.behind_zeros(place)) < source.size:
        place = max(begin - _OWN_ZEROS, place)
        head = source.read_at(begin, 32)
        size = 0 if head[:3] == b"ID3" else tag_size(head)
        if not size:
            return begin if head[:3] == b"ID3" else place
        place = begin + size
    return source.size


__all__ = ["FileExtents", "file_extents"]
