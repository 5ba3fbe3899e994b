"""Checks a dataset of moments: invalid queries, and missing, unreadable or too short recordings."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.auto import tqdm

from ...processing.audio_reading import AudioReadError
from ...processing.audio_streaming import measure_sound
from .moment_queries import ROUNDING_SECONDS, MomentQuery, read_moment_queries
from .recording_files import find_recording_files


@dataclass(frozen=True)
class MomentSplitCheck:
    """
    Result of checking one split.

    Attributes:
        split: its name.
        file: of its queries.
        queries, recordings, moments: how many there are that can be used.
        faults: queries that cannot be used, with file, line and reason.
        remarks: on moments that can be used all the same.
        missing: ``vid`` of recordings without a sound file.
        twice: recordings with several sound files.
        undecodable: (``vid``, reason).
        other_length: (``vid``, what the file and the queries say) where both differ by more than a second.
        seconds: of the recordings that were decoded; None if none was.
    """

    split: str
    file: str
    queries: int
    recordings: int
    moments: int
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    undecodable: list[tuple[str, str]] = field(default_factory=list)
    other_length: list[tuple[str, str]] = field(default_factory=list)
    seconds: float | None = None


@dataclass(frozen=True)
class MomentCheck:
    """
    Result of checking a dataset of moments.

    Attributes:
        splits: one entry a split.
        shared: recordings that occur in more than one split: (``vid``, the splits).
        unlisted: sound files that no query is about.
    """

    splits: list[MomentSplitCheck]
    shared: list[tuple[str, list[str]]] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every query is valid and every recording exists once, decodes and has its length."""
        return not self.shared and not any(
            one.faults or one.missing or one.twice or one.undecodable or one.other_length
            for one in self.splits
        )


def check_moments(
    splits: Mapping[str, Path],
    directory: str | os.PathLike[str],
    *,
    decode: bool = True,
    num_workers: int = 2,
    progress: bool = True,
) -> MomentCheck:
    """
    Checks queries and recordings of a dataset.

    Args:
        splits: by name the file of queries; see [`moment_sources.moment_splits`].
        directory: below which the recordings are.
        decode: decode every recording to its end, which takes long.
        num_workers: threads that decode.
        progress: show progress bars.

    Raises:
        MomentFileError: for a file that cannot be read at all.
    """
    read = {split: _queries(path) for split, path in splits.items()}
    wanted = {query.vid for queries, _, _ in read.values() for query in queries}
    files = find_recording_files(Path(directory), wanted)
    checks = []
    for split, (queries, faults, remarks) in read.items():
        durations = {query.vid: query.duration for query in queries}
        there = {vid: files.found[vid][0] for vid in durations if vid in files.found}
        undecodable, other, seconds = [], [], 0.0
        if decode:
            for vid, length, fault in _measured(there, split, num_workers, progress):
                seconds += length
                if fault:
                    undecodable.append((vid, fault))
                elif abs(length - durations[vid]) > ROUNDING_SECONDS + 1e-6:
                    other.append((vid, f"lasts {length:.3f} s, but its queries give {durations[vid]:g} s"))
        checks.append(
            MomentSplitCheck(
                split,
                str(splits[split]),
                len(queries),
                len(durations),
                sum(len(query.moments) for query in queries),
                faults,
                remarks,
                [vid for vid in durations if vid not in there],
                [vid for vid in there if len(files.found[vid]) > 1],
                undecodable,
                other,
                seconds if decode else None,
            )
        )
    owners: dict[str, list[str]] = defaultdict(list)
    for split, (queries, _, _) in read.items():
        for vid in dict.fromkeys(query.vid for query in queries):
            owners[vid].append(split)
    shared = [(vid, names) for vid, names in owners.items() if len(names) > 1]
    return MomentCheck(checks, shared, [str(path) for path in files.others])


def _queries(path: Path) -> tuple[Sequence[MomentQuery], list[str], list[str]]:
    faults: list[str] = []
    read = read_moment_queries(path, faults=faults)
    return read.queries, faults, list(read.remarks)


def _measured(there: Mapping[str, Path], split: str, num_workers: int, progress: bool):
    def measure(path: Path) -> tuple[float, str]:
        try:
            return measure_sound(path).seconds, ""
        except (AudioReadError, OSError, MemoryError) as error:
            return 0.0, str(error).removeprefix(f"{path}: ") or type(error).__name__

    with ThreadPoolExecutor(max(num_workers, 1)) as pool:
        bar = tqdm(
            pool.map(measure, there.values()),
            total=len(there),
            desc=f"checking {split}",
            unit="recording",
            disable=not progress,
        )
        for vid, (length, fault) in zip(there, bar, strict=True):
            yield vid, length, fault


def format_moment_check(check: MomentCheck, *, shown: int = 5) -> list[str]:
    """
    A report as lines of text.

    Args:
        check: what was found.
        shown: names a fault; the rest is counted.
    """
    lines = []
    for one in check.splits:
        hours = "" if one.seconds is None else f", {one.seconds / 3600:.2f} h of audio"
        there = one.recordings - len(one.missing)
        lines.append(
            f"{one.split}: {one.queries:,} queries with {one.moments:,} moments, {there:,} of {one.recordings:,} "
            f"recordings{hours}"
        )
        lines.append(f"  queries: {one.file}")
        for what, entries in (
            ("queries that cannot be used", one.faults),
            ("missing", one.missing),
            ("recordings with several files", one.twice),
            ("unreadable", [f"{vid}: {reason}" for vid, reason in one.undecodable]),
            ("of another length", [f"{vid}: {reason}" for vid, reason in one.other_length]),
            ("notes", one.remarks),
        ):
            lines += _listed(what, entries, shown)
    shared = [f"{vid}: {', '.join(names)}" for vid, names in check.shared]
    lines += _listed("recordings in more than one split", shared, shown)
    return lines + _listed("audio files without queries", check.unlisted, shown)


def _listed(what: str, entries: Sequence[str], shown: int) -> list[str]:
    if not entries:
        return []
    lines = [f"  {what}: {len(entries):,}", *(f"    {entry}" for entry in entries[:shown])]
    return lines + ([f"    and {len(entries) - shown:,} more"] if len(entries) > shown else [])


__all__ = ["MomentCheck", "MomentSplitCheck", "check_moments", "format_moment_check"]
