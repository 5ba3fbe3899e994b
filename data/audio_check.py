"""Decoding every sound of a table once, before training: bad files are skipped, counted and reported."""

import json
import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from ..files.content_digests import ContentDigests
from ..files.unread_files import fault_lines, remark_lines
from ..processing.audio_reading import SILENCE_PEAK, AudioReadError, resample
from ..processing.audio_streaming import measure_sound
from ..processing.file_remarks import FileRemarks
from .schema import DataError, unique_clips

logger = logging.getLogger(__name__)

# Few enough that all of their bytes are still in the system's cache.
_HASHED_AT_ONCE = 64


@dataclass(frozen=True)
class AudioCheckReport:
    """What a check found.

    Attributes:
        checked: Number of distinct clips decoded.
        bad: (path, reason) of each skipped clip, in the table's order.
        seconds: Length of the good clips together.
        remarks: (path, remark) of good clips: several sound tracks, channels that cancel, and others.
    """

    checked: int
    bad: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    remarks: list[tuple[str, str]] = field(default_factory=list)

    @property
    def counts(self) -> list[str]:
        """The skipped files, and those with a remark, by reason and ending, a line a reason."""
        return [*fault_lines(self.bad), *remark_lines(self.remarks)]

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Write the report as a JSON object of its attributes, with `counts`."""
        Path(path).write_text(
            json.dumps(asdict(self) | {"counts": self.counts}, indent=2, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )


def check_audio(
    dataset: Dataset,
    *,
    max_bad_share: float = 0.05,
    sampling_rate: int | None = None,
    num_workers: int = 0,
    digests: ContentDigests | None = None,
    progress: bool = True,
    allow_silent: bool = False,
) -> tuple[Dataset, AudioCheckReport]:
    """Decode every distinct clip of a table and leave out the rows of those that are unusable.

    Each bad clip is logged as one warning, and each remark on a good one; a summary line and counts by reason and
    ending follow. The scan always reaches the end.

    Args:
        dataset: A table of the project's schema.
        max_bad_share: Share of the clips, 0 to 1, that may be bad.
        sampling_rate: If given, in Hz, it must be a rate that clips can be resampled to, as training will do.
        num_workers: Threads that decode; 0 decodes in the caller's.
        digests: Hashes each file while what was read of it is still in memory, and keeps the digest.
        progress: Whether to show a progress bar.
        allow_silent: Whether clips in which nothing sounds count as good.

    Returns:
        The table without the rows of bad clips (the same object if there are none), and the report.

    Raises:
        DataError: More than `max_bad_share` of the clips, or all of them, are bad: the message lists every
            one of them on its own line. Or `max_bad_share` or `num_workers` is out of range.
        ImportError: The package that decodes audio is not installed.
    """
    if not 0 <= max_bad_share <= 1:
        raise DataError(f"max_bad_share is {max_bad_share!r}, but must be from 0 to 1")
    if num_workers < 0:
        raise DataError(f"num_workers is {num_workers!r}, but must be 0 or more")
    clips = unique_clips(dataset.select_columns(["clip_id", "audio"]))[:]
    clip_ids, sounds = list(clips["clip_id"]), list(clips["audio"])

    def examine(audio: dict) -> tuple[float, str | None]:
        return _examine(audio, sampling_rate, allow_silent)

    bad: dict[str, tuple[str, str]] = {}
    total = 0.0
    unhashed: list[str] = []
    with ThreadPoolExecutor(max(num_workers, 1)) as pool, FileRemarks() as collected:
        # libsndfile and soxr work outside the interpreter lock, so that threads are enough.
        results: Iterable = pool.map(examine, sounds) if num_workers else map(examine, sounds)
        bar = tqdm(results, total=len(sounds), desc="checking audio", unit="clip", disable=not progress)
        for clip_id, audio, (seconds, fault) in zip(clip_ids, sounds, bar, strict=True):
            total += seconds
            unhashed.append(audio["path"])
            if digests is not None and len(unhashed) >= _HASHED_AT_ONCE:
                digests.of_files(unhashed)
                unhashed.clear()
            if fault is not None:
                bad[clip_id] = (audio["path"], fault)
                logger.warning("skipped %s: %s", audio["path"], fault)
    if digests is not None:
        digests.of_files(unhashed)
    unusable = {path for path, _ in bad.values()}
    remarks = [remark for remark in collected.found if remark[0] not in unusable]
    for path, note in remarks:
        logger.warning("note on %s: %s", path, note)
    report = AudioCheckReport(checked=len(sounds), bad=list(bad.values()), seconds=total, remarks=remarks)
    summary = f"{report.checked} clips checked, {len(bad)} skipped, {total / 60:.1f} min of audio remain"
    level = logging.WARNING if bad or remarks else logging.INFO
    for line in (summary, *report.counts):
        logger.log(level, "%s", line)
    if bad and (len(bad) > max_bad_share * len(sounds) or len(bad) == len(sounds)):
        listing = "\n".join(f"  {path}: {fault}" for path, fault in report.bad)
        raise DataError(
            f"{len(bad)} of {len(sounds)} clips are bad; at most a share of {max_bad_share:g} is accepted, "
            f"and at least one clip must be good:\n{listing}"
        )
    if not bad:
        return dataset, report
    kept = [index for index, clip_id in enumerate(dataset["clip_id"]) if clip_id not in bad]
    return dataset.select(kept), report


def _examine(audio: dict, sampling_rate: int | None, allow_silent: bool) -> tuple[float, str | None]:
    """Seconds of a good clip, or 0.0 and what is wrong with it."""
    path = audio["path"]
    try:
        sound = measure_sound(path, offset=audio["offset"], duration=audio["duration"])
        if sampling_rate is not None:
            # Whether it can be done is seen on a handful of samples.
            resample(np.zeros(16, np.float32), source_rate=sound.rate, target_rate=sampling_rate)
    except (AudioReadError, OSError, MemoryError) as error:
        return 0.0, str(error).removeprefix(f"{path}: ") or type(error).__name__
    if not allow_silent and sound.peak < SILENCE_PEAK:
        return 0.0, "the sound is silent"
    return sound.seconds, None
