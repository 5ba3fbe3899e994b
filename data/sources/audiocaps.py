"""AudioCaps: the publishers' CSV files and a folder of ten-second clips, named as common downloaders name them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset

from ..schema import CaptionedClip, DataError
from .clip_listing import ClipListing, Missing, audio_files
from .csv_files import read_csv

SOURCE = "audiocaps"
# The project's split names and the publishers'.
SPLITS = {"train": "train", "validation": "val", "test": "test"}
CSV_FOLDERS = ("", "dataset", "dataset2.0", "csv_files", "csv_files_v1", "csv_files_v2", "csv")
# {} is the publishers' name of the split, or the project's.
AUDIO_FOLDERS = (
    *("{}", "audio/{}", "audios/{}", "wav/{}", "waveforms/{}", "audio_32000Hz/{}"),
    *("audio", "wav", "waveforms"),
)
COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
CLIP_SECONDS = 10


@dataclass
class _Excerpt:
    """Ten seconds of a video, with all its captions."""

    youtube_id: str
    start: str
    ids: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.youtube_id}_{self.start}"

    def stems(self) -> Iterator[str]:
        """File names without extension that downloaders give the excerpt, the most specific first."""
        seconds = float(self.start)
        end = seconds + CLIP_SECONDS
        for prefix in ("", "Y"):
            video = prefix + self.youtube_id
            yield f"{video}_{self.start}"
            yield f"{video}_{_number(seconds)}"
            yield f"{video}_{_number(seconds)}_{_number(end)}"
            yield f"{video}_{seconds:.3f}_{end:.3f}"
            yield f"{video}_{seconds:.1f}_{end:.1f}"
            yield f"{video}_{round(seconds * 1000)}_{round(end * 1000)}"
            yield f"{video}_{round(seconds):06d}"
            yield video
        yield from self.ids


def is_audiocaps(folder: str | os.PathLike[str]) -> bool:
    """Whether a directory contains one of AudioCaps' CSV files."""
    return bool(list_audiocaps_splits(folder))


def list_audiocaps_splits(folder: str | os.PathLike[str]) -> list[str]:
    """The splits (``train``, ``validation``, ``test``) whose CSV file exists."""
    return [split for split in SPLITS if _find_csv(Path(folder), split) is not None]


def load_audiocaps(folder: str | os.PathLike[str], *, split: str, missing: Missing = "error") -> Dataset:
    """
    Reads one split of AudioCaps (Kim, Kim, Lee and Kim, NAACL 2019); no sound is decoded.

    See [`list_audiocaps_clips`] for the layout. Training clips have one caption in the first edition; validation
    and test clips have five.

    Args:
        folder: the dataset's directory.
        split: ``train``, ``validation`` or ``test``.
        missing: ``"error"`` stops at clips that are named but not there, ``"skip"`` omits them with a warning:
            many of the videos no longer exist.

    Returns:
        The project's table with a column ``youtube_id``. A row's id is
        ``audiocaps/<split>/<YouTube id>_<start time>#<number of the caption from 0>``.

    Raises:
        DataError: as [`list_audiocaps_clips`], or if clips are missing.
    """
    return list_audiocaps_clips(folder, split=split).table(missing)


def list_audiocaps_clips(folder: str | os.PathLike[str], *, split: str) -> ClipListing:
    """
    The clips that AudioCaps' CSV file lists for one split, and which of them exist.

    ``train.csv``, ``val.csv`` and ``test.csv`` are in the directory or in ``dataset``, ``dataset2.0``,
    ``csv_files``, ``csv_files_v1`` or ``csv`` below it. The clips are in a folder of the split's name, in the
    directory itself or below ``audio``, ``audios``, ``wav``, ``waveforms`` or ``audio_32000Hz``; or all in one of
    these. A clip of the video ``ID`` from second 30 may be called ``ID_30``, ``ID_30_40``, ``ID_30.000_40.000``,
    ``ID_30000_40000``, ``ID_000030``, ``ID``, each also with a ``Y`` before it, or by its ``audiocap_id``; with any
    extension of a format that can be decoded. Each file must contain only the ten seconds, not the whole video.

    Raises:
        DataError: if there is no such split, no folder with audio files, or the CSV file is invalid.
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise DataError(f"AudioCaps has no split {split!r}; the splits are {list(SPLITS)}.")
    path = _find_csv(folder, split)
    if path is None:
        places = ", ".join(str(folder / place) for place in CSV_FOLDERS)
        raise DataError(f"{folder}: {SPLITS[split]}.csv of AudioCaps not found; searched in {places}.")
    places, files = _find_audio(folder, split)
    clips, absent, used = [], [], set()
    for excerpt in _read_excerpts(path):
        stem = next((stem for stem in excerpt.stems() if stem in files), None)
        if stem is None:
            absent.append(excerpt.name)
            continue
        used.add(stem)
        clips.append(
            CaptionedClip(
                source=SOURCE,
                split=split,
                name=excerpt.name,
                path=files[stem][0],
                captions=excerpt.captions,
                extra={"freesound_id": None, "youtube_id": excerpt.youtube_id},
            )
        )
    unlisted = [path for stem, paths in files.items() if stem not in used for path in paths]
    return ClipListing(
        title=f"AudioCaps, split {split!r}",
        metadata=[path],
        clips=clips,
        missing=absent,
        places=places,
        unlisted=sorted(unlisted),
    )


def _find_csv(folder: Path, split: str) -> Path | None:
    for place in CSV_FOLDERS:
        path = folder / place / f"{SPLITS[split]}.csv"
        # Other datasets have a train.csv too.
        if path.is_file() and _names_excerpts(path):
            return path
    return None


def _names_excerpts(path: Path) -> bool:
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        header = file.readline()
    return "youtube_id" in header and "start_time" in header


def _find_audio(folder: Path, split: str) -> tuple[list[Path], dict[str, list[Path]]]:
    names = dict.fromkeys((SPLITS[split], split))
    places = dict.fromkeys(folder / place.replace("{}", name) for place in AUDIO_FOLDERS for name in names)
    for place in places:
        files = audio_files([place])
        if files:
            return [place], files
    raise DataError(
        f"{folder}: no folder with audio files of split {split!r}; searched in {', '.join(map(str, places))}."
    )


def _read_excerpts(path: Path) -> Sequence[_Excerpt]:
    excerpts: dict[tuple[str, str], _Excerpt] = {}
    seen: dict[str, int] = {}
    for line, record in read_csv(path, COLUMNS):
        number, video, start = (record[name] for name in COLUMNS[:3])
        if number in seen:
            raise DataError(
                f"{path}, line {line}: duplicate audiocap_id {number!r}; it is also in line {seen[number]}."
            )
        seen[number] = line
        try:
            seconds = float(start)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < 1e6:
            raise DataError(f"{path}, line {line}: start_time is {start!r}, but must be seconds, 0 or more.")
        excerpt = excerpts.setdefault((video, start), _Excerpt(video, start))
        excerpt.ids.append(number)
        excerpt.captions.append(record["caption"])
    if not excerpts:
        raise DataError(f"{path}: the file has no rows.")
    return list(excerpts.values())


def _number(seconds: float) -> str:
    return f"{seconds:g}" if seconds < 1e5 else str(round(seconds))


__all__ = ["is_audiocaps", "list_audiocaps_clips", "list_audiocaps_splits", "load_audiocaps"]
