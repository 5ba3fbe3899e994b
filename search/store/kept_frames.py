"""Frames of an index (optional): the vector of a short window each second, in one file for each content."""

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as arrow
from pyarrow import ipc

from ...files.replacing import remove_file, replace_path
from ..errors import StoreError
from .index_folder import IndexFolder

FRAME_KINDS = ("float16", "int8")
FOLDER, ENDING = "frames", ".arrow"
HOP_KEY = b"hop_seconds"
# int8 rows are brought to unit length again when they are read, so that only the direction counts.
LARGEST_INT8 = 127


class KeptFrames:
    """
    Frames in a folder of an index, by the digest of the sound file's content, so that moved files keep theirs.

    A file holds rows ``vector`` of float16 or int8 and nothing else; hop and kind are in its schema. int8 rows are
    scaled by their largest value, which is not stored, since unit vectors do not need it.

    Args:
        index: folder of the index, on this machine.
        kind: "float16" or "int8".
        width: width of the vectors.

    Raises:
        StoreError: if the index is in an object store.
    """

    def __init__(self, index: IndexFolder, kind: str, width: int):
        if index.path is None:
            raise StoreError(f"{index}: only an index on this machine can keep frames; omit --frames.")
        self.folder: Path = index.path / FOLDER
        self.kind, self.width = kind, width

    def bytes_an_hour(self, hop_seconds: float) -> float:
        """Disk space of one hour of sound, in bytes."""
        return 3600 / hop_seconds * self.width * np.dtype(self.kind).itemsize

    def write(self, digest: str, batches: Iterable[np.ndarray], hop_seconds: float) -> None:
        """
        Stores the frames of a sound file, batch by batch in bounded memory; all or nothing.

        Args:
            digest: digest of the file's content.
            batches: unit vectors ``(n, width)`` float32, in order.
            hop_seconds: between frames.

        Raises:
            StoreError: if they cannot be written. Errors of ``batches`` are passed on.
        """
        kind = arrow.float16() if self.kind == "float16" else arrow.int8()
        schema = arrow.schema(
            [("vector", arrow.list_(kind, self.width))], metadata={HOP_KEY: repr(hop_seconds).encode()}
        )
        target = self._path(digest)
        fresh = target.with_name(f".{target.stem}.{os.getpid()}.partial")
        try:
            self._opened(fresh)
            with arrow.OSFile(str(fresh), "wb") as sink, ipc.new_file(sink, schema) as writer:
                for rows in batches:
                    values = arrow.array(self._stored(rows).reshape(-1))
                    column = arrow.FixedSizeListArray.from_arrays(values, self.width)
                    self._written(writer, arrow.record_batch([column], schema=schema))
            replace_path(fresh, target)
        except arrow.ArrowException as error:
            raise StoreError(f"{target}: cannot be written ({error}).") from error
        finally:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)

    def read(self, digest: str) -> tuple[np.ndarray, float] | None:
        """
        Frames of a sound file: unit vectors ``(n, width)`` float32 and the seconds between them.

        None if the file is missing or damaged: frames can be computed again from the sound.
        """
        try:
            with arrow.memory_map(str(self._path(digest))) as source:
                table = ipc.open_file(source).read_all()
                column = table.column("vector").combine_chunks()
                rows = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, self.width)
                hop = float(table.schema.metadata[HOP_KEY])
                rows = rows.astype(np.float32)
        except (OSError, KeyError, TypeError, ValueError, arrow.ArrowException):
            return None
        if not len(rows) or not hop > 0 or not np.isfinite(rows).all():
            return None
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), hop

    def has(self, digest: str) -> bool:
        """Whether frames of a content are stored; their file is not read."""
        return self._path(digest).is_file()

    def damage(self, digest: str, duration: float) -> str | None:
        """
        What is wrong with the frames of a content, or None.

        Looks at the file's structure and the number of frames. The vectors themselves are not read: that would be all
        of the index's frames at every update.

        Args:
            digest: of the content; it has a file.
            duration: of its sound, seconds.
        """
        try:
            with arrow.memory_map(str(self._path(digest))) as source:
                reader = ipc.open_file(source)
                kind, hop = reader.schema.field("vector").type, float(reader.schema.metadata[HOP_KEY])
                count = sum(reader.get_batch(place).num_rows for place in range(reader.num_record_batches))
        except (OSError, KeyError, TypeError, ValueError, arrow.ArrowException) as error:
            return f"the file cannot be read: {' '.join(str(error).split()) or type(error).__name__}"
        stored = arrow.float16() if self.kind == "float16" else arrow.int8()
        if kind != arrow.list_(stored, self.width):
            return f"its rows are {kind}, not {self.width} numbers of {self.kind}"
        if not hop > 0:
            return f"its hop is {hop:g} s"
        # A recording's length is rounded in the table, so one frame more or less is right.
        expected = max(1, math.ceil(duration / hop - 1e-6))
        if abs(count - expected) > 1:
            return f"it holds {count:,} frames, and the sound has {expected:,}"
        return None

    def remove_others(self, digests: Iterable[str]) -> None:
        """Removes frames of other contents, and leftovers of a killed process."""
        kept = {self._path(digest).name for digest in digests}
        for name in self._names():
            if name not in kept:
                with suppress(OSError):
                    remove_file(self.folder / name)

    def _names(self) -> Iterator[str]:
        with suppress(FileNotFoundError):
            yield from sorted(os.listdir(self.folder))

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest[:32]}{ENDING}"

    def _opened(self, fresh: Path) -> None:
        try:
            self.folder.mkdir(exist_ok=True)
            fresh.touch()
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot be written ({error.strerror or error}).") from error

    def _written(self, writer: ipc.RecordBatchFileWriter, batch: arrow.RecordBatch) -> None:
        try:
            writer.write_batch(batch)
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot be written ({error.strerror or error}).") from error

    def _stored(self, rows: np.ndarray) -> np.ndarray:
        if self.kind == "float16":
            return rows.astype(np.float16)
        scale = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-12)
        return np.rint(rows / scale * LARGEST_INT8).astype(np.int8)


def kept_frames(index: IndexFolder, record: dict) -> KeptFrames | None:
    """The frames of an index, or None if its record says that it has none."""
    kind = record["settings"]["frames"]
    return None if kind is None else KeptFrames(index, kind, record["width"])


__all__ = ["FRAME_KINDS", "KeptFrames", "kept_frames"]
