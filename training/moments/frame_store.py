"""Frames of recordings, embedded once and kept: what a moment head is trained on."""

import logging
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tqdm.auto import tqdm

from ...encoders import AudioTextEncoder
from ...encoders.recordings.frame_grid import FrameGrid
from ...encoders.recordings.head_frames import check_head_frames, embed_head_frames
from ...files.content_digests import ContentDigests
from ...files.replacing import replace_path
from ...processing import AudioReadError
from ..recipe.reading import RecipeError

logger = logging.getLogger(__name__)

FOLDER = "moment_frames"


class FrameStore:
    """
    Frames in float16, a file a recording, found again by the recording's content and the encoder's fingerprint.

    A recording that moved or was renamed is not embedded again; one that changed is.

    Args:
        encoder: whose frames they are.
        frame_seconds: step of the frames.
        cache_dir: below which they are kept.
        digests: of files' contents.
        source: "patches", "short_windows" or "both", as of [`embed_head_frames`].

    Raises:
        EncoderError: if the encoder has no such frames.
    """

    def __init__(
        self,
        encoder: AudioTextEncoder,
        frame_seconds: float,
        cache_dir: Path,
        digests: ContentDigests,
        source: str = "patches",
    ):
        check_head_frames(encoder, source, frame_seconds)
        self.encoder, self.frame_seconds, self.digests = encoder, frame_seconds, digests
        self.fingerprint, self.source = encoder.fingerprint, source
        self.width = encoder.embedding_dim * (2 if source == "both" else 1)
        ending = "" if source == "patches" else f"_{source}"
        self.directory = cache_dir / FOLDER / f"{self.fingerprint[:16]}_{frame_seconds:g}s{ending}"

    def expected_bytes(self, seconds: float) -> int:
        """What the frames of so much sound take on disk."""
        return round(seconds / self.frame_seconds * self.width * 2)

    def embed(
        self, recordings: Mapping[str, float], *, progress: bool = False
    ) -> tuple[dict[str, Path], dict[str, str]]:
        """
        Embeds the recordings whose frames are not there yet or are damaged; says before how much room they take.

        Damaged files are reported with their number and the first one's fault.

        Args:
            recordings: seconds by path.
            progress: show a progress bar.

        Returns:
            By path the file with its frames; and by path why a recording has none.

        Raises:
            RecipeError: if the frames do not fit on the disk.
        """
        found: dict[str, Path] = {}
        bad: dict[str, str] = {}
        contents = self.digests.of_files(recordings, progress=progress)
        for path, content in contents.items():
            if content is None:
                bad[path] = f"{path}: cannot be read."
            else:
                found[path] = self.directory / content[:2] / f"{content}.safetensors"
        faults = {path: self._fault(place) for path, place in found.items()}
        waiting = [path for path, fault in faults.items() if fault is not None]
        damaged = [path for path in waiting if faults[path]]
        if damaged:
            logger.warning(
                "frames of %d recordings are damaged and made again, first %s: %s",
                len(damaged),
                found[damaged[0]],
                faults[damaged[0]],
            )
        if waiting:
            self._tell_size(sum(recordings[path] for path in waiting), len(waiting))
        for path in tqdm(waiting, desc="frames", disable=not progress, delay=2):
            if self._fault(found[path]) is None:
                continue  # the same sound under another name
            try:
                grid = embed_head_frames(
                    self.encoder, path, source=self.source, frame_seconds=self.frame_seconds
                )
            except (AudioReadError, OSError) as error:
                bad[path] = str(error)
                del found[path]
                continue
            self._write(found[path], grid)
        return found, bad

    def _tell_size(self, seconds: float, count: int) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        needed, free = self.expected_bytes(seconds), shutil.disk_usage(self.directory).free
        told = f"frames of {count} recordings ({seconds / 3600:.1f} h) take {needed / 1e6:.0f} MB"
        if needed > free:
            raise RecipeError(
                f"{self.directory}: {told}, but {free / 1e6:.0f} MB are free; set data.cache_dir to another disk, or a "
                "larger frame_seconds."
            )
        logger.warning("%s in %s", told, self.directory)

    def _write(self, place: Path, grid: FrameGrid) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f".{place.name}.{os.getpid()}")
        record = {
            "encoder": self.fingerprint,
            "frame_seconds": repr(float(grid.frame_seconds)),
            "duration": repr(float(grid.duration)),
        }
        save_file({"frames": grid.vectors.astype(np.float16)}, fresh, metadata=record)
        replace_path(fresh, place)

    def _fault(self, place: Path) -> str | None:
        """What is wrong with a file of frames: None if nothing is, an empty text if it is not there."""
        if not place.is_file():
            return ""
        try:
            with safe_open(place, "numpy") as file:
                record = file.metadata() or {}
                shape = file.get_slice("frames").get_shape()
            step, duration = float(record["frame_seconds"]), float(record["duration"])
        except (SafetensorError, OSError) as error:
            return f"cannot be read: {error}"
        except (KeyError, ValueError) as error:
            return f"its record lacks or garbles {error}"
        if record.get("encoder") != self.fingerprint:
            return "its record names another encoder"
        # The encoder's frames may reach over the recording's end by less than one.
        expected = max(1, math.ceil(duration / step - 1e-6))
        if len(shape) != 2 or shape[1] != self.width or abs(shape[0] - expected) > 1:
            return f"it has {shape} numbers, expected about [{expected}, {self.width}]"
        return None


def read_frames(place: Path) -> FrameGrid:
    """
    The frames that [`FrameStore.embed`] wrote, float32 with the precision of float16.

    Raises:
        OSError, SafetensorError: if the file is missing or damaged.
    """
    with safe_open(place, "numpy") as file:
        record = file.metadata()
        vectors = file.get_tensor("frames")
    return FrameGrid(vectors.astype(np.float32), float(record["frame_seconds"]), float(record["duration"]))


__all__ = ["FrameStore", "read_frames"]
