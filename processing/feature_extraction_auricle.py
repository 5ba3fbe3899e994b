"""From sounds of any form and length to log-mel segments."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature

from .audio_inputs import as_clip_list, to_waveform
from .log_mel import kaldi_mel_bank, num_frames, passt_log_mel


class AuricleFeatureExtractor(SequenceFeatureExtractor):
    r"""
    Cuts clips into segments and turns each segment into PaSST's normalised log-mel.

    A clip becomes ``ceil(length / segment_seconds)`` segments; its last one is filled with zeros up to the
    full segment, whatever else is in the batch. Segments of all clips lie one after another in
    ``input_features`` and ``segment_counts`` says how many belong to each clip: nothing is padded to the
    longest clip, nothing is cropped and nothing is random.

    Args:
        feature_size: mel bins a frame.
        sampling_rate: rate in Hz that sounds are resampled to.
        padding_value: what fills the last segment.
        segment_seconds: length of a segment in seconds.
        n_fft, hop_length, win_length: of the spectrogram, in samples.
        fmin, fmax: range of the mel filters in Hz.
        preemphasis: share of the previous sample that is subtracted from each one.
    """

    _auto_class = "AutoFeatureExtractor"
    model_input_names = ["input_features", "segment_counts"]  # noqa: RUF012

    def __init__(
        self,
        feature_size: int = 128,
        sampling_rate: int = 32000,
        padding_value: float = 0.0,
        segment_seconds: float = 10.0,
        n_fft: int = 1024,
        hop_length: int = 320,
        win_length: int = 800,
        fmin: float = 0.0,
        fmax: float = 15000.0,
        preemphasis: float = 0.97,
        **kwargs,
    ):
        kwargs.setdefault("return_attention_mask", False)
        super().__init__(
            feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs
        )
        if segment_seconds <= 0:
            raise ValueError(f"segment_seconds={segment_seconds} must be above 0.")
        self.segment_seconds = segment_seconds
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.win_length = win_length
        self.fmin = fmin
        self.fmax = fmax
        self.preemphasis = preemphasis
        self.mel_bank()  # an impossible mel range is an error here, not at the first clip

    @property
    def segment_samples(self) -> int:
        """Samples of a full segment."""
        return round(self.segment_seconds * self.sampling_rate)

    @property
    def num_frames(self) -> int:
        """Frames of a full segment; the audio tower's ``num_frames``."""
        return num_frames(self.segment_samples, self.hop_length)

    def mel_bank(self, fmin: float | None = None, fmax: float | None = None) -> torch.Tensor:
        """The mel filters, ``(feature_size, n_fft / 2 + 1)``; another range than the own one on request."""
        return _cached_mel_bank(
            self.feature_size,
            self.n_fft // 2 + 1,
            self.sampling_rate,
            self.fmin if fmin is None else fmin,
            self.fmax if fmax is None else fmax,
        )

    def load(self, clip: Any, sampling_rate: int | None = None) -> np.ndarray:
        """One sound as a mono float32 waveform ``(samples,)`` at the model's rate; forms as in a call."""
        return to_waveform(clip, sampling_rate=self.sampling_rate, source_rate=sampling_rate)

    def cut(self, waveform: np.ndarray, segment_seconds: float | None = None) -> np.ndarray:
        """
        Cuts a waveform at the model's rate into segments, the last one filled up.

        Args:
            waveform: float32 ``(samples,)``, at least one sample.
            segment_seconds: another segment length than the own one, for training on shorter crops.

        Returns:
            float32 ``(segments, segment samples)``.
        """
        length = self.segment_samples
        if segment_seconds is not None:
            length = min(length, round(segment_seconds * self.sampling_rate))
        count = -(-len(waveform) // length)
        segments = np.full((count, length), self.padding_value, dtype=np.float32)
        segments.reshape(-1)[: len(waveform)] = waveform
        return segments

    def features(
        self, segments: torch.Tensor, mel_ranges: list[tuple[float, float]] | None = None
    ) -> torch.Tensor:
        """
        Log-mel of segments, on the device they lie on.

        Args:
            segments: float32 ``(segments, samples)``.
            mel_ranges: ``(fmin, fmax)`` in Hz for each segment, PaSST's training-time variation; None takes
                the own range for all.

        Returns:
            ``(segments, frames, feature_size)`` float32.
        """
        settings = {
            "n_fft": self.n_fft,
            "hop_length": self.hop_length,
            "win_length": self.win_length,
            "preemphasis": self.preemphasis,
        }
        banks = [self.mel_bank(*pair) for pair in mel_ranges] if mel_ranges else [self.mel_bank()]
        if segments.device.type != "cpu":
            bank = torch.stack(banks) if mel_ranges else banks[0]
            return passt_log_mel(segments, bank, **settings)
        # On a CPU one segment at a time keeps the temporaries in the cache.
        rows = [
            passt_log_mel(segment[None], banks[index if mel_ranges else 0], **settings)
            for index, segment in enumerate(segments)
        ]
        return torch.cat(rows)

    def __call__(
        self,
        audio: Any,
        sampling_rate: int | None = None,
        segment_seconds: float | None = None,
        mel_ranges: list[tuple[float, float]] | None = None,
        return_tensors: str | None = "pt",
        device: str | torch.device = "cpu",
        **kwargs,
    ) -> BatchFeature:
        """
        Features of one clip or of a batch.

        Args:
            audio: a sound or a list of sounds. A sound is a file path, an array or tensor (mono, or with
                channels, which are averaged), a dict with ``array`` and ``sampling_rate`` or with ``path``,
                or an audio object of the ``datasets`` library.
            sampling_rate: rate in Hz of bare arrays, 8,000 to 192,000; resampled where it is not the model's.
            segment_seconds: shorter segments than usual, for training on crops.
            mel_ranges: ``(fmin, fmax)`` in Hz for each clip, for training.
            return_tensors: ``"pt"``, ``"np"`` or None for lists.
            device: where the spectrograms are computed.
            kwargs: padding arguments are accepted and have no effect, since nothing is padded to a batch.

        Returns:
            ``input_features`` ``(segments, frames, feature_size)`` float32 and ``segment_counts``
            ``(clips,)`` int64.

        Raises:
            ValueError: for a bare array without a rate, or an unknown type; the message names the clip.
            AudioReadError: for a sound that cannot be read or holds no usable samples.
        """
        unknown = set(kwargs) - {
            "padding",
            "max_length",
            "truncation",
            "return_attention_mask",
            "text_kwargs",
        }
        if unknown:
            raise ValueError(f"unknown arguments {sorted(unknown)} for {type(self).__name__}.")
        waveforms = [
            to_waveform(clip, sampling_rate=self.sampling_rate, source_rate=sampling_rate, position=index)
            for index, clip in enumerate(as_clip_list(audio))
        ]
        cut = [self.cut(waveform, segment_seconds) for waveform in waveforms]
        counts = [len(segments) for segments in cut]
        if mel_ranges is not None:
            if len(mel_ranges) != len(cut):
                raise ValueError(f"{len(mel_ranges)} mel_ranges for {len(cut)} clips; one a clip is needed.")
            mel_ranges = [pair for pair, count in zip(mel_ranges, counts, strict=True) for _ in range(count)]
        features = self.features(torch.from_numpy(np.concatenate(cut)).to(device), mel_ranges)
        if return_tensors != "pt":
            features = features.cpu().numpy()
        return BatchFeature(
            {"input_features": features, "segment_counts": np.asarray(counts, dtype=np.int64)},
            tensor_type=return_tensors,
        )


@lru_cache(maxsize=64)
def _cached_mel_bank(bins: int, fft_bins: int, rate: int, fmin: float, fmax: float) -> torch.Tensor:
    return kaldi_mel_bank(bins, fft_bins, rate, fmin, fmax)


__all__ = ["AuricleFeatureExtractor"]
