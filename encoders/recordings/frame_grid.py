"""Frame vectors of a whole recording on one regular grid of time, as a moment head sees them."""

import os
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from ...processing import AudioReadError
from ..interface import AudioTextEncoder, EncoderError, unit_rows
from .window_cutting import Cut, windows_and_segments


class FrameGrid(NamedTuple):
    """
    Attributes:
        vectors: unit length, ``(frames, embedding_dim)`` float32; frame i begins at ``i * frame_seconds``.
        frame_seconds: step of the frames.
        duration: duration of the recording in seconds; the last frame may extend beyond it.
    """

    vectors: np.ndarray
    frame_seconds: float
    duration: float


def check_frame_seconds(encoder: AudioTextEncoder, frame_seconds: float) -> None:
    """
    Raises:
        EncoderError: if the encoder has no frame vectors, or none as fine as this.
    """
    name = encoder.name or encoder.kind
    if encoder.frame_seconds is None:
        raise EncoderError(f"{name}: has no frame vectors, so it can carry no moment head.")
    if frame_seconds < encoder.frame_seconds * (1 - 1e-6):
        raise EncoderError(
            f"{name}: its frames last {encoder.frame_seconds:g} s; frame_seconds={frame_seconds:g} must be at "
            "least that."
        )


def embed_frame_grid(
    encoder: AudioTextEncoder,
    path: str | os.PathLike[str],
    *,
    frame_seconds: float | None = None,
    batch_size: int = 16,
) -> FrameGrid:
    """
    Embeds a recording's frames in one pass, with memory for the frame vectors and a few windows.

    Windows follow each other; each gives its frames ([`AudioTextEncoder.embed_frames`]). Frames finer than
    the grid are averaged: a frame belongs to the grid's frame that its middle is in.

    Args:
        encoder: with ``frame_seconds``.
        path: path of a sound file.
        frame_seconds: step of the grid, at least the encoder's own; None is that.
        batch_size: windows at a time.

    Raises:
        EncoderError: if the encoder has no frames, or none as fine as this.
        AudioReadError: if the file cannot be read, or its numbers overflow in the model.
    """
    step = encoder.frame_seconds if frame_seconds is None else frame_seconds
    check_frame_seconds(encoder, step or 0.0)
    rate, length = encoder.sampling_rate, encoder.window_samples
    own, name = encoder.frame_seconds, os.fspath(path)
    middles, rows, samples = [], [], 0
    cuts: Iterator[Cut] = windows_and_segments(iter(encoder.pieces(path)), length, length, 1)
    for batch in _batches(cuts, batch_size):
        waveforms = np.zeros((len(batch), length), dtype=np.float32)
        real = []
        for row, cut in zip(waveforms, batch, strict=True):
            mixed = encoder.mix(cut.samples, name=name)
            row[: len(mixed)] = mixed
            real.append(max(1, len(mixed)))
            samples = cut.start + len(mixed)
        for cut, count, frames in zip(batch, real, encoder.embed_frames(waveforms, real), strict=True):
            kept = max(1, int(np.ceil(count / rate / own - 1e-6)))
            rows.append(frames[:kept])
            middles.append(cut.start / rate + (np.arange(len(rows[-1])) + 0.5) * own)
    vectors, duration = np.concatenate(rows), samples / rate
    if not samples:
        raise AudioReadError(f"{name}: contains no audio.")
    if not np.isfinite(vectors).all():
        raise AudioReadError(f"{name}: its samples are too large: the model's numbers overflow.")
    if step > own * (1 + 1e-6):
        vectors = _on_grid(vectors, np.concatenate(middles), step, duration)
    return FrameGrid(vectors.astype(np.float32), float(step), duration)


def _batches(cuts: Iterator[Cut], size: int) -> Iterator[list[Cut]]:
    while batch := list(islice(cuts, size)):
        yield batch


def _on_grid(vectors: np.ndarray, middles: np.ndarray, step: float, duration: float) -> np.ndarray:
    """Means of the frames whose middles are in each frame of a coarser grid, as unit vectors."""
    count = max(1, int(np.ceil(duration / step - 1e-6)))
    cells = np.minimum((middles / step).astype(np.int64), count - 1)
    sums = np.zeros((count, vectors.shape[1]))
    np.add.at(sums, cells, vectors)
    filled = np.zeros(count, dtype=bool)
    filled[cells] = True
    for empty in np.flatnonzero(~filled):
        # A window that is not a multiple of its frames may miss one: the nearest frame replaces it.
        sums[empty] = vectors[int(np.argmin(np.abs(middles - (empty + 0.5) * step)))]
    return unit_rows(sums)


__all__ = ["FrameGrid", "check_frame_seconds", "embed_frame_grid"]
