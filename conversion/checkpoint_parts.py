"""Checkpoints that their publishers cut into parts of one file."""

import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm.auto import tqdm

from .key_plan import ConversionError

CHUNK = 1 << 22
# passt_roberta.3.ckpt, model.ckpt.003, model.part2.ckpt
_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>\d+)(?P<after>(\.[A-Za-z]\w*)?)")


def parts_of(paths: Sequence[Path]) -> list[Path]:
    """
    The files that make up one checkpoint, in order.

    Args:
        paths: the whole file; or one of its parts, with the others next to it; or all parts.

    Raises:
        ConversionError: if a part is missing, or among several files one is whole by itself.
    """
    if not paths:
        raise ConversionError("no checkpoint file is given.")
    if len(paths) > 1:
        for path in paths:
            if not path.is_file():
                raise ConversionError(f"{path}: no such file; all parts of a checkpoint are needed.")
            if _is_whole(path):
                raise ConversionError(
                    f"{path}: is a whole checkpoint, not a part of one; give only that file."
                )
        return _complete(_in_order(paths))
    (path,) = paths
    match = _NUMBERED.fullmatch(path.name)
    if match is None or not path.is_file() or _is_whole(path):
        return [path]
    series = _in_order([other for other in path.parent.iterdir() if _same_series(match, other)])
    # Numbered files are common. They are parts only if the first one starts a torch file and does not end it.
    if len(series) == 1 or not _begins_torch_file(series[0]) or _is_whole(series[0]):
        return [path]
    return _complete(series)


@contextmanager
def one_file(parts: Sequence[Path], near: Path, progress: bool = False) -> Iterator[Path]:
    """
    The checkpoint as one file: itself, or its parts joined in a temporary file.

    Args:
        parts: in order.
        near: a directory on the disk where the joined file goes.
        progress: show a bar.

    Raises:
        ConversionError: if the disk is too small.
    """
    if len(parts) == 1:
        yield parts[0]
        return
    size = sum(part.stat().st_size for part in parts)
    free = shutil.disk_usage(near).free
    if free < size:
        raise ConversionError(
            f"{near}: {free / 1e9:.1f} GB are free, but joining the {len(parts)} parts takes {size / 1e9:.1f} GB "
            "for a while."
        )
    handle, name = tempfile.mkstemp(dir=near, prefix=".joined.", suffix=parts[0].suffix)
    try:
        # Closed before it is read: Windows opens no temporary file a second time.
        with (
            os.fdopen(handle, "wb") as joined,
            tqdm(
                total=size, desc="joining", unit="B", unit_scale=True, disable=None if progress else True
            ) as bar,
        ):
            for part in parts:
                for chunk in _chunks(part):
                    joined.write(chunk)
                    bar.update(len(chunk))
        yield Path(name)
    finally:
        with suppress(OSError):
            os.unlink(name)


def sha256_of_parts(parts: Sequence[Path], progress: bool = False) -> str:
    """SHA-256 of the joined parts, hexadecimal."""
    digest = hashlib.sha256()
    size = sum(part.stat().st_size for part in parts)
    with tqdm(
        total=size, desc="hashing", unit="B", unit_scale=True, disable=None if progress else True
    ) as bar:
        for part in parts:
            for chunk in _chunks(part):
                digest.update(chunk)
                bar.update(len(chunk))
    return digest.hexdigest()


def _begins_torch_file(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _is_whole(path: Path) -> bool:
    """Whether a torch file ends, as a whole one does, with the list of its contents."""
    if not _begins_torch_file(path):
        return False
    try:
        zipfile.ZipFile(path).close()
    except zipfile.BadZipFile:
        return False
    return True


def _same_series(match: re.Match[str], other: Path) -> bool:
    found = _NUMBERED.fullmatch(other.name)
    return (
        found is not None
        and other.is_file()
        and (found["before"], found["after"]) == (match["before"], match["after"])
    )


def _in_order(paths: Sequence[Path]) -> list[Path]:
    """By number where all have one, so that 10 comes after 9; else as given."""
    matches = [_NUMBERED.fullmatch(path.name) for path in paths]
    if any(match is None for match in matches):
        return list(paths)
    return [path for _, path in sorted(zip([int(match["number"]) for match in matches], paths, strict=True))]


def _complete(parts: list[Path]) -> list[Path]:
    matches = [_NUMBERED.fullmatch(part.name) for part in parts]
    if any(match is None for match in matches):
        return parts
    numbers = [int(match["number"]) for match in matches]
    expected = list(range(min(numbers[0], 1), numbers[-1] + 1))
    absent = sorted(set(expected) - set(numbers))
    if absent or len(set(numbers)) != len(numbers):
        fault = f"part {absent[0]} is missing" if absent else "a part is given twice"
        raise ConversionError(f"{parts[0]}: {fault}; found are {', '.join(part.name for part in parts)}.")
    return parts


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


__all__ = ["one_file", "parts_of", "sha256_of_parts"]
