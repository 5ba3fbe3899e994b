"""Decoded and resampled training clips in one memory-mapped file, so that no epoch decodes them again."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from ..files.cache_root import cache_root as cache_root
from ..files.replacing import replace_path
from ..processing.audio_reading import AudioReadError
from .schema import DataError
from .waveform_writing import SAMPLES_FILE, WaveformForm, write_waveforms

logger = logging.getLogger(__name__)

CACHE_VERSION = 3


class WaveformCache:
    """
    16-bit waveforms of clips, read by index.

    Nearly all recordings have 16 bits or fewer; the rounding of other formats is at -96 dB and affects
    training only. Evaluation and search read the files themselves.

    Args:
        directory: directory of a finished cache.

    Raises:
        DataError: if samples are missing from its file.
    """

    def __init__(self, directory: str | os.PathLike[str]):
        self.directory = Path(directory)
        index = json.loads((self.directory / "index.json").read_text())
        self.sampling_rate: int = index["sampling_rate"]
        self.offsets = np.asarray(index["offsets"], dtype=np.int64)
        self.channels: list[int] | None = index.get("channels")
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
        Clip ``index`` as float32 ``(samples,)``, or ``(samples, channels)`` where several were kept; full scale at
        -1 and 1.

        Raises:
            AudioReadError: for a clip that could not be read when the cache was made.
        """
        if index in self.unreadable:
            raise AudioReadError(self.unreadable[index])
        values = self.samples[self.offsets[index] : self.offsets[index + 1]].astype(np.float32) / 32768.0
        channels = 1 if self.channels is None else self.channels[index]
        return values if channels == 1 else values.reshape(-1, channels)

    @classmethod
    def build(
        cls,
        clips: Sequence[dict[str, Any]],
        *,
        sampling_rate: int,
        downmix: str = "mean",
        resampler: str = "soxr",
        cache_dir: str | os.PathLike[str] | None = None,
        contents: str | None = None,
        progress: bool = True,
    ) -> "WaveformCache":
        """
        Opens the cache of these clips, and writes it first if it does not exist.

        It is found by the clips' paths, sizes, times and parts and the rate: a changed file makes a new one.
        It appears under its name only when complete; a killed build is continued by the next call, see
        [`write_waveforms`]. Clips that cannot be read are noted and do not stop it. Of several processes that
        call at once, one decodes and the others wait.

        Args:
            clips: audio references with ``path``, ``offset`` and ``duration``.
            sampling_rate: in Hz.
            downmix: ``"mean"`` keeps one channel of each clip, ``"active"`` all, to be mixed segment by segment.
            resampler: resampler of the feature extractor.
            cache_dir: see [`cache_root`].
            contents: a digest of the contents of the clips' files, in their order: a cache of other contents
                under the same names, sizes and times is rebuilt. None, or a cache from before digests were recorded,
                compares no contents.
            progress: show a progress bar.

        Raises:
            DataError: if the disk has not enough room.
        """
        form = WaveformForm(sampling_rate, downmix, resampler)
        directory = cache_root(cache_dir) / f"waveforms-{_fingerprint(clips, form)}"
        if _is_finished(directory, contents):
            return cls(directory)
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{directory}.lock"):
                if not _is_finished(directory, contents):
                    _build(clips, form, directory, contents, progress)
        except OSError as error:
            raise DataError(f"cannot write the waveform cache {directory}: {error}") from error
        return cls(directory)


def _is_finished(directory: Path, contents: str | None) -> bool:
    """Whether a cache is whole and, as far as that is known, of these contents."""
    path = directory / "index.json"
    if not path.is_file():
        return False
    recorded = json.loads(path.read_text()).get("contents") if contents is not None else None
    return recorded is None or recorded == contents


def _build(
    clips: Sequence[dict[str, Any]],
    form: WaveformForm,
    directory: Path,
    contents: str | None,
    progress: bool,
) -> None:
    building = directory.with_name(f"{directory.name}.part")
    if (directory / "index.json").is_file():
        # Of other contents; what a killed build left may be too.
        shutil.rmtree(building, ignore_errors=True)
    written = write_waveforms(clips, form, building, progress)
    offsets = np.concatenate([[0], np.cumsum(np.maximum(written["lengths"], 0), dtype=np.int64)])
    index = {"sampling_rate": form.sampling_rate, "offsets": offsets.tolist()}
    index["unreadable"] = written["unreadable"]
    if contents is not None:
        index["contents"] = contents
    if max(written["channels"], default=1) > 1:
        index["channels"] = written["channels"]
    (building / "index.json").write_text(json.dumps(index), encoding="utf-8")
    # A directory without an index blocks the rename.
    shutil.rmtree(directory, ignore_errors=True)
    replace_path(building, directory)
    for reason in written["unreadable"].values():
        logger.warning("unreadable file: %s", reason)


def _fingerprint(clips: Sequence[dict[str, Any]], form: WaveformForm) -> str:
    digest = hashlib.sha256(json.dumps([CACHE_VERSION, *astuple(form)]).encode())
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
