"""Training rows of a moment head, and how they make a batch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from ...encoders.recordings.frame_grid import FrameGrid
from ...evaluation.moments.moment_queries import MomentQuery
from .frame_store import read_frames
from .moment_losses import frame_targets

# Of a moment that a crop cuts, at least so much must be left to count as one.
LEAST_SECONDS_LEFT = 0.5
# Frames of recordings that stay in memory, in bytes; the others are read from disk each time.
MEMORY_BYTES = 2_000_000_000


class RecordingFrameFiles:
    """
    Frames of recordings, kept in memory as far as they fit.

    Args:
        places: by recording the file of its frames.
        memory_bytes: bound of what stays in memory.
    """

    def __init__(self, places: Mapping[str, Path], memory_bytes: int = MEMORY_BYTES):
        self.places = dict(places)
        self._left = memory_bytes
        self._kept: dict[str, FrameGrid] = {}

    def __getitem__(self, recording: str) -> FrameGrid:
        if recording in self._kept:
            return self._kept[recording]
        grid = read_frames(self.places[recording])
        if grid.vectors.nbytes <= self._left:
            self._left -= grid.vectors.nbytes
            self._kept[recording] = grid
        return grid


class MomentRows(TorchDataset):
    """
    Pairs of a recording and a query, a random part of the recording in every epoch.

    The part is a function of seed, epoch and row, so a resumed training sees what it would have seen.

    Args:
        queries: with their true moments.
        recordings: by ``vid`` the key of its frames.
        frames: of the recordings.
        questions: unit vectors by sentence.
        crop_frames: frames of a part; shorter recordings are taken whole.
        seed: of the parts.
    """

    def __init__(
        self,
        queries: Sequence[MomentQuery],
        recordings: Mapping[str, str],
        frames: RecordingFrameFiles,
        questions: Mapping[str, np.ndarray],
        *,
        crop_frames: int,
        seed: int,
    ):
        self.queries, self.recordings, self.frames, self.questions = queries, recordings, frames, questions
        self.crop_frames, self.seed, self.epoch = crop_frames, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that parts are drawn for."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.queries)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """``frames``, ``question``, ``inside``, ``true_spans`` and ``moments`` of one row, as arrays."""
        query = self.queries[row]
        grid = self.frames[self.recordings[query.vid]]
        step, count = grid.frame_seconds, len(grid.vectors)
        first = 0
        if count > self.crop_frames:
            generator = np.random.default_rng([self.seed, self.epoch, row])
            start, end = query.moments[int(generator.integers(len(query.moments)))]
            middle = min(count - 1, int((start + end) / 2 / step))
            drawn = int(generator.integers(middle - self.crop_frames + 1, middle + 1))
            first = min(max(drawn, 0), count - self.crop_frames)
        part = grid.vectors[first : first + self.crop_frames]
        moments = moments_in_part(query.moments, first * step, (first + len(part)) * step)
        inside, spans = frame_targets(moments, len(part), step)
        return {
            "frames": part,
            "question": self.questions[query.query],
            "inside": inside,
            "true_spans": spans,
            "moments": np.array(moments, dtype=np.float32).reshape(-1, 2),
        }


def moments_in_part(
    moments: Sequence[tuple[float, float]], start: float, end: float
) -> list[tuple[float, float]]:
    """
    Moments within a part of a recording, in seconds from its start.

    One that the part cuts is as long as what is left of it, and removed below half a second, or below all of it
    for shorter ones.

    Args:
        moments: of the recording, seconds.
        start, end: of the part, seconds.
    """
    kept = []
    for first, last in moments:
        begin, stop = max(first, start), min(last, end)
        if stop - begin >= min(LEAST_SECONDS_LEFT, last - first) - 1e-9 and stop > begin:
            kept.append((begin - start, stop - start))
    return kept


def collate_moments(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Pads rows to one batch.

    Returns:
        ``frames`` ``(pairs, frames, width)``, ``questions`` ``(pairs, width)``, ``frame_mask``, ``inside`` bool
        ``(pairs, frames)``, ``true_spans`` ``(pairs, frames, 2)``, ``moments``: a list of ``(moments, 2)``.
    """
    longest = max(len(row["frames"]) for row in rows)
    batch: dict[str, Any] = {
        "questions": torch.from_numpy(np.stack([row["question"] for row in rows])),
        "frame_mask": torch.from_numpy(_padded([np.ones(len(row["frames"]), bool) for row in rows], longest)),
        "moments": [torch.from_numpy(row["moments"]) for row in rows],
    }
    for name in ("frames", "inside", "true_spans"):
        batch[name] = torch.from_numpy(_padded([row[name] for row in rows], longest))
    return batch


def _padded(arrays: Sequence[np.ndarray], length: int) -> np.ndarray:
    whole = np.zeros((len(arrays), length, *arrays[0].shape[1:]), dtype=arrays[0].dtype)
    for row, array in zip(whole, arrays, strict=True):
        row[: len(array)] = array
    return whole


__all__ = ["MomentRows", "RecordingFrameFiles", "collate_moments", "moments_in_part"]
