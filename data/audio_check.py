"""Decoding the sounds of a table once, before training: bad files are skipped, counted and reported."""

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from itertools import tee
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from tqdm.auto import tqdm

from ..files.content_digests import ContentDigests
from ..files.reading_ahead import read_ahead
from ..files.unread_files import fault_lines, remark_lines
from ..processing.audio_reading import SILENCE_PEAK, AudioReadError, resample
from ..processing.audio_streaming import measure_sound
from ..processing.file_remarks import FileRemarks
from .columns import arrow_column, kept_rows, values_of
from .schema import DataError, unique_clips

logger = logging.getLogger(__name__)

# Few enough that all of their bytes are still in the system's cache.
_HASHED_AT_ONCE = 64


@dataclass(frozen=True)
class AudioCheckReport:
    """The result of a check.

    Attributes:
        checked: Number of distinct clips decoded.
        clips: Number of distinct clips in the table.
        bad: (path, reason) of each skipped clip, in the table's order.
        seconds: Total length of the good clips.
        remarks: (path, remark) of good clips: several sound tracks, channels that cancel, and others.
    """

    checked: int
    clips: int
    bad: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    remarks: list[tuple[str, str]] = field(default_factory=list)

    @property
    def counts(self) -> list[str]:
        """The skipped files, and those with a remark, by reason and extension, one line per reason."""
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
    share: float = 1.0,
    seed: int = 0,
) -> tuple[Dataset, AudioCheckReport]:
    """Decode the distinct clips of a table, or a sample of them, and omit the rows of unusable clips.

    Each bad clip and each remark is logged as a warning; a summary line and counts by reason and
    ending follow. The scan always reaches the end.

    Args:
        dataset: A table of the project's schema.
        max_bad_share: Share of the decoded clips, 0 to 1, that may be bad.
        sampling_rate: If given, in Hz, it must be a rate that clips can be resampled to, as training will do.
        num_workers: Threads that decode; 0 decodes in the calling thread.
        digests: Hashes each file while it is still in the file cache, and stores the digest.
        progress: Whether to show a progress bar.
        allow_silent: Whether silent clips count as good.
        share: Share of the clips to decode, above 0 and up to 1; at least one. The others are not checked.
        seed: Seed of the sample.

    Returns:
        The table without the rows of bad clips (the same object if no clip is bad), and the report.

    Raises:
        DataError: More than `max_bad_share` of the decoded clips, or all of them, are bad: the message lists each
            one of them on its own line. Or `max_bad_share`, `num_workers` or `share` is out of range.
        ImportError: The package that decodes audio is not installed.
    """
    if not 0 <= max_bad_share <= 1:
        raise DataError(f"max_bad_share is {max_bad_share!r}, but must be from 0 to 1")
    if num_workers < 0:
        raise DataError(f"num_workers is {num_workers!r}, but must be 0 or more")
    if not 0 < share <= 1:
        raise DataError(f"share is {share!r}, but must be above 0 and at most 1")
    all_clips = unique_clips(dataset.select_columns(["clip_id", "audio"]))
    clips = kept_rows(all_clips, _sampled(len(all_clips), share, seed))
    clip_ids, sounds = (values_of(arrow_column(clips, name)) for name in ("clip_id", "audio"))
    paired, given = tee(sounds)

    def examine(audio: dict) -> tuple[float, str | None]:
        return _examine(audio, sampling_rate, allow_silent)

    bad: dict[str, tuple[str, str]] = {}
    total = 0.0
    unhashed: list[str] = []
    with FileRemarks() as collected:
        results = read_ahead(examine, given, num_workers, ahead=4 * num_workers)
        bar = tqdm(results, total=len(clips), desc="checking audio", unit="clip", disable=not progress)
        for clip_id, audio, (seconds, fault) in zip(clip_ids, paired, bar, strict=True):
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
    report = AudioCheckReport(
        checked=len(clips), clips=len(all_clips), bad=list(bad.values()), seconds=total, remarks=remarks
    )
    is_sample = report.checked < report.clips
    what = (
        f"checked {report.checked} of {report.clips} clips"
        if is_sample
        else f"{report.checked} clips checked"
    )
    summary = f"{what}, {len(bad)} skipped, {total / 60:.1f} min of audio remain"
    level = logging.WARNING if bad or remarks or is_sample else logging.INFO
    for line in (summary, *report.counts):
        logger.log(level, "%s", line)
    if bad and (len(bad) > max_bad_share * len(clips) or len(bad) == len(clips)):
        listing = "\n".join(f"  {path}: {fault}" for path, fault in report.bad)
        raise DataError(
            f"{len(bad)} of {len(clips)} clips are bad; at most a share of {max_bad_share:g} is accepted, "
            f"and at least one clip must be good:\n{listing}"
        )
    if not bad:
        return dataset, report
    ids = arrow_column(dataset, "clip_id")
    is_bad = pc.is_in(ids, pa.array(list(bad), ids.type)).to_numpy()
    return kept_rows(dataset, ~is_bad), report


def _sampled(clips: int, share: float, seed: int) -> np.ndarray:
    """Bool ``(clips,)``: which ones are decoded."""
    count = min(clips, max(1, round(share * clips)))
    is_chosen = np.zeros(clips, dtype=bool)
    is_chosen[np.random.default_rng(seed).choice(clips, count, replace=False)] = True
    return is_chosen


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
