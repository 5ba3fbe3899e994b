"""Vectors of one recording from the pooled rows of its windows, which come in batches of one size."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...processing import AudioReadError
from ..interface import AudioTextEncoder
from .window_cutting import Cut, CutPlace, windows_and_segments, windows_reaching_back

ClipVector = Literal["model", "windows"]


@dataclass(frozen=True)
class WindowVectors:
    """
    Attributes:
        starts, ends: seconds, ``(windows,)``; the last window ends where the sound does.
        vectors: unit length, ``(windows, width)`` float32.
        vector: vector of the whole recording, unit length, ``(width,)``; see [`embed_recording`].
        duration: seconds.
        remarks: on the file: several sound tracks, channels that cancel, and others; see [`embed_files`].
    """

    starts: np.ndarray
    ends: np.ndarray
    vectors: np.ndarray
    vector: np.ndarray
    duration: float
    remarks: tuple[str, ...] = ()


class PooledRecording:
    """
    Cuts one recording, and turns the pooled rows of its cuts into vectors.

    The bits of the result depend on how many rows [`add`] gets at a time: always give the same number.

    Args:
        encoder, hop_seconds, clip_vector, offset, name: as of [`embed_pieces`].

    Raises:
        ValueError: for a hop that is not above 0 and at most a window.
    """

    def __init__(
        self,
        encoder: AudioTextEncoder,
        *,
        hop_seconds: float,
        clip_vector: ClipVector,
        offset: float = 0.0,
        name: str | None = None,
    ):
        self.encoder, self.name, self._offset = encoder, name, offset
        self._hop, self._clip_vector = round(hop_seconds * encoder.sampling_rate), clip_vector
        if not 0 < self._hop <= encoder.window_samples:
            raise ValueError(
                f"hop_seconds={hop_seconds:g} must be above 0 and at most a window, {encoder.window_seconds:g} s."
            )
        self._samples = self._count = 0
        self._total: np.ndarray | float = 0.0
        self._rows: list[np.ndarray] = []
        self._starts: list[float] = []
        self._ends: list[float] = []

    def cuts(self, pieces: Iterable[np.ndarray]) -> Iterator[Cut]:
        """The parts of the recording that pass the model, in order."""
        length, tail = self.encoder.window_samples, self.encoder.min_tail_samples
        cut = windows_reaching_back if self._clip_vector == "windows" else windows_and_segments
        return cut(self._counted(pieces), length, self._hop, tail)

    def _counted(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for piece in pieces:
            self._samples += len(piece)
            yield piece

    def waveform(self, cut: Cut) -> np.ndarray:
        """A cut mixed to mono and padded with zeros, float32 ``(window_samples,)``."""
        row = np.zeros(self.encoder.window_samples, dtype=np.float32)
        row[: len(cut.samples)] = self.encoder.mix(cut.samples, name=self.name)
        return row

    def add(self, cuts: Sequence[Cut | CutPlace], pooled: np.ndarray) -> None:
        """
        Takes the next cuts with their pooled rows.

        Args:
            cuts: in order; their samples are not needed any more.
            pooled: from [`AudioTextEncoder.pool_windows`], ``(cuts, width)``.
        """
        part = pooled[[cut.in_clip for cut in cuts]]
        if len(part):
            self._total = part.sum(axis=0, dtype=np.float64) + self._total
            self._count += len(part)
        windows = [place for place, cut in enumerate(cuts) if cut.is_window]
        self._rows.append(self.encoder.project_windows(pooled[windows]))
        rate = self.encoder.sampling_rate
        self._starts += [cuts[place].start / rate for place in windows]
        self._ends += [cuts[place].end / rate for place in windows]

    def finish(self) -> WindowVectors:
        """
        Raises:
            AudioReadError: if there are no vectors for such samples.
        """
        whole = self.encoder.project_windows((self._total / self._count).astype(np.float32)[None])[0]
        vectors = np.concatenate(self._rows)
        if not (np.isfinite(vectors).all() and np.isfinite(whole).all()):
            raise AudioReadError("its samples are too large: the model's numbers overflow.")
        return WindowVectors(
            self._offset + np.array(self._starts),
            self._offset + np.array(self._ends),
            vectors,
            whole,
            self._samples / self.encoder.sampling_rate,
        )


__all__ = ["ClipVector", "PooledRecording", "WindowVectors"]
