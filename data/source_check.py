"""Checks a dataset before training: missing, unreadable, duplicate and unused files."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tqdm.auto import tqdm

from ..files.metadata_files import RowFault
from ..files.reading_report import listed_lines
from ..files.sound_walking import walk_sounds
from ..files.unread_files import Unread, fault_lines, remark_lines, unread_lines
from ..processing.audio_reading import SILENCE_PEAK, AudioReadError, supported_audio_extensions
from ..processing.audio_streaming import measure_sound
from ..processing.file_remarks import FileRemarks
from .schema import CaptionedClip
from .sources import ClipListing
from .sources.split_names import UnusedSplit, unused_splits


@dataclass(frozen=True)
class SplitCheck:
    """
    Result of checking one split.

    Attributes:
        split: its name.
        metadata: the files that name its clips.
        places: the folders in which the sounds were looked for.
        named: clips that the metadata name.
        captions: number of captions of the clips whose sound exists.
        missing: names of the clips whose sound is not there.
        undecodable: (name, reason) of clips whose sound exists but is unusable.
        duplicates: groups of clips of the split whose files have the same bytes.
        unlisted: audio files that no metadata name.
        seconds: length of the clips that can be decoded; None if nothing was decoded.
        rows: rows of the metadata that cannot be used, or whose name fits a file only loosely.
        counts: undecodable files by reason and ending, as lines.
    """

    split: str
    metadata: list[str]
    places: list[str]
    named: int
    captions: int
    missing: list[str]
    undecodable: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    seconds: float | None = None
    rows: list[RowFault] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SourceCheck:
    """
    Result of checking a dataset.

    Attributes:
        splits: one entry a split.
        shared: recordings that occur in more than one split: (id, the clips); the id is Freesound's or
            YouTube's, or ``same file`` for files of the same bytes.
        unread: files in the folders that are not sounds that can be read; see [`unread_reason`].
        skipped: (path, reason) of links without a target, pipes and folders that could not be looked at.
        remarks: (path, remark) of sounds that were decoded all the same; see `FileRemarks`.
        remark_counts: the remarks by kind and ending, as lines.
        unused: splits that training does not use.
    """

    splits: list[SplitCheck]
    shared: list[tuple[str, list[str]]]
    unread: list[Unread] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    remark_counts: list[str] = field(default_factory=list)
    unused: list[UnusedSplit] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """
        Whether all listed files exist, decode and occur once, and no split has a name that training reads otherwise.

        Other files do not matter.
        """
        return not (self.shared or any(split.meant for split in self.unused)) and not any(
            one.missing or one.undecodable or one.duplicates or not all(row.used for row in one.rows)
            for one in self.splits
        )


def check_source(
    listings: dict[str, ClipListing],
    *,
    decode: bool = True,
    num_workers: int = 2,
    progress: bool = True,
    of_folder: bool = False,
) -> SourceCheck:
    """
    Checks every clip that a dataset's metadata name.

    Args:
        listings: by split, the clips that the metadata name and the sounds that exist.
        decode: decode every sound to its end, which takes long, and report unreadable ones.
        num_workers: threads that decode.
        progress: show progress bars.
        of_folder: they are those of a captioned folder, whose splits have any names.
    """
    contents = _same_contents([clip for listing in listings.values() for clip in listing.clips], progress)
    with FileRemarks() as remarks:
        splits = [
            _check_split(split, listing, contents, decode, num_workers, progress)
            for split, listing in listings.items()
        ]
    places = {place: None for listing in listings.values() for place in listing.places}
    readable = supported_audio_extensions()
    # One folder may contain several splits, or another folder.
    walks = [walk_sounds(place, readable) for place in places]
    return SourceCheck(
        splits,
        _shared(listings, contents),
        unread=list(dict.fromkeys(file for walk in walks for file in walk.unread)),
        skipped=list(dict.fromkeys(fault for walk in walks for fault in walk.faults)),
        remarks=remarks.found,
        remark_counts=remark_lines(remarks.found),
        unused=unused_splits({split: listing.named for split, listing in listings.items()})
        if of_folder
        else [],
    )


def _check_split(
    split: str,
    listing: ClipListing,
    contents: dict[str, str],
    decode: bool,
    num_workers: int,
    progress: bool,
) -> SplitCheck:
    bad: list[tuple[str, str]] = []
    files: list[tuple[str, str]] = []
    seconds = 0.0
    if decode:
        with ThreadPoolExecutor(max(num_workers, 1)) as pool:
            results = pool.map(_examine, listing.clips)
            bar = tqdm(
                results, total=len(listing.clips), desc=f"checking {split}", unit="clip", disable=not progress
            )
            for clip, (length, fault) in zip(listing.clips, bar, strict=True):
                seconds += length
                if fault is not None:
                    bad.append((clip.name, fault))
                    files.append((str(clip.path), fault))
    groups: dict[str, list[str]] = defaultdict(list)
    for clip in listing.clips:
        if str(clip.path) in contents:
            groups[contents[str(clip.path)]].append(clip.name)
    return SplitCheck(
        split=split,
        metadata=[str(path) for path in listing.metadata],
        places=[str(path) for path in listing.places],
        named=listing.named,
        captions=sum(len(clip.captions) for clip in listing.clips),
        missing=list(listing.missing),
        undecodable=bad,
        duplicates=[names for names in groups.values() if len(names) > 1],
        unlisted=[str(path) for path in listing.unlisted],
        seconds=seconds if decode else None,
        rows=list(listing.rows),
        counts=fault_lines(files),
    )


def _examine(clip: CaptionedClip) -> tuple[float, str | None]:
    """Seconds of a good clip, or 0.0 and what is wrong with it."""
    try:
        sound = measure_sound(clip.path, offset=clip.offset, duration=clip.duration)
    except (AudioReadError, OSError, MemoryError) as error:
        return 0.0, str(error).removeprefix(f"{clip.path}: ") or type(error).__name__
    if sound.peak < SILENCE_PEAK:
        return 0.0, "the audio is silent"
    return sound.seconds, None


def _same_contents(clips: Sequence[CaptionedClip], progress: bool) -> dict[str, str]:
    """Digests of files that may equal another file: only files of equal size are read."""
    sizes: dict[int, list[str]] = defaultdict(list)
    for path in dict.fromkeys(str(clip.path) for clip in clips):
        # Of a link without a target or a pipe, decoding says what is wrong.
        if os.path.isfile(path):
            sizes[os.path.getsize(path)].append(path)
    candidates = [path for paths in sizes.values() if len(paths) > 1 for path in paths]
    bar = tqdm(candidates, desc="comparing", unit="file", disable=not progress)
    return {path: _content(path) for path in bar}


def _content(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shared(listings: dict[str, ClipListing], contents: dict[str, str]) -> list[tuple[str, list[str]]]:
    found: dict[str, dict[str, None]] = defaultdict(dict)
    splits: dict[str, set[str]] = defaultdict(set)
    for split, listing in listings.items():
        for clip in listing.clips:
            for recording in _recordings(clip, contents):
                found[recording][f"{split}/{clip.name}"] = None
                splits[recording].add(split)
    shared = {name: list(clips) for name, clips in found.items() if len(splits[name]) > 1}
    # Clips that share a recording's id are not listed a second time for their equal bytes.
    listed = {tuple(clips) for name, clips in shared.items() if not name.startswith("same file")}
    return [
        (name.partition(" #")[0], clips)
        for name, clips in shared.items()
        if not (name.startswith("same file") and tuple(clips) in listed)
    ]


def _recordings(clip: CaptionedClip, contents: dict[str, str]) -> Iterable[str]:
    for column, title in (("freesound_id", "Freesound"), ("youtube_id", "YouTube")):
        if clip.extra.get(column):
            yield f"{title} {clip.extra[column]}"
    if str(clip.path) in contents:
        yield f"same file #{contents[str(clip.path)]}"


def format_check(check: SourceCheck, *, shown: int = 5) -> list[str]:
    """
    A report as lines of text.

    Args:
        check: what was found.
        shown: names a fault; the rest is counted.
    """
    lines = []
    for one in check.splits:
        found = one.named - len(one.missing)
        hours = "" if one.seconds is None else f", {one.seconds / 3600:.2f} h of audio"
        lines.append(f"{one.split}: {found} of {one.named} clips, {one.captions} captions{hours}")
        lines.append(f"  metadata: {', '.join(one.metadata)}")
        lines.append(f"  audio folders: {', '.join(one.places)}")
        undecodable = [f"{name}: {reason}" for name, reason in one.undecodable]
        groups = [" = ".join(names) for names in one.duplicates]
        for what, entries in (
            ("missing", one.missing),
            ("unreadable", undecodable),
            ("duplicate groups", groups),
            ("audio files without metadata", one.unlisted),
        ):
            lines += _listed(what, entries, shown)
        lines += [f"  {line}" for line in one.counts]
    # A metadata file of several splits is one file.
    rows = list(dict.fromkeys(row for one in check.splits for row in one.rows))
    for what, used in (("metadata rows that are not used", False), ("names that fit only loosely", True)):
        told = [f"{row.file}, {row.text}" for row in rows if row.used is used]
        lines += _listed(what, told, shown)
    lines += _listed(
        "recordings in more than one split",
        [f"{name}: {', '.join(clips)}" for name, clips in check.shared],
        shown,
    )
    lines += _listed("splits that training does not use", [str(split) for split in check.unused], shown)
    lines += listed_lines("skipped", check.skipped, shown) + listed_lines("note on", check.remarks, shown)
    return lines + fault_lines(check.skipped) + unread_lines(check.unread) + check.remark_counts


def _listed(what: str, entries: Sequence[str], shown: int) -> list[str]:
    if not entries:
        return []
    lines = [f"  {what}: {len(entries)}", *(f"    {entry}" for entry in entries[:shown])]
    if len(entries) > shown:
        lines.append(f"    and {len(entries) - shown} more")
    return lines


__all__ = ["SourceCheck", "SplitCheck", "check_source", "format_check"]
