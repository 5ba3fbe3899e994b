"""Estimates the disk space of the frames of folders before anything is embedded."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...files.stored_paths import path_as_stored
from ...processing import supported_audio_extensions
from ..store.index_store import Store
from ..store.kept_frames import kept_frames
from .survey import survey

HOP_SECONDS = 1.0  # of kept frames; not imported, since that would load the encoders


@dataclass(frozen=True)
class FrameSize:
    """
    Attributes:
        kind: "float16" or "int8".
        width: of a frame's vector.
        bytes_an_hour: of disk.
        hours: hours of sound whose headers state their length.
        files: sounds in the index and the folders.
        unknown: number of sounds whose headers do not.
    """

    kind: str
    width: int
    bytes_an_hour: float
    hours: float
    files: int
    unknown: int

    def line(self) -> str:
        """One line for display."""
        told = (
            f"frames as {self.kind}: a vector of {self.width} numbers a second, {self.bytes_an_hour / 1e6:.1f} MB an "
            f"hour of sound; about {self.bytes_an_hour * self.hours / 1e6:,.1f} MB for {self.hours:,.2f} h in "
            f"{self.files - self.unknown:,} files"
        )
        return told + (
            f", and {self.unknown:,} file{'s' * (self.unknown != 1)} of unknown length"
            if self.unknown
            else ""
        )


def expected_frame_size(store: Store, roots: Sequence[str], *, prune: bool = False) -> FrameSize | None:
    """
    Estimates the disk space of frames for the sounds of an index and below folders, from its table and files' headers.

    Args:
        store: of the index.
        roots: folders or files.
        prune: as of [`survey`].

    Returns:
        The size, or None if the index keeps no frames.

    Raises:
        FileNotFoundError, SearchError: as of [`survey`].
    """
    import soundfile

    frames = kept_frames(store.folder, store.record)
    if frames is None:
        return None
    found = survey([path_as_stored(root) for root in roots], supported_audio_extensions(), {}, prune=prune)
    table = store.file_rows(["path", "duration"])
    known = dict(zip(table.column("path").to_pylist(), table.column("duration").to_pylist(), strict=True))
    fresh = [file for file in found.files if file.path not in known]
    seconds, unknown = float(sum(known.values())), 0
    for file in fresh:
        try:
            seconds += soundfile.info(file.path).duration
        except (OSError, RuntimeError):
            unknown += 1
    return FrameSize(
        frames.kind,
        frames.width,
        frames.bytes_an_hour(min(HOP_SECONDS, store.record["window_seconds"])),
        seconds / 3600,
        len(known) + len(fresh),
        unknown,
    )


__all__ = ["FrameSize", "expected_frame_size"]
