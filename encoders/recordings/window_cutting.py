"""Cuts a stream of samples into an index's windows and a model's segments."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...processing.audio_streaming import regroup


@dataclass(frozen=True)
class CutPlace:
    """
    A part of a recording that passes the model once, without its samples.

    Attributes:
        start, end: first sample within the recording, and the one after the last.
        is_window: whether an index keeps a vector of it.
        in_clip: whether it counts in the vector of the whole recording.
    """

    start: int
    end: int
    is_window: bool
    in_clip: bool


@dataclass(frozen=True)
class Cut:
    """
    Samples that pass the model once.

    Attributes:
        start: first sample within the recording.
        samples: float32 ``(n,)`` or ``(n, channels)``, at most a window.
        is_window, in_clip: as of [`CutPlace`].
    """

    start: int
    samples: np.ndarray
    is_window: bool
    in_clip: bool

    @property
    def end(self) -> int:
        """The sample after the last one."""
        return self.start + len(self.samples)

    @property
    def place(self) -> CutPlace:
        """Without the samples."""
        return CutPlace(self.start, self.end, self.is_window, self.in_clip)


def windows_reaching_back(
    pieces: Iterator[np.ndarray], length: int, hop: int, shortest_tail: int
) -> Iterator[Cut]:
    """
    Full windows each ``hop`` samples, all of them in the clip; the last one ends where the sound does.

    Args:
        pieces: samples of a recording, of any lengths.
        length, hop: of windows, in samples.
        shortest_tail: samples left over that make another window, which reaches back to be full.
    """
    held = previous = np.zeros(0, dtype=np.float32)
    first = given = 0
    for piece in regroup(pieces, hop):
        held = np.concatenate([held, piece]) if len(held) else piece
        while len(held) >= length:
            previous = held[:length].copy()
            yield Cut(first, previous, True, True)
            given = first + length
            held, first = held[hop:], first + hop
    end = first + len(held)
    if given == 0:
        yield Cut(first, held, True, True)
    elif end - given >= shortest_tail and end > given:
        # A window of only the short remainder would say little: the last window reaches back.
        samples = np.concatenate([previous[end - given :], held[given - first :]])
        yield Cut(end - length, samples, True, True)


def windows_and_segments(
    pieces: Iterator[np.ndarray], length: int, hop: int, shortest_tail: int
) -> Iterator[Cut]:
    """
    Windows each ``hop`` samples, and the segments that the model cuts a clip into, each passed once.

    Segments begin at multiples of ``length``; the last one is what is left over, if that is ``shortest_tail`` or
    more. Without overlap (``hop == length``) windows and segments are the same. With overlap, the last window
    reaches back.

    Args:
        pieces, length, hop, shortest_tail: as in [`windows_reaching_back`].
    """
    segments = _segments(length, hop)
    next(segments)
    overlaps = hop < length
    held = previous = np.zeros(0, dtype=np.float32)
    first = given = 0
    for piece in regroup(pieces, hop):
        held = np.concatenate([held, piece]) if len(held) else piece
        yield from segments.send(piece)
        while len(held) >= length:
            previous = held[:length].copy()
            yield Cut(first, previous, True, first % length == 0)
            given = first + length
            held, first = held[hop:], first + hop
    end = first + len(held)
    if given == 0:
        yield Cut(first, held, True, True)
        return
    tail = end % length
    if overlaps and end > given and end - given >= shortest_tail:
        samples = np.concatenate([previous[end - given :], held[given - first :]])
        yield Cut(end - length, samples, True, False)
    if tail and tail >= shortest_tail:
        last = np.concatenate([previous, held[given - first :]])[-tail:]
        yield Cut(end - tail, last, not overlaps, True)


def _segments(length: int, hop: int):
    """Takes pieces and yields the full segments that are not windows: those whose start is no multiple of hop."""
    held, first, ready = np.zeros(0, dtype=np.float32), 0, []
    while True:
        piece = yield ready
        ready = []
        if length % hop == 0:
            continue
        held = np.concatenate([held, piece]) if len(held) else piece
        while len(held) >= length:
            if first % hop:
                ready.append(Cut(first, held[:length].copy(), False, True))
            held, first = held[length:], first + length


__all__ = ["Cut", "CutPlace", "windows_and_segments", "windows_reaching_back"]
