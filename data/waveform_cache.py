"""Decoded and resampled training clips in one memory-mapped file, so that no epoch decodes them again."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from ..processing.audio_reading import AudioReadError
from .schema import DataError
from .waveform_writing import SAMPLES_FILE, write_waveforms

logger = logging.getLogger(__name__)

CACHE_VERSION = 2


def cache_root(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where generated and decoded sound is kept: the argument, ``$AURICLE_CACHE`` or ``~/.cache/auricle``."""
    return Path(cache_dir or os.environ.get("AURICLE_CACHE") or Path.home() / ".cache" / "auricle")


class WaveformCache:
    """
    16-bit waveforms of clips, read by index.

    16 bits are what nearly all recordings hold; the rounding of louder formats lies at -96 dB and serves
    training only. Evaluation and search read the files themselves.

    Args:
        directory: of a finished cache.

    Raises:
        DataError: if samples are missing from its file.
    """

    def __init__(self, directory: str | os.PathLike[str]):
        self.directory = Path(directory)
        index = json.loads((self.directory / "index.json").read_text())
        self.sampling_rate: int = index["sampling_rate"]
        self.offsets = np.asarray(index["offsets"], dtype=np.int64)
        self.unreadable = {int(place): reason for place, reason in index["unreadable"].items()}
        file = self.directory / SAMPLES_FILE
        # An empty file cannot be mapped: no clip could be read.
        empty = np.zeros(0, dtype="<i2")
        self.samples = np.memmap(file, dtype="<i2", mode="r") if file.stat().st_size else empty
        if len(self.samples) != self.offsets[-1]:
            raise DataError(
                f"{self.directory}: {len(self.samples)} samples instead of {self.offsets[-1]}; delete the cache."
            )

    def __reduce__(self):
        # A pickled memory map would carry all of its samples to every worker process.
        return type(self), (self.directory,)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """
        Clip ``index`` as float32 ``(samples,)``, full scale at -1 and 1.

        Raises:
            AudioReadError: for a clip that could not be read when the cache was made.
        """
        if index in self.unreadable:
            raise AudioReadError(self.unreadable[index])
        return self.samples[self.offsets[index] : self.offsets[index + 1]].astype(np.float32) / 32768.0

    @classmethod
    def build(
        cls,
        clips: Sequence[dict[str, Any]],
        *,
        sampling_rate: int,
        cache_dir: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ) -> "WaveformCache":
        """
        Opens the cache of these clips, decoding them first if there is none.

        It is found by the clips' paths, sizes, times and parts and the rate: a changed file makes a new one.
        It appears under its name only when complete; a killed build is continued by the next call, see
        [`write_waveforms`]. Clips that cannot be read are noted and do not stop it. Of several processes that
        call at once, one decodes and the others wait.

        Args:
            clips: audio references with ``path``, ``offset`` and ``duration``.
            sampling_rate: in Hz.
            cache_dir: see [`cache_root`].
            progress: show a progress bar.

        Raises:
            DataError: if the disk has not enough room.
        """
        directory = cache_root(cache_dir) / f"waveforms-{_fingerprint(clips, sampling_rate)}"
        if (directory / "index.json").is_file():
            return cls(directory)
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{directory}.lock"):
                if not (directory / "index.json").is_file():
                    _build(clips, sampling_rate, directory, progress)
        except OSError as error:
            raise DataError(f"cannot write the waveform cache {directory}: {error}") from error
        return cls(directory)


def _build(clips: Sequence[dict[str, Any]], sampling_rate: int, directory: Path, progress: bool) -> None:
    building = directory.with_name(f"{directory.name}.part")
    written = write_waveforms(clips, sampling_rate, building, progress)
    offsets = np.concatenate([[0], np.cumsum(np.maximum(written["lengths"], 0), dtype=np.int64)])
    index = {"sampling_rate": sampling_rate, "offsets": offsets.tolist(), "unreadable": written["unreadable"]}
    (building / "index.json").write_text(json.dumps(index))
    # One whose index is missing stands in the way.
    shutil.rmtree(directory, ignore_errors=True)
    building.rename(directory)
    for reason in written["unreadable"].values():
        logger.warning("unreadable file: %s", reason)


def _fingerprint(clips: Sequence[dict[str, Any]], sampling_rate: int) -> str:
    digest = hashlib.sha256(json.dumps([CACHE_VERSION, sampling_rate]).encode())
    for clip in clips:
        parts = [clip["path"], clip.get("offset"), clip.get("duration"), *_size_and_time(clip["path"])]
        digest.update(json.dumps(parts).encode())
    return digest.hexdigest()[:16]


def _size_and_time(path: str) -> tuple[int | None, int | None]:
    try:
        status = os.stat(path)
    except OSError:
        return None, None
    return status.st_size, status.st_mtime_ns
