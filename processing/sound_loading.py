"""Loads the samples of a sound for a feature extractor, before they are cut into segments."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .audio_inputs import to_waveform
from .audio_streaming import stream_channels, stream_waveform


class SoundLoading:
    """Loading, for feature extractors with ``sampling_rate``, ``downmix`` and ``resampler``."""

    def load(self, clip: Any, sampling_rate: int | None = None, *, position: int = 0) -> np.ndarray:
        """
        One sound at the model's rate, in the form for [`cut`].

        Args:
            clip: a sound of any form that a call takes.
            sampling_rate: sampling rate of bare arrays, in Hz.
            position: index of the clip in its batch, for messages.

        Returns:
            float32 ``(samples,)``; ``(samples, channels)`` if a sound has several channels that are mixed segment by
            segment, with ``downmix="active"``.
        """
        return to_waveform(
            clip,
            sampling_rate=self.sampling_rate,
            source_rate=sampling_rate,
            position=position,
            downmix=self.downmix,
            resampler=self.resampler,
        )

    def pieces(
        self, path: Any, *, offset: float = 0.0, duration: float | None = None
    ) -> Iterator[np.ndarray]:
        """
        The result of [`load`] for a file, in pieces and bounded memory.

        Args:
            path: an audio file.
            offset: where to start, in seconds.
            duration: how much to read, in seconds; None reads to the end.

        Raises:
            AudioReadError: for an unreadable file; a damaged file may yield pieces first.
        """
        options = {"sampling_rate": self.sampling_rate, "resampler": self.resampler}
        options |= {"offset": offset, "duration": duration}
        if self.downmix == "mean":
            return stream_waveform(path, downmix="mean", **options)
        return stream_channels(path, **options)


__all__ = ["SoundLoading"]
