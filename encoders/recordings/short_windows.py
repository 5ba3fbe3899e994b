"""Short windows of a recording, one per second, each embedded as a separate clip."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ...processing import AudioReadError
from ..interface import AudioTextEncoder

# Chosen on generated recordings of their own: benchmarks/bench_generated_moments.py --split validation.
# Half a second costs twice as much and gave no better spans on recordings of the test fold.
HOP_SECONDS = 1.0
# Of the frames that an index keeps.
FRAME_HOP_SECONDS = 1.0
SHORT_WINDOW_SECONDS = 1.28
BATCH_SIZE = 64


@dataclass(frozen=True)
class ShortWindows:
    """
    Attributes:
        vectors: unit length ``(n, embedding_dim)``; the n-th is centred at ``(n + 0.5) * hop_seconds``.
        hop_seconds: from one to the next.
        duration: duration of the recording, seconds.
    """

    vectors: np.ndarray
    hop_seconds: float
    duration: float


def short_window_seconds(encoder: AudioTextEncoder, hop_seconds: float = HOP_SECONDS) -> float:
    """Length of a short window: 1.28 s, or the hop if that is longer, and at most a window of the model."""
    return min(encoder.window_seconds, max(SHORT_WINDOW_SECONDS, hop_seconds))


def short_window_count(duration: float, hop_seconds: float = HOP_SECONDS) -> int:
    """Short windows of a recording: one for each hop begun, at least one."""
    return max(1, int(np.ceil(duration / hop_seconds - 1e-6)))


def embed_short_windows(
    encoder: AudioTextEncoder,
    path: str | os.PathLike[str],
    *,
    hop_seconds: float = HOP_SECONDS,
    batch_size: int = BATCH_SIZE,
) -> ShortWindows:
    """
    A recording's short windows, all in memory: about 11 MB an hour for vectors of 768 numbers.

    Args, Raises: as of [`stream_short_windows`].
    """
    heard = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal heard
        for piece in encoder.pieces(path):
            heard += len(piece)
            yield piece

    rows = list(
        stream_short_windows(
            encoder, counted(), hop_seconds=hop_seconds, batch_size=batch_size, name=os.fspath(path)
        )
    )
    return ShortWindows(np.concatenate(rows), hop_seconds, heard / encoder.sampling_rate)


def stream_short_windows(
    encoder: AudioTextEncoder,
    pieces: Iterable[np.ndarray],
    *,
    hop_seconds: float = HOP_SECONDS,
    batch_size: int = BATCH_SIZE,
    name: str | None = None,
) -> Iterator[np.ndarray]:
    """
    Vectors of short windows, batch after batch, in memory that does not grow with the recording.

    The n-th window is centred at ``(n + 0.5) * hop_seconds``, and moved into the recording where it would reach over
    an end. The recording's last samples are in a window however few they are. A recording shorter than a short
    window is filled up with silence.

    Args:
        encoder: whose vectors they are.
        pieces: samples as the encoder's ``pieces`` gives them; channels are mixed window by window.
        hop_seconds: from one window to the next, above 0 and at most a window of the model.
        batch_size: windows at a time.
        name: name of the recording, for a warning that its channels cancel.

    Yields:
        Unit vectors ``(up to batch_size, embedding_dim)`` float32; [`short_window_count`] of them in all.

    Raises:
        AudioReadError: if the pieces contain no sound or the model's numbers overflow; and what the pieces raise.
        ValueError: for another hop.
    """
    if not 0 < hop_seconds <= encoder.window_seconds:
        raise ValueError(
            f"hop_seconds={hop_seconds:g} must be above 0 and at most a window, {encoder.window_seconds:g} s."
        )
    length = round(short_window_seconds(encoder, hop_seconds) * encoder.sampling_rate)
    batch: list[np.ndarray] = []
    for samples in _windows(pieces, length, hop_seconds * encoder.sampling_rate):
        window = np.zeros(length, dtype=np.float32)
        window[: len(samples)] = encoder.mix(samples, name=name)
        batch.append(window)
        if len(batch) == batch_size:
            yield _embedded(encoder, batch)
            batch = []
    if batch:
        yield _embedded(encoder, batch)


def _embedded(encoder: AudioTextEncoder, batch: list[np.ndarray]) -> np.ndarray:
    vectors = encoder.embed_short_windows(np.stack(batch))
    if not np.isfinite(vectors).all():
        raise AudioReadError("its samples are too large: the model's numbers overflow.")
    return vectors


def _windows(pieces: Iterable[np.ndarray], length: int, hop: float) -> Iterator[np.ndarray]:
    """Samples of each window in turn; hop in samples, possibly fractional."""
    held, first, count, waiting = np.zeros(0, dtype=np.float32), 0, 0, []
    for piece in pieces:
        waiting.append(piece)
        end = first + len(held) + sum(map(len, waiting))
        if _start(count, length, hop) + length > end:
            continue
        held = np.concatenate([held, *waiting] if len(held) else waiting)
        waiting = []
        while (start := _start(count, length, hop)) + length <= end:
            yield held[start - first : start - first + length]
            count += 1
        # The last window's worth stays: where the sound ends, windows reach back.
        kept = max(first, min(_start(count, length, hop), end - length))
        held, first = held[kept - first :].copy(), kept
    held = np.concatenate([held, *waiting] if len(held) else waiting) if waiting else held
    end = first + len(held)
    if not end:
        raise AudioReadError("contains no audio.")
    for _ in range(count, max(1, int(np.ceil(end / hop - 1e-6)))):
        yield held[max(0, end - length - first) :]


def _start(number: int, length: int, hop: float) -> int:
    return max(0, round((number + 0.5) * hop - length / 2))


__all__ = [
    "FRAME_HOP_SECONDS",
    "HOP_SECONDS",
    "SHORT_WINDOW_SECONDS",
    "ShortWindows",
    "embed_short_windows",
    "short_window_count",
    "short_window_seconds",
    "stream_short_windows",
]
