"""Vectors of a recording's windows and of the whole of it."""

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch

from ..modeling import AuricleModel
from ..processing import AudioReadError, AuricleProcessor
from ..processing.audio_streaming import regroup
from .decoding import decode_ahead


@dataclass(frozen=True)
class WindowVectors:
    """
    Attributes:
        starts, ends: seconds, ``(windows,)``; the last window ends where the sound does.
        vectors: unit length, ``(windows, width)`` float32.
        vector: of the whole recording, the mean over its windows, unit length, ``(width,)``.
        duration: seconds.
    """

    starts: np.ndarray
    ends: np.ndarray
    vectors: np.ndarray
    vector: np.ndarray
    duration: float


def embed_files(
    model: AuricleModel, processor: AuricleProcessor, paths: Iterable[str], *, hop_seconds: float
) -> Iterator[tuple[str, WindowVectors | Exception]]:
    """
    Embeds files one after another, and goes on behind one that cannot be read; the next ones are decoded meanwhile.

    Each file is embedded by itself: its vectors are the same bits whatever stands beside it.

    Args:
        model, processor, hop_seconds: as in [`embed_windows`].
        paths: of sound files.

    Yields:
        (path, its vectors, or the `AudioReadError` or `OSError` that says why there are none).

    Raises:
        ValueError: as `embed_windows`.
    """
    with closing(decode_ahead(paths, processor.feature_extractor.pieces)) as decoded:
        for path, pieces in decoded:
            try:
                found: WindowVectors | Exception = embed_pieces(
                    model, processor, pieces, hop_seconds=hop_seconds, name=path
                )
            except (AudioReadError, OSError) as error:
                found = error
            yield path, found


def embed_windows(
    model: AuricleModel,
    processor: AuricleProcessor,
    path: str | os.PathLike[str],
    *,
    hop_seconds: float,
    offset: float = 0.0,
    duration: float | None = None,
    batch_size: int = 16,
) -> WindowVectors:
    """
    Embeds a recording window by window, in memory that does not grow with its length.

    Args:
        model: in evaluation mode.
        processor: its own; a window is one of its segments long.
        path: of a sound file.
        hop_seconds: from one window's start to the next one's, at most a segment.
        offset: where to begin, seconds.
        duration: how much, seconds; None is all.
        batch_size: windows at a time.

    Raises:
        AudioReadError: for a file that cannot be read.
        ValueError: for a hop that is not above 0 and at most a segment.
    """
    pieces = processor.feature_extractor.pieces(path, offset=offset, duration=duration)
    return embed_pieces(
        model,
        processor,
        pieces,
        hop_seconds=hop_seconds,
        offset=offset,
        batch_size=batch_size,
        name=os.fspath(path),
    )


@torch.no_grad()
def embed_pieces(
    model: AuricleModel,
    processor: AuricleProcessor,
    pieces: Iterable[np.ndarray],
    *,
    hop_seconds: float,
    offset: float = 0.0,
    batch_size: int = 16,
    name: str | None = None,
) -> WindowVectors:
    """
    [`embed_windows`] of samples that come piece by piece.

    Args:
        pieces: as the feature extractor's `pieces` gives them; channels are mixed window by window.
        offset: where in the recording the first one begins, seconds.
        name: of the recording, for a warning that its channels cancel.

    Raises:
        AudioReadError: if there are no vectors for such samples; and what the pieces raise.
    """
    extractor = processor.feature_extractor
    rate, length = extractor.sampling_rate, extractor.segment_samples
    hop = round(hop_seconds * rate)
    if not 0 < hop <= length:
        raise ValueError(
            f"hop_seconds={hop_seconds:g} must be above 0 and at most a window, {extractor.segment_seconds:g} s."
        )
    heard = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal heard
        for piece in pieces:
            heard += len(piece)
            yield piece

    total, count, rows, starts, ends = None, 0, [], [], []
    for batch in _batches(_windows(counted(), length, hop, extractor.min_tail_samples), batch_size):
        segments = np.zeros((len(batch), length), dtype=np.float32)
        for row, (_, samples) in zip(segments, batch, strict=True):
            row[: len(samples)] = extractor.mix(samples, name=name)
        lengths = [len(samples) for _, samples in batch]
        inputs = extractor.encode(segments, lengths, [1] * len(batch), None, model.device)
        mask = inputs.get("audio_attention_mask")
        pooled = model.pool_audio(inputs["input_features"].to(model.device), mask)
        rows.append(model.project_audio(pooled).float().cpu().numpy())
        part = pooled.double().sum(dim=0, keepdim=True)
        total, count = part if total is None else total + part, count + len(pooled)
        starts += [start / rate for start, _ in batch]
        ends += [(start + len(samples)) / rate for start, samples in batch]
    whole = model.project_audio((total / count).to(pooled.dtype)).float().cpu().numpy()[0]
    vectors = np.concatenate(rows)
    if not (np.isfinite(vectors).all() and np.isfinite(whole).all()):
        raise AudioReadError("its samples are too large: the model's numbers overflow.")
    return WindowVectors(offset + np.array(starts), offset + np.array(ends), vectors, whole, heard / rate)


def _windows(
    pieces: Iterator[np.ndarray], length: int, hop: int, shortest_tail: int
) -> Iterator[tuple[int, np.ndarray]]:
    """(first sample, samples) of windows: full, but of a sound that is shorter; the last ends where it does."""
    held = previous = np.zeros(0, dtype=np.float32)
    first = given = 0
    for piece in regroup(pieces, hop):
        held = np.concatenate([held, piece]) if len(held) else piece
        while len(held) >= length:
            previous = held[:length].copy()
            yield first, previous
            given = first + length
            held, first = held[hop:], first + hop
    end = first + len(held)
    if given == 0:
        yield first, held
    elif end - given >= shortest_tail:
        # A window of what little is left over would say nothing: the last one reaches back.
        yield end - length, np.concatenate([previous[end - given :], held[given - first :]])


def _batches(windows: Iterator[tuple[int, np.ndarray]], size: int) -> Iterator[list[tuple[int, np.ndarray]]]:
    batch: list[tuple[int, np.ndarray]] = []
    for window in windows:
        batch.append(window)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


__all__ = ["WindowVectors", "embed_files", "embed_pieces", "embed_windows"]
