"""The front ends of the three towers: published settings, and the computation of normalised log-mel."""

from dataclasses import dataclass
from typing import Literal

import torch

from .kaldi_fbank import kaldi_fbank, num_kaldi_frames, without_mean
from .log_mel import num_frames

PATCH_FRAMES = 16
PCM16_SCALE = 32768.0


@dataclass(frozen=True)
class FrontEnd:
    """
    Settings of one tower's front end.

    Attributes:
        sampling_rate: in Hz.
        n_fft, hop_length, win_length: in samples.
        fmin, fmax: range of the mel filters in Hz.
        mel_precision: precision in which the filters are computed.
        mean, std: the log-mel is normalised to ``(x - mean) / (2 std)``; None if that is part of the front
            end itself.
        min_samples: shorter segments are padded with zeros to this number of samples.
        masks_padding: whether the tower takes a mask of real frames.
        trained_frames: number of frames that a ten-second segment is padded to; None does not pad.
    """

    sampling_rate: int
    n_fft: int
    hop_length: int
    win_length: int
    fmin: float
    fmax: float
    mel_precision: torch.dtype
    mean: float | None
    std: float | None
    min_samples: int
    masks_padding: bool = False
    trained_frames: int | None = None


FRONT_ENDS = {
    "passt": FrontEnd(32000, 1024, 320, 800, 0.0, 15000.0, torch.float64, None, None, 514),
    "beats": FrontEnd(
        16000, 512, 160, 400, 20.0, 8000.0, torch.float32, 15.41663, 6.55582, 2800, masks_padding=True
    ),
    # AudioSet's constants, which the released weights go with.
    "eat": FrontEnd(
        16000, 512, 160, 400, 20.0, 8000.0, torch.float32, -4.268, 4.569, 400, trained_frames=1024
    ),
}


def check_segment_length(front_end: str, samples: int, sampling_rate: int) -> None:
    """Raises ValueError if segments of ``samples`` samples are too short for a front end."""
    shortest = FRONT_ENDS[front_end].min_samples
    if samples < shortest:
        raise ValueError(
            f"segment_seconds={samples / sampling_rate:.6g} is too short for the front end {front_end!r}: it needs "
            f"at least {shortest / sampling_rate:.6g} s."
        )


def check_settings(
    front_end: str,
    *,
    sampling_rate: int,
    segment_seconds: float,
    mean: float | None,
    std: float | None,
    target_frames: int | None,
    padding_rule: str,
) -> None:
    """
    Raises a ValueError that names the setting that a front end does not support, and the accepted values.

    Args:
        front_end: name of the front end.
        sampling_rate, segment_seconds, mean, std, target_frames, padding_rule: see
            [`AuricleFeatureExtractor`].
    """
    preset = FRONT_ENDS[front_end]
    if segment_seconds <= 0:
        raise ValueError(f"segment_seconds={segment_seconds} must be above 0.")
    check_segment_length(front_end, round(segment_seconds * sampling_rate), sampling_rate)
    if preset.mean is None and not mean is std is None:
        raise ValueError(f"mean and std: the front end {front_end!r} has its own normalisation.")
    if std is not None and std <= 0:
        raise ValueError(f"std={std} must be above 0.")
    if target_frames is not None and (preset.trained_frames is None or target_frames < PATCH_FRAMES):
        raise ValueError(
            f"target_frames={target_frames}: only the front end 'eat' takes it, and at least {PATCH_FRAMES}."
        )
    if padding_rule not in ("exact", "reference"):
        raise ValueError(f"padding_rule={padding_rule!r}; known: 'exact', 'reference'.")


def frames_of_segment(front_end: str, samples: int, hop_length: int, win_length: int) -> int:
    """
    Number of frames of a segment of ``samples`` samples.

    EAT pads to whole patches, and ten seconds to the 1,024 frames of its training.
    """
    if front_end == "passt":
        return num_frames(samples, hop_length)
    frames = num_kaldi_frames(samples, win_length, hop_length)
    preset = FRONT_ENDS[front_end]
    if preset.trained_frames is None:
        return frames
    if samples == 10 * preset.sampling_rate:
        return preset.trained_frames
    return -(-frames // PATCH_FRAMES) * PATCH_FRAMES


def real_frame_counts(
    lengths: torch.Tensor,
    samples: int,
    *,
    hop_length: int,
    win_length: int,
    rule: Literal["exact", "reference"] = "exact",
) -> torch.Tensor:
    """
    How many Kaldi frames of a zero-padded segment are real.

    Args:
        lengths: int64 ``(segments,)``, real samples, at least ``win_length`` each.
        samples: number of samples of the padded segment.
        hop_length, win_length: in samples.
        rule: ``"exact"`` counts frames that contain only real samples; ``"reference"`` follows the published
            BEATs code: equal chunks of samples, independent of the hop, of which one real sample is enough.

    Returns:
        int64 ``(segments,)``.
    """
    if rule == "exact":
        return 1 + (lengths - win_length) // hop_length
    frames = num_kaldi_frames(samples, win_length, hop_length)
    chunk = samples // frames
    return ((lengths + chunk - 1) // chunk).clamp(max=frames)


def beats_log_mel(
    waveforms: torch.Tensor, mel_bank: torch.Tensor, *, mean: float, std: float, **settings
) -> torch.Tensor:
    """
    BEATs' input: Kaldi filter bank of 16-bit sample values with a Povey window, then ``(x - mean) / (2 std)``.

    Args:
        waveforms: float32 ``(segments, samples)``, full scale at -1 and 1.
        mel_bank: ``(mel bins, n_fft / 2 + 1)``.
        mean, std: of the log-mel over the training data.
        settings: settings of [`kaldi_fbank`].

    Returns:
        ``(segments, frames, mel bins)`` float32; digital silence is -2.39169 with the published constants.
    """
    fbank = kaldi_fbank(waveforms * PCM16_SCALE, mel_bank, window="povey", **settings)
    return fbank.sub_(mean).div_(2 * std)


def eat_log_mel(
    waveforms: torch.Tensor,
    mel_bank: torch.Tensor,
    lengths: torch.Tensor,
    target_frames: int,
    *,
    mean: float,
    std: float,
    **settings,
) -> torch.Tensor:
    """
    EAT's input: Kaldi filter bank of the waveform minus its mean, padded, then ``(x - mean) / (2 std)``.

    Padding comes before normalising, as in training: padded values are ``-mean / (2 std)`` = 0.46706 with the
    published constants, neither 0 nor silence.

    Args:
        waveforms: float32 ``(segments, samples)``, full scale at -1 and 1, zeros after each segment's end.
        mel_bank: ``(mel bins, n_fft / 2 + 1)``.
        lengths: int64 ``(segments,)``, real samples of each segment, at least one frame.
        target_frames: frames of the result; longer segments are cut.
        mean, std: of the log-mel over the training data.
        settings: settings of [`kaldi_fbank`].

    Returns:
        ``(segments, target_frames, mel bins)`` float32.
    """
    lengths = lengths.to(waveforms.device)
    fbank = kaldi_fbank(without_mean(waveforms, lengths), mel_bank, window="hanning", **settings)
    counts = real_frame_counts(
        lengths,
        waveforms.shape[1],
        hop_length=settings.get("hop_length", 160),
        win_length=settings.get("win_length", 400),
    )
    padding = torch.arange(fbank.shape[1], device=fbank.device) >= counts[:, None]
    fbank = fbank.masked_fill_(padding.unsqueeze(-1), 0.0)[:, :target_frames]
    fbank = torch.nn.functional.pad(fbank, (0, 0, 0, target_frames - fbank.shape[1]))
    return fbank.sub_(mean).div_(2 * std)


__all__ = [
    "FRONT_ENDS",
    "FrontEnd",
    "beats_log_mel",
    "check_segment_length",
    "check_settings",
    "eat_log_mel",
    "frames_of_segment",
    "real_frame_counts",
]
