"""Cuts a waveform into segments of equal length."""

from collections.abc import Sequence

import numpy as np

from .channel_mixing import mix_channels
from .front_ends import FRONT_ENDS, check_segment_length


class SegmentCutting:
    """
    Cutting, for feature extractors with ``front_end``, ``sampling_rate``, ``segment_seconds``,
    ``min_tail_seconds``, ``padding_value`` and ``downmix``.
    """

    @property
    def segment_samples(self) -> int:
        """Samples of a full segment."""
        return round(self.segment_seconds * self.sampling_rate)

    def _segment_length(self, segment_seconds: float | None) -> int:
        length = self.segment_samples
        if segment_seconds is not None:
            length = min(length, round(segment_seconds * self.sampling_rate))
            check_segment_length(self.front_end, length, self.sampling_rate)
        return length

    def cut(
        self, waveform: np.ndarray, segment_seconds: float | None = None, *, name: str | None = None
    ) -> np.ndarray:
        """
        Cuts a waveform at the model's rate into segments; the last one is padded.

        A remainder shorter than ``min_tail_seconds`` after a full segment is omitted: encoders pad files
        by some milliseconds, and a segment of padding would weigh as much as one of sound.

        Args:
            waveform: float32 ``(samples,)`` or ``(samples, channels)``, at least one sample. The channels of each
                segment are mixed by its own samples only.
            segment_seconds: another segment length, for training on shorter crops.
            name: name of the sound, for a warning that its channels cancel.

        Returns:
            float32 ``(segments, segment samples)``.

        Raises:
            ValueError: if the segments would be too short for the front end.
        """
        length = self._segment_length(segment_seconds)
        waveform = waveform[: self._kept_samples(len(waveform), length)]
        count = -(-len(waveform) // length)
        segments = np.full((count, length), self.padding_value, dtype=np.float32)
        if waveform.ndim == 1:
            segments.reshape(-1)[: len(waveform)] = waveform
            return segments
        for place, segment in enumerate(segments):
            mixed = self.mix(waveform[place * length : (place + 1) * length], name=name)
            segment[: len(mixed)] = mixed
        return segments

    def mix(self, samples: np.ndarray, *, name: str | None = None) -> np.ndarray:
        """Mixes the channels of one segment; see `mix_channels`."""
        return mix_channels(samples, self.downmix, name=name)

    def _kept_samples(self, samples: int, length: int) -> int:
        """Samples of a waveform that are cut into segments: all but a tail too short to be one."""
        tail = samples % length
        return samples - tail if samples > length and tail < self.min_tail_samples else samples

    @property
    def min_tail_samples(self) -> int:
        """Number of samples of the shortest remainder that becomes a segment."""
        return round(self.min_tail_seconds * self.sampling_rate)

    def real_samples(self, samples: int, segment_seconds: float | None = None) -> list[int]:
        """
        Number of real samples in each segment that [`cut`] makes of a waveform.

        A last segment shorter than the tower's smallest input is filled with silence to that size, without a mask.
        """
        length = self._segment_length(segment_seconds)
        full, rest = divmod(self._kept_samples(samples, length), length)
        return [length] * full + self.at_least_shortest([rest] if rest else [])

    def at_least_shortest(self, lengths: Sequence[int]) -> list[int]:
        """Real samples of segments, each at least the tower's smallest input: silence follows them."""
        shortest = FRONT_ENDS[self.front_end].min_samples
        return [max(length, shortest) for length in lengths]


__all__ = ["SegmentCutting"]
