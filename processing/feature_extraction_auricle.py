"""From sounds of any form and length to log-mel segments."""

import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature

from .audio_inputs import as_clip_list, name_of_clip
from .channel_mixing import check_downmix
from .front_ends import (
    FRONT_ENDS,
    beats_log_mel,
    check_settings,
    eat_log_mel,
    frames_of_segment,
    real_frame_counts,
)
from .log_mel import kaldi_mel_bank, passt_log_mel
from .pickling_by_name import PicklingByName
from .resampling import check_resampler
from .segment_blocks import SegmentBlock, iter_blocks
from .segment_cutting import SegmentCutting
from .sound_loading import SoundLoading

# What generic callers pass to every feature extractor.
_WITHOUT_EFFECT = {
    *("padding", "max_length", "truncation", "pad_to_multiple_of", "return_attention_mask", "text_kwargs"),
    "load_audio_backend",
}
# On a CPU a block of about one segment keeps its temporaries in the cache; twice as much is slower.
CPU_BLOCK_FRAMES = 1024


class AuricleFeatureExtractor(SoundLoading, SegmentCutting, SequenceFeatureExtractor, PicklingByName):
    r"""
    Cuts clips into segments and turns each segment into the normalised log-mel of one audio tower.

    A clip becomes ``ceil(length / segment_seconds)`` segments (a remainder of less than ``min_tail_seconds``
    is dropped); its last segment is padded to full length, independently of the batch. Segments of all
    clips follow each other in ``input_features`` and ``segment_counts`` says how many belong to each clip:
    nothing is padded to the longest clip and nothing is random. The features of a segment depend only on
    its samples.

    The padding of the last segment depends on the tower: digital silence for PaSST; for EAT frames of zeros
    before normalisation, as in its training; BEATs' extra frames are masked by ``audio_attention_mask``.

    Args:
        front_end: ``"passt"``, ``"beats"`` or ``"eat"``; sets the defaults of the following arguments.
        feature_size: mel bins a frame.
        sampling_rate: rate in Hz that sounds are resampled to.
        padding_value: value of padding samples in the last segment.
        segment_seconds: length of a segment in seconds.
        min_tail_seconds: a shorter remainder after a clip's last full segment is omitted; 0 keeps all.
        n_fft, hop_length, win_length: of the spectrogram, in samples.
        fmin, fmax: range of the mel filters in Hz.
        preemphasis: share of the previous sample that is subtracted from each one.
        mean, std: the log-mel becomes ``(x - mean) / (2 std)``; BEATs and EAT only, PaSST's are part of it.
        target_frames: frames of a full segment, EAT only; by default 1,024 for ten seconds, otherwise their number,
            rounded up to whole patches.
        padding_rule: BEATs only. ``"exact"`` masks every frame with a padded sample, so that a segment's vector
            does not depend on the padding; ``"reference"`` masks approximately, as the published code does,
            and goes with ``padding_mask="reference"`` of the tower.
        downmix: mixing of a segment's channels: ``"active"`` averages channels that are not silent, see
            `mix_channels`; ``"mean"`` averages all, as the published encoders do. Settings that were saved without
            this field load as ``"mean"``.
        resampler: ``"soxr"``, or ``"torchaudio"``, which the published scripts of BEATs and EAT use; see
            `resample`.
    """

    _auto_class = "AutoFeatureExtractor"

    def __init__(
        self,
        front_end: str = "passt",
        feature_size: int = 128,
        sampling_rate: int | None = None,
        padding_value: float = 0.0,
        segment_seconds: float = 10.0,
        min_tail_seconds: float = 0.1,
        n_fft: int | None = None,
        hop_length: int | None = None,
        win_length: int | None = None,
        fmin: float | None = None,
        fmax: float | None = None,
        preemphasis: float = 0.97,
        mean: float | None = None,
        std: float | None = None,
        target_frames: int | None = None,
        padding_rule: str = "exact",
        downmix: str = "active",
        resampler: str = "soxr",
        **kwargs: Any,
    ) -> None:
        if front_end not in FRONT_ENDS:
            raise ValueError(f"front_end={front_end!r}; known: {sorted(FRONT_ENDS)}.")
        preset = FRONT_ENDS[front_end]
        kwargs.setdefault("return_attention_mask", False)
        kwargs.pop("model_input_names", None)
        super().__init__(
            feature_size=feature_size,
            sampling_rate=_given(sampling_rate, preset.sampling_rate),
            padding_value=padding_value,
            **kwargs,
        )
        self.front_end = front_end
        self.segment_seconds = segment_seconds
        self.min_tail_seconds = min_tail_seconds
        self.n_fft = _given(n_fft, preset.n_fft)
        self.hop_length = _given(hop_length, preset.hop_length)
        self.win_length = _given(win_length, preset.win_length)
        self.fmin = _given(fmin, preset.fmin)
        self.fmax = _given(fmax, preset.fmax)
        self.preemphasis = preemphasis
        self.mean = _given(mean, preset.mean)
        self.std = _given(std, preset.std)
        self.target_frames = target_frames
        self.padding_rule = padding_rule
        check_downmix(downmix)
        check_resampler(resampler)
        self.downmix = downmix
        self.resampler = resampler
        check_settings(
            front_end,
            sampling_rate=self.sampling_rate,
            segment_seconds=segment_seconds,
            mean=self.mean,
            std=self.std,
            target_frames=target_frames,
            padding_rule=padding_rule,
        )
        self.mel_bank()  # an impossible mel range is an error here, not at the first clip

    @classmethod
    def for_tower(cls, tower: str, **settings: Any) -> "AuricleFeatureExtractor":
        """
        The preset of an audio tower.

        Args:
            tower: ``"passt"``, ``"beats"``, ``"eat"``, or an audio config's ``model_type``.
            settings: settings of the constructor; they override the preset.

        Raises:
            ValueError: for another tower.
        """
        return cls(front_end=tower.removeprefix("auricle_"), **settings)

    @classmethod
    def from_dict(cls, feature_extractor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As in the base class; settings that were saved without ``downmix`` load as ``"mean"``."""
        return super().from_dict({"downmix": "mean", **feature_extractor_dict}, **kwargs)

    @property
    def model_input_names(self) -> list[str]:
        """Names of all fields that a call may return."""
        names = ["input_features", "segment_counts"]
        return [*names, "audio_attention_mask"] if FRONT_ENDS[self.front_end].masks_padding else names

    @property
    def num_frames(self) -> int:
        """Frames of a full segment; the audio tower's ``num_frames``."""
        return self._frames(self.segment_samples)

    def _frames(self, samples: int) -> int:
        if self.target_frames is not None and samples == self.segment_samples:
            return self.target_frames
        return frames_of_segment(self.front_end, samples, self.hop_length, self.win_length)

    def mel_bank(self, fmin: float | None = None, fmax: float | None = None) -> torch.Tensor:
        """The mel filters, ``(feature_size, n_fft / 2 + 1)``, optionally for another range."""
        return _cached_mel_bank(
            self.feature_size,
            self.n_fft // 2 + 1,
            self.sampling_rate,
            _given(fmin, self.fmin),
            _given(fmax, self.fmax),
            FRONT_ENDS[self.front_end].mel_precision,
        )

    def frame_mask(self, lengths: torch.Tensor, samples: int) -> torch.Tensor | None:
        """
        Mask of the real frames of padded segments, for towers that mask padding.

        Args:
            lengths: int64 ``(segments,)``, real samples of each.
            samples: number of samples of a padded segment.

        Returns:
            int64 ``(segments, frames)``, 1 for real frames; None if the tower takes no mask.
        """
        if not FRONT_ENDS[self.front_end].masks_padding:
            return None
        counts = real_frame_counts(
            lengths,
            samples,
            hop_length=self.hop_length,
            win_length=self.win_length,
            rule=self.padding_rule,
        )
        return (torch.arange(self._frames(samples)) < counts[:, None]).long()

    def features(
        self,
        segments: torch.Tensor,
        mel_ranges: list[tuple[float, float]] | None = None,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        Log-mel of segments, computed on their device.

        Args:
            segments: float32 ``(segments, samples)``.
            mel_ranges: ``(fmin, fmax)`` in Hz for each segment, PaSST's training-time variation; None takes
                the default range for all.
            lengths: int64 ``(segments,)``, real samples of each segment; None means that all are real.

        Returns:
            ``(segments, frames, feature_size)`` float32.

        Raises:
            ValueError: for ``mel_ranges`` with another front end than PaSST's.
        """
        if mel_ranges and self.front_end != "passt":
            raise ValueError(f"mel_ranges vary PaSST's mel filters; this front end is {self.front_end!r}.")
        if lengths is None:
            lengths = torch.full((len(segments),), segments.shape[1])
        block = len(segments)
        if segments.device.type == "cpu":
            block = 1 if self.front_end == "passt" else CPU_BLOCK_FRAMES // self._frames(segments.shape[1])
        block = max(block, 1)
        return torch.cat(
            [
                self._block_features(
                    segments[start : start + block],
                    mel_ranges[start : start + block] if mel_ranges else None,
                    lengths[start : start + block],
                )
                for start in range(0, len(segments), block)
            ]
        )

    def _block_features(
        self,
        segments: torch.Tensor,
        mel_ranges: list[tuple[float, float]] | None,
        lengths: torch.Tensor,
    ) -> torch.Tensor:
        settings = {
            "n_fft": self.n_fft,
            "hop_length": self.hop_length,
            "win_length": self.win_length,
            "preemphasis": self.preemphasis,
        }
        banks = [self.mel_bank(*pair) for pair in mel_ranges or [(None, None)]]
        bank = banks[0] if len(banks) == 1 else torch.stack(banks)
        if self.front_end == "passt":
            return passt_log_mel(segments, bank, **settings)
        settings |= {"mean": self.mean, "std": self.std}
        if self.front_end == "beats":
            return beats_log_mel(segments, bank, **settings)
        return eat_log_mel(segments, bank, lengths, self._frames(segments.shape[1]), **settings)

    def __call__(
        self,
        audio: Any,
        sampling_rate: int | None = None,
        segment_seconds: float | None = None,
        mel_ranges: list[tuple[float, float]] | None = None,
        return_tensors: str | None = "pt",
        device: str | torch.device | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """
        Features of one clip or of a batch.

        Args:
            audio: a sound or a sequence of sounds. A sound is a file path, the bytes of a file or an open file, an
                array or tensor ``(samples,)``, a dict with ``array`` and ``sampling_rate``, with ``bytes`` or
                with ``path``, or an audio object of the ``datasets`` library. An array or tensor of two axes is
                ``(batch, samples)``; channels, which are mixed, take a dict whose ``array`` is
                ``(channels, samples)``, or a third axis, ``(batch, channels, samples)``.
            sampling_rate: rate in Hz of bare arrays, 1,000 to 768,000; resampled where it is not the model's.
            segment_seconds: another segment length, for training on crops.
            mel_ranges: ``(fmin, fmax)`` in Hz for each clip, for training.
            return_tensors: ``"pt"``, ``"np"`` or None for lists.
            device: device for the spectrograms; the CPU if not given.
            kwargs: the padding arguments of other feature extractors are accepted and have no effect, since nothing
                is padded to a batch.

        Returns:
            ``input_features`` ``(segments, frames, feature_size)`` float32 and ``segment_counts``
            ``(clips,)`` int64; for BEATs also ``audio_attention_mask`` ``(segments, frames)`` int64, 1 for real
            frames and 0 for padding.

        Raises:
            ValueError: for a bare array without a rate, an array of ambiguous shape, or an unknown type or
                keyword; the message names the clip.
            AudioReadError: for a sound that cannot be read or contains no usable samples.
        """
        unknown = set(kwargs) - _WITHOUT_EFFECT
        if unknown:
            raise ValueError(f"unknown arguments {sorted(unknown)} for {type(self).__name__}.")
        clips = as_clip_list(audio)
        waveforms = [self.load(clip, sampling_rate, position=index) for index, clip in enumerate(clips)]
        if mel_ranges is not None and len(mel_ranges) != len(waveforms):
            raise ValueError(
                f"{len(mel_ranges)} mel_ranges for {len(waveforms)} clips; one a clip is needed."
            )
        cut = [
            self.cut(waveform, segment_seconds, name=name_of_clip(clip, index))
            for index, (clip, waveform) in enumerate(zip(clips, waveforms, strict=True))
        ]
        counts = [len(segments) for segments in cut]
        lengths = [n for waveform in waveforms for n in self.real_samples(len(waveform), segment_seconds)]
        if mel_ranges is not None:
            mel_ranges = [pair for pair, count in zip(mel_ranges, counts, strict=True) for _ in range(count)]
        data = self.encode(np.concatenate(cut), lengths, counts, mel_ranges, device or "cpu")
        if return_tensors != "pt":
            data = {name: values.cpu().numpy() for name, values in data.items()}
        return BatchFeature(data, tensor_type=return_tensors)

    def encode(
        self,
        segments: np.ndarray,
        lengths: list[int],
        counts: list[int],
        mel_ranges: list[tuple[float, float]] | None,
        device: str | torch.device,
    ) -> dict[str, torch.Tensor]:
        """
        Model inputs for existing segments.

        Args:
            segments: float32 ``(segments, samples)`` of all clips, in order.
            lengths: real samples of each segment.
            counts: segments of each clip.
            mel_ranges: see [`features`].
            device: device for the spectrograms.
        """
        real, waveforms = torch.tensor(lengths), torch.from_numpy(segments)
        if torch.device(device).type == "cuda":
            # From pinned memory the copy does not wait for what the GPU computes meanwhile.
            waveforms = waveforms.pin_memory()
        data = {
            "input_features": self.features(waveforms.to(device, non_blocking=True), mel_ranges, real),
            "segment_counts": torch.tensor(counts, dtype=torch.int64),
        }
        mask = self.frame_mask(real, segments.shape[1])
        return data if mask is None else {**data, "audio_attention_mask": mask}

    def iter_segments(
        self,
        path: str | os.PathLike[str],
        *,
        offset: float = 0.0,
        duration: float | None = None,
        segments_per_block: int = 4,
        device: str | torch.device = "cpu",
    ) -> Iterator[SegmentBlock]:
        """
        Segments of a file of any length in blocks; memory does not grow with the file.

        The segments equal those of a call with the same part of the file: exactly if the file already
        has the model's rate, and to within 1e-5 of full scale if it must be resampled.

        Args:
            path: an audio file.
            offset: where to start, in seconds.
            duration: how much to read, in seconds; None reads to the end.
            segments_per_block: segments a block; bounds the memory.
            device: device for the spectrograms.

        Yields:
            Blocks of at least one segment; see [`SegmentBlock`].

        Raises:
            ValueError: if ``segments_per_block`` is below 1.
            AudioReadError: for an unreadable file; a damaged file may yield blocks first.
        """
        yield from iter_blocks(
            self,
            path,
            offset=offset,
            duration=duration,
            segments_per_block=segments_per_block,
            device=device,
        )


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


@lru_cache(maxsize=64)
def _cached_mel_bank(
    bins: int, fft_bins: int, rate: int, fmin: float, fmax: float, precision: torch.dtype
) -> torch.Tensor:
    return kaldi_mel_bank(bins, fft_bins, rate, fmin, fmax, precision)


__all__ = ["AuricleFeatureExtractor", "SegmentBlock"]
