"""The training rows as a torch dataset; its randomness depends on seed, epoch and row only."""

import json
import logging
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from torch.utils.data import Dataset as TorchDataset

from ...data.columns import arrow_column, numbered
from ...data.mixing import WEIGHT_COLUMN, EpochRows
from ...data.schema import DataError, unique_clips
from ...data.waveform_cache import WaveformCache
from ...encoders.auricle_embedding import distinct_in_order
from ...processing import AudioReadError, AuricleFeatureExtractor, audio_seconds
from ..recipe.reading import RecipeError
from ..recipe.schema import DataSection
from ..teachers.aligned_teachers import AlignedTeachers
from .caption_variants import CaptionVariants
from .clip_events import ClipEvent

logger = logging.getLogger(__name__)

# Apart from the generator of the sound, so that a caption's edit does not change its clip's crop.
_CAPTION_STREAM = 1


class TrainingClips(TorchDataset):
    """
    Rows of a table; audio is cropped and augmented differently in every epoch.

    The generator of a row is keyed on (seed, epoch, row), so the order in which rows are asked for, the number
    of worker processes and a resume in mid-epoch change nothing.

    Args:
        table: rows of the project's schema.
        feature_extractor: provides rate, segment length and mel range.
        section: crop, gain, roll and jitter; see [`DataSection`].
        seed: the run's seed.
        waveforms: decoded clips in the order of ``unique_clips(table)``; None reads the files.
        pooled_text: ``(distinct captions, width)`` vectors of a frozen text tower, in the order of the
            captions' first occurrence; None leaves captions to the collator.
        unreadable_log: file that gets a line for each clip that can no longer be read; None only warns.
        teachers: vectors of the teachers by row of the table; they belong to the original captions, also if
            the editor changes them.
        cluster_of_row: int64 ``(rows,)``, each caption's cluster, at least 0.
        caption_variants: rewords captions in every epoch; None leaves them unchanged.
        events: events of each clip, in the order of ``unique_clips(table)``; None without the frame-phrase loss.

    Raises:
        RecipeError: if the table has no column ``positive_column``, or captions are edited while their pooled
            vectors are used.
        ValueError: if waveforms, teachers or clusters do not match the table's clips and rows.
    """

    def __init__(
        self,
        table: Dataset,
        feature_extractor: AuricleFeatureExtractor,
        section: DataSection,
        *,
        seed: int,
        waveforms: WaveformCache | None = None,
        pooled_text: np.ndarray | None = None,
        unreadable_log: Path | None = None,
        teachers: AlignedTeachers | None = None,
        cluster_of_row: np.ndarray | None = None,
        caption_variants: CaptionVariants | None = None,
        events: Sequence[tuple[ClipEvent, ...]] | None = None,
    ):
        if section.positive_column not in table.column_names:
            raise RecipeError(
                f"data.positive_column={section.positive_column!r} is not a column of the data; "
                f"there are {table.column_names}."
            )
        if pooled_text is not None and caption_variants is not None:
            raise RecipeError(
                "captions cannot be edited where a frozen text tower's vectors are kept: set "
                "training.cache_frozen_text to false, or switch augmentation off."
            )
        clips = unique_clips(table)
        weighs = WEIGHT_COLUMN in table.column_names
        weights = arrow_column(table, WEIGHT_COLUMN).to_numpy() if weighs else None
        self.epoch_rows = EpochRows(arrow_column(table, "source"), weights, seed)
        self.row_of_place = self.epoch_rows.of_epoch(0)
        # Columns of Arrow tables, read row by row: lists of Python objects would grow with the data, and once
        # more in every worker process that touches them.
        self.audio: Sequence[dict[str, Any]] = clips["audio"]
        self.captions: Sequence[str] = table["caption"]
        self.clip_of_row = numbered(arrow_column(table, "clip_id"))
        self.group_of_row = numbered(arrow_column(table, section.positive_column))
        self.caption_of_row = numbered(arrow_column(table, "caption"))
        self.feature_extractor = feature_extractor
        self.sampling_rate = feature_extractor.sampling_rate
        self.mel_range = (feature_extractor.fmin, feature_extractor.fmax)
        self.section = section
        self.seed = seed
        self.waveforms = waveforms
        self.pooled_text = pooled_text
        self.unreadable_log = unreadable_log
        self.teachers = teachers
        self.cluster_of_row = cluster_of_row
        self.caption_variants = caption_variants
        self.events = events
        self.unreadable: dict[int, str] = {}
        self.epoch = 0
        if waveforms is not None and len(waveforms) != len(self.audio):
            raise ValueError(f"the cache has {len(waveforms)} clips, the table has {len(self.audio)}.")
        if teachers is not None and len(teachers) != len(table):
            raise ValueError(
                f"the teachers are aligned with {len(teachers)} rows, the table has {len(table)}."
            )
        if cluster_of_row is not None:
            _check_clusters(cluster_of_row, len(table))

    def set_epoch(self, epoch: int) -> None:
        """Call this at the start of each epoch, before the loader's worker processes start."""
        self.epoch = epoch
        self.row_of_place = self.epoch_rows.of_epoch(epoch)

    def __len__(self) -> int:
        return len(self.epoch_rows)

    def __getitem__(self, place: int) -> dict[str, Any]:
        """
        One pair; ``place`` counts the epoch's rows, which are the table's unless datasets have weights.

        Returns:
            ``waveform`` float32 ``(samples,)``, or ``(samples, channels)`` where the feature extractor mixes
            channels segment by segment; ``mel_range`` (Hz, Hz) or None; ``caption``; ``pooled_text`` or
            None; ``group``, the number that positives share; ``teacher_audio`` and ``teacher_text``, float32
            ``(teachers' width,)`` or None; ``teacher_answering``, the same shape with cross-fitting, else None;
            ``cluster``, the caption's, or None; ``events``, the clip's, or None.

        If the row's file has become unreadable, the next readable row is returned instead: one
        bad file does not stop a long run.

        Raises:
            DataError: if more clips than ``max_bad_share`` allows cannot be read; the message lists them.
        """
        generator = np.random.default_rng((self.seed, self.epoch, place))
        row, sound = self._readable_row(int(self.row_of_place[place]), generator)
        caption = self.captions[row]
        if self.caption_variants is not None:
            key = (self.seed, self.epoch, place, _CAPTION_STREAM)
            caption = self.caption_variants.choose(row, caption, np.random.default_rng(key))
        pooled = None if self.pooled_text is None else self.pooled_text[self.caption_of_row[row]]
        return {
            "waveform": self._vary(sound, generator),
            "mel_range": self._draw_mel_range(generator),
            "caption": caption,
            "pooled_text": pooled,
            "group": int(self.group_of_row[row]),
            "teacher_audio": None if self.teachers is None else self.teachers.audio_vectors(row),
            "teacher_text": None if self.teachers is None else self.teachers.caption_vectors(row),
            "teacher_answering": None if self.teachers is None else self.teachers.answering(row),
            "cluster": None if self.cluster_of_row is None else int(self.cluster_of_row[row]),
            "events": None if self.events is None else self.events[int(self.clip_of_row[row])],
        }

    def _readable_row(self, row: int, generator: np.random.Generator) -> tuple[int, np.ndarray]:
        """The first row from ``row`` on whose clip can be read, and that clip's sound, cropped."""
        while True:
            clip = int(self.clip_of_row[row])
            if clip not in self.unreadable:
                try:
                    return row, self._load(clip, generator)
                except AudioReadError as error:
                    self._note_unreadable(clip, str(error))
            row = (row + 1) % len(self.captions)

    def _note_unreadable(self, clip: int, reason: str) -> None:
        self.unreadable[clip] = reason
        logger.warning("skipped in training: %s", reason)
        if self.unreadable_log is not None:
            # A short line in one write: several worker processes append to the same file.
            self.unreadable_log.parent.mkdir(parents=True, exist_ok=True)
            with open(self.unreadable_log, "a", encoding="utf-8") as file:
                file.write(json.dumps([self.audio[clip]["path"], reason]) + "\n")
        bad, clips = len(self.unreadable), len(self.audio)
        if bad == clips or bad > self.section.max_bad_share * clips:
            listing = "\n".join(f"  {fault}" for fault in self.unreadable.values())
            raise DataError(
                f"{bad} of {clips} training clips cannot be read (accepted: a share of "
                f"{self.section.max_bad_share:g}, and one good clip):\n{listing}"
            )

    def _load(self, clip: int, generator: np.random.Generator) -> np.ndarray:
        """A clip, or where it is longer a random ``max_clip_seconds`` of it; of a file no more is decoded."""
        longest = self.section.max_clip_seconds
        if self.waveforms is not None:
            return random_crop(self.waveforms[clip], round(longest * self.sampling_rate), generator)
        path, offset, seconds = itemgetter("path", "offset", "duration")(self.audio[clip])
        whole = seconds is None
        offset = offset or 0.0
        left = audio_seconds(path) - offset
        seconds = left if seconds is None else min(seconds, left)
        if seconds > longest:
            offset += generator.random() * (seconds - longest)
            seconds = longest
        # A file whose length is asked for to the sample may end a sample early.
        duration = None if whole and seconds == left else seconds
        return self.feature_extractor.load({"path": path, "offset": offset, "duration": duration})

    def _vary(self, waveform: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        section = self.section
        if section.time_roll:
            waveform = np.roll(waveform, generator.integers(len(waveform)), axis=0)
        if section.crop_seconds is not None:
            waveform = random_crop(waveform, round(section.crop_seconds * self.sampling_rate), generator)
        if section.gain_db:
            decibels = generator.uniform(-section.gain_db, section.gain_db)
            waveform = waveform * np.float32(10 ** (decibels / 20))
        return waveform

    def _draw_mel_range(self, generator: np.random.Generator) -> tuple[float, float] | None:
        """PaSST's training-time mel range, drawn for each clip: the reference draws one a batch."""
        section = self.section
        if not (section.mel_fmin_jitter or section.mel_fmax_jitter):
            return None
        fmin, fmax = self.mel_range
        if section.mel_fmin_jitter:
            fmin += int(generator.integers(section.mel_fmin_jitter))
        if section.mel_fmax_jitter:
            fmax += section.mel_fmax_jitter // 2 - int(generator.integers(section.mel_fmax_jitter))
        return fmin, min(fmax, self.sampling_rate / 2)


def random_crop(waveform: np.ndarray, samples: int, generator: np.random.Generator) -> np.ndarray:
    """A random part of ``samples`` samples, or the whole waveform if it is not longer."""
    if len(waveform) <= samples:
        return waveform
    start = int(generator.integers(len(waveform) - samples + 1))
    return waveform[start : start + samples]


def _check_clusters(cluster_of_row: np.ndarray, rows: int) -> None:
    if cluster_of_row.shape != (rows,) or cluster_of_row.dtype.kind not in "iu":
        raise ValueError(
            f"cluster_of_row is {cluster_of_row.dtype} of shape {cluster_of_row.shape}, but must contain a whole "
            f"number for each of the table's {rows} rows."
        )
    if (cluster_of_row < 0).any():
        row = int(np.argmax(cluster_of_row < 0))
        raise ValueError(f"cluster_of_row[{row}] is {cluster_of_row[row]}; clusters are numbered from 0.")


def read_unreadable_log(path: Path) -> list[tuple[str, str]]:
    """The distinct (path, reason) pairs that [`TrainingClips`] noted; empty if there is no such file."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(file, reason) for file, reason in distinct_in_order(tuple(json.loads(line)) for line in lines)]


__all__ = ["TrainingClips", "random_crop", "read_unreadable_log"]
