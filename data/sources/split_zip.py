"""Unpacking zip archives that come in parts (``name.z01``, ``name.z02``, ..., ``name.zip``), as WavCaps does."""

import os
import struct
import zlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from ...files.replacing import replace_path
from ..schema import DataError

_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
_STORED, _DEFLATED = 0, 8
_CHUNK = 2**20
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True)
class _Member:
    name: str
    method: int
    encrypted: bool
    crc: int
    packed: int
    size: int
    start: int


class _Parts:
    """Several files, one after another, as one."""

    def __init__(self, paths: list[Path]):
        self.paths = paths
        self.starts = [0]
        for path in paths:
            self.starts.append(self.starts[-1] + path.stat().st_size)

    @property
    def size(self) -> int:
        return self.starts[-1]

    def read(self, start: int, length: int) -> bytes:
        pieces = []
        while length > 0 and start < self.size:
            part = bisect_right(self.starts, start) - 1
            with open(self.paths[part], "rb") as file:
                file.seek(start - self.starts[part])
                piece = file.read(min(length, self.starts[part + 1] - start))
            pieces.append(piece)
            start, length = start + len(piece), length - len(piece)
        return b"".join(pieces)


def unpack_archive(
    folder: str | os.PathLike[str], target: str | os.PathLike[str], *, progress: bool = True
) -> tuple[int, int]:
    """
    Unpacks a folder's one zip archive, in one file or in parts, into one flat folder.

    Python's own zipfile refuses archives in parts. A file that is in the target with the right size is kept, so
    that an interrupted unpacking resumes; each is written to a temporary file and moved when its checksum
    is right.

    Args:
        folder: contains one ``name.zip`` and, if the archive has parts, ``name.z01``, ``name.z02``, ...
        target: where the files go, without the archive's own folders; made if it is not there.
        progress: show a progress bar.

    Returns:
        Number of files written, and of files that existed.

    Raises:
        DataError: if there is no archive or more than one, a part is missing, the archive is damaged or
            encrypted, two of its files have one name, or a checksum is wrong.
    """
    parts = _Parts(_find_parts(Path(folder)))
    target = Path(target)
    members = list(_members(parts))
    names = [PurePosixPath(member.name).name for member in members]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"{parts.paths[-1]}: the archive has two files with the name {twice[0]!r}.")
    target.mkdir(parents=True, exist_ok=True)
    written = 0
    pairs = zip(members, names, strict=True)
    for member, name in tqdm(pairs, total=len(members), desc="unpacking", unit="file", disable=not progress):
        place = target / name
        if not (place.is_file() and place.stat().st_size == member.size):
            _unpack(parts, member, place)
            written += 1
    return written, len(members) - written


def _find_parts(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: directory not found; give the directory with the archive.")
    last = sorted(folder.glob("*.zip"))
    if len(last) != 1:
        raise DataError(f"{folder}: found {len(last)} files *.zip, but expected one.")
    numbered = {}
    for path in folder.glob(f"{last[0].stem}.z*"):
        digits = path.suffix[2:]
        if digits.isdecimal():
            numbered[int(digits)] = path
    missing = [number for number in range(1, max(numbered, default=0) + 1) if number not in numbered]
    if missing:
        raise DataError(f"{folder}: part {last[0].stem}.z{missing[0]:02d} of the archive is missing.")
    return [*(numbered[number] for number in sorted(numbered)), last[0]]


def _members(parts: _Parts) -> Iterator[_Member]:
    """The files of the archive's central directory; folders are passed over."""
    where = parts.paths[-1]
    tail_start = max(0, parts.size - 22 - _MAX16)
    tail = parts.read(tail_start, parts.size - tail_start)
    place = tail.rfind(_END)
    if place < 0:
        raise DataError(f"{where}: not a zip archive, or the last part is truncated.")
    _, disk, first_disk, _, count, size, offset, _ = struct.unpack("<4s4H2LH", tail[place : place + 22])
    locator = tail[place - 20 : place] if place >= 20 else b""
    if locator[:4] == _LOCATOR64:
        end_disk, end_offset = struct.unpack("<LQ", locator[4:16])
        record = parts.read(_absolute(parts, end_disk, end_offset), 56)
        if record[:4] != _END64:
            raise DataError(f"{where}: the archive is corrupt: no end of central directory found.")
        disk, first_disk, _, count, size, offset = struct.unpack("<LLQQQQ", record[16:56])
    if disk + 1 != len(parts.paths):
        raise DataError(f"{where}: the archive has {disk + 1} parts, but found {len(parts.paths)}.")
    directory = parts.read(_absolute(parts, first_disk, offset), size)
    at = 0
    for _ in range(count):
        fields = struct.unpack("<4s6H3L5H2L", directory[at : at + 46]) if len(directory) >= at + 46 else [b""]
        if fields[0] != _CENTRAL:
            raise DataError(f"{where}: the archive is corrupt: the central directory is truncated.")
        flags, method = fields[3], fields[4]
        crc, packed, size, name_length, extra_length, comment_length, start_disk = fields[7:14]
        start = fields[16]
        raw = directory[at + 46 : at + 46 + name_length]
        extra = directory[at + 46 + name_length : at + 46 + name_length + extra_length]
        size, packed, start, start_disk = _large_values(extra, size, packed, start, start_disk)
        at += 46 + name_length + extra_length + comment_length
        name = raw.decode("utf-8" if flags & 0x800 else "cp437")
        if not name.endswith("/"):
            yield _Member(
                name, method, bool(flags & 1), crc, packed, size, _absolute(parts, start_disk, start)
            )


def _absolute(parts: _Parts, disk: int, offset: int) -> int:
    if disk >= len(parts.paths):
        raise DataError(
            f"{parts.paths[-1]}: the archive refers to part {disk + 1}, but found {len(parts.paths)} parts."
        )
    return parts.starts[disk] + offset


def _large_values(extra: bytes, size: int, packed: int, start: int, disk: int) -> tuple[int, int, int, int]:
    """Sizes and offsets of more than 4 GiB, which have their own field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack("<2H", extra[at : at + 4])
        if kind == 1:
            values = extra[at + 4 : at + 4 + length]
            taken = 0
            for number, value in enumerate((size, packed, start)):
                if value == _MAX32:
                    (large,) = struct.unpack("<Q", values[taken : taken + 8])
                    taken += 8
                    size, packed, start = (
                        large if place == number else old for place, old in enumerate((size, packed, start))
                    )
            if disk == _MAX16:
                (disk,) = struct.unpack("<L", values[taken : taken + 4])
            break
        at += 4 + length
    return size, packed, start, disk


def _unpack(parts: _Parts, member: _Member, place: Path) -> None:
    where = f"{parts.paths[-1]}, {member.name}"
    if member.encrypted or member.method not in (_STORED, _DEFLATED):
        what = "is encrypted" if member.encrypted else f"uses compression method {member.method}"
        raise DataError(f"{where}: a file {what}; supported are stored and deflated files.")
    header = parts.read(member.start, 30)
    if header[:4] != _LOCAL:
        raise DataError(f"{where}: the archive is corrupt, or a part belongs to another archive.")
    name_length, extra_length = struct.unpack("<2H", header[26:30])
    start = member.start + 30 + name_length + extra_length
    decoder = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == _DEFLATED else None
    fresh = place.with_name(f".{place.name}.{os.getpid()}.partial")
    crc = size = 0
    try:
        with open(fresh, "wb") as file:
            for at in range(0, member.packed, _CHUNK):
                piece = parts.read(start + at, min(_CHUNK, member.packed - at))
                piece = decoder.decompress(piece) if decoder else piece
                crc, size = zlib.crc32(piece, crc), size + len(piece)
                file.write(piece)
        if crc != member.crc or size != member.size:
            raise DataError(f"{where}: wrong checksum; the archive is corrupt.")
        replace_path(fresh, place)
    except zlib.error as error:
        raise DataError(f"{where}: cannot unpack the file ({error}).") from error
    finally:
        fresh.unlink(missing_ok=True)


__all__ = ["unpack_archive"]
