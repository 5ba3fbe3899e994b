"""Vectors of whole clips from their consecutive windows, in memory that does not grow with their length."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..files.reading_ahead import read_ahead
from ..processing import AudioReadError, to_waveform
from ..processing.audio_streaming import regroup
from .interface import AudioTextEncoder

# Of each clip that is decoded before its turn, so that memory does not grow with lengths.
_WINDOWS_AHEAD = 4


def embed_clips(
    encoder: AudioTextEncoder,
    clips: Sequence[Any],
    *,
    batch_size: int = 16,
    progress: bool = False,
    description: str = "sounds",
    skip_unreadable: bool = False,
    num_workers: int = 0,
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """
    Unit vectors of clips: for each clip, the projected mean of its consecutive windows' pooled rows.

    Windows follow each other from the clip's start. The remainder at the end is a separate window,
    padded as the encoder pads, if it lasts ``min_tail_seconds`` or there is no other window.

    Args:
        encoder: the encoder of the windows.
        clips: paths; dicts with ``path`` and, by choice, ``offset`` and ``duration`` (seconds); dicts with
            ``array`` (mono, or channels) and ``sampling_rate``; or audio objects of the datasets library.
        batch_size: number of windows per forward pass, of one clip or several.
        progress: show a progress bar.
        description: label of the progress bar.
        skip_unreadable: return zeros for an unreadable clip and continue, instead of raising.
        num_workers: number of threads that decode the first windows of the next clips ahead; 0 decodes in the calling
            thread.

    Returns:
        ``(clips, embedding_dim)`` float32, and the unreadable clips as (index, reason).

    Raises:
        AudioReadError: for a clip that cannot be read, or too loud for the model's numbers, unless
            ``skip_unreadable``.
    """
    vectors = np.zeros((len(clips), encoder.embedding_dim), dtype=np.float32)
    failures: dict[int, str] = {}
    sums = _ClipSums(encoder, batch_size)

    def keep(finished: Iterable[tuple[int, np.ndarray]]) -> None:
        for index, vector in finished:
            if np.isfinite(vector).all():
                vectors[index] = vector
                continue
            reason = f"{_name_of(clips[index])}: its samples are too large: the model's numbers overflow."
            if not skip_unreadable:
                raise AudioReadError(reason)
            failures[index] = reason

    begun = read_ahead(lambda clip: _Begun(clip_windows(encoder, clip)), clips, num_workers)
    with closing(begun):
        bar = tqdm(begun, desc=description, unit="clip", total=len(clips), disable=not progress)
        for index, windows in enumerate(bar):
            try:
                for window in windows.all():
                    keep(sums.add(index, window))
            except AudioReadError as error:
                if not skip_unreadable:
                    raise
                sums.drop(index)
                failures[index] = str(error)
            else:
                keep(sums.close(index))
    keep(sums.flush())
    return vectors, sorted(failures.items())


class _Begun:
    """A clip whose first windows are decoded; a long one is decoded further as it is embedded."""

    def __init__(self, windows: Iterator[np.ndarray]):
        self._first: list[np.ndarray] = []
        self._error: AudioReadError | None = None
        self._rest = windows
        try:
            self._first.extend(islice(windows, _WINDOWS_AHEAD))
        except AudioReadError as error:
            self._error = error

    def all(self) -> Iterator[np.ndarray]:
        """The windows; raises what decoding raised where it did."""
        yield from self._first
        if self._error is not None:
            raise self._error
        yield from self._rest


def clip_windows(encoder: AudioTextEncoder, clip: Any) -> Iterator[np.ndarray]:
    """
    Samples of a clip's windows, ``(samples,)`` each; all but the last are of full length.

    Raises:
        AudioReadError: if the clip cannot be read.
    """
    given = 0
    for samples in regroup(_pieces(encoder, clip), encoder.window_samples):
        if given and len(samples) < min(encoder.min_tail_samples, encoder.window_samples):
            return
        yield encoder.mix(samples, name=_name_of(clip))
        given += 1
    if not given:
        raise AudioReadError(f"{_name_of(clip)}: contains no samples.")


def _pieces(encoder: AudioTextEncoder, clip: Any) -> Iterator[np.ndarray]:
    if isinstance(clip, str | os.PathLike):
        yield from encoder.pieces(clip)
    elif isinstance(clip, Mapping) and clip.get("array") is None and clip.get("path") is not None:
        part = {"offset": clip.get("offset") or 0.0, "duration": clip.get("duration")}
        yield from encoder.pieces(clip["path"], **part)
    else:
        yield to_waveform(clip, sampling_rate=encoder.sampling_rate, source_rate=None, downmix="active")


def _name_of(clip: Any) -> str:
    path = clip.get("path") if isinstance(clip, Mapping) else clip
    return os.fspath(path) if isinstance(path, str | os.PathLike) else "an array"


class _ClipSums:
    """Sums of clips' pooled rows, over batches of windows that may be of several clips."""

    def __init__(self, encoder: AudioTextEncoder, batch_size: int):
        self.encoder, self.batch_size = encoder, max(1, batch_size)
        self.waiting: list[tuple[int, np.ndarray]] = []
        self.sums: dict[int, tuple[np.ndarray, int]] = {}
        self.closed: list[int] = []

    def add(self, index: int, window: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Adds a window of a clip; returns (clip, vector) of the clips that are finished now."""
        self.waiting.append((index, window))
        return self.flush() if len(self.waiting) >= self.batch_size else []

    def close(self, index: int) -> list[tuple[int, np.ndarray]]:
        """Notes that a clip has no further window."""
        self.closed.append(index)
        # Nothing may be waiting any more, and then no later batch would give this clip out.
        return [] if self.waiting else self._finished()

    def drop(self, index: int) -> None:
        """Forgets a clip."""
        self.waiting = [(other, window) for other, window in self.waiting if other != index]
        self.sums.pop(index, None)

    def flush(self) -> list[tuple[int, np.ndarray]]:
        """Embeds the waiting windows; returns (clip, vector) of the clips that are finished now."""
        if self.waiting:
            waveforms = np.zeros((len(self.waiting), self.encoder.window_samples), dtype=np.float32)
            for row, (_, window) in zip(waveforms, self.waiting, strict=True):
                row[: len(window)] = window
            pooled = self.encoder.pool_windows(waveforms, [len(window) for _, window in self.waiting])
            for (index, _), row in zip(self.waiting, pooled.astype(np.float64), strict=True):
                total, count = self.sums.get(index, (0.0, 0))
                self.sums[index] = (total + row, count + 1)
            self.waiting.clear()
        return self._finished()

    def _finished(self) -> list[tuple[int, np.ndarray]]:
        done, self.closed = self.closed, []
        if not done:
            return []
        sums = [self.sums.pop(index) for index in done]
        means = np.stack([total / count for total, count in sums]).astype(np.float32)
        return list(zip(done, self.encoder.project_windows(means), strict=True))


__all__ = ["clip_windows", "embed_clips"]
