"""Windows of exact digital silence: they share one vector, which the model computes once."""

import threading
from collections.abc import Sequence

import numpy as np

from ..interface import AudioTextEncoder


class SilentWindows:
    """
    An encoder's pooled rows, where full windows of zeros pass the model once in all; for any number of threads.

    Args:
        encoder: its weights stay unchanged while this is used.
    """

    def __init__(self, encoder: AudioTextEncoder):
        self.encoder = encoder
        self._row: np.ndarray | None = None
        self._lock = threading.Lock()

    def pool_windows(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """As [`AudioTextEncoder.pool_windows`]."""
        silent = np.array(
            [
                length == waveforms.shape[1] and not row.any()
                for row, length in zip(waveforms, lengths, strict=True)
            ],
            dtype=bool,
        )
        if not silent.any():
            return self.encoder.pool_windows(waveforms, lengths)
        row = self._silent_row(waveforms.shape[1])
        pooled = np.tile(row, (len(waveforms), 1))
        if not silent.all():
            rest = [length for length, still in zip(lengths, silent, strict=True) if not still]
            pooled[~silent] = self.encoder.pool_windows(waveforms[~silent], rest)
        return pooled

    def row_of(self, waveform: np.ndarray, length: int) -> np.ndarray | None:
        """
        The pooled row of a full window of zeros; None for any other window.

        Args:
            waveform: float32 ``(window_samples,)``.
            length: its real samples.
        """
        if length < len(waveform) or waveform.any():
            return None
        return self._silent_row(length)[0]

    def _silent_row(self, samples: int) -> np.ndarray:
        with self._lock:
            if self._row is None:
                # Embedded by itself, so that its bits do not depend on a batch.
                self._row = self.encoder.pool_windows(np.zeros((1, samples), dtype=np.float32), [samples])
            return self._row


__all__ = ["SilentWindows"]
