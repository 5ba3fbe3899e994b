"""Log-mel spectrograms as pure functions: mel banks, windows and the PaSST front end."""

import math

import torch

KALDI_MEL_SCALE = 1127.0
KALDI_MEL_CORNER_HZ = 700.0


def kaldi_mel_bank(
    num_mel_bins: int,
    num_fft_bins: int,
    sampling_rate: int,
    fmin: float,
    fmax: float,
    dtype: torch.dtype = torch.float64,
) -> torch.Tensor:
    """
    Triangular mel filters as Kaldi defines them.

    Triangles of peak 1 whose corners are evenly spaced on ``mel(f) = 1127 ln(1 + f / 700)`` and whose sides are
    linear on the mel axis. The weight of the Nyquist bin is zero.

    Args:
        num_mel_bins: number of filters.
        num_fft_bins: bins of the one-sided spectrum, Nyquist included.
        sampling_rate: in Hz.
        fmin, fmax: lower edge of the first and upper edge of the last filter, in Hz.
        dtype: precision of the computation. Kaldi's is single; it shows in filters that just touch one bin.

    Returns:
        ``(num_mel_bins, num_fft_bins)`` float32, values 0 to 1.

    Raises:
        ValueError: unless ``0 <= fmin < fmax <= sampling_rate / 2``.
    """
    if not 0 <= fmin < fmax <= sampling_rate / 2:
        raise ValueError(
            f"mel range fmin={fmin}, fmax={fmax} Hz; it must satisfy 0 <= fmin < fmax <= {sampling_rate / 2}."
        )

    edges = torch.tensor([fmin, fmax], dtype=torch.float64)
    low, high = (KALDI_MEL_SCALE * torch.log1p(edges / KALDI_MEL_CORNER_HZ)).tolist()
    if dtype is torch.float64:
        corners = torch.linspace(low, high, num_mel_bins + 2, dtype=dtype)
    else:
        corners = low + torch.arange(num_mel_bins + 2, dtype=dtype) * ((high - low) / (num_mel_bins + 1))
    left, center, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    hertz = torch.arange(num_fft_bins - 1, dtype=dtype) * (sampling_rate / (2 * (num_fft_bins - 1)))
    ratio = hertz[None] / KALDI_MEL_CORNER_HZ
    # In single precision Kaldi's filters come out bit by bit only if each step is written as it writes it.
    mels = KALDI_MEL_SCALE * (torch.log1p(ratio) if dtype is torch.float64 else (1.0 + ratio).log())
    triangles = torch.minimum((mels - left) / (center - left), (right - mels) / (right - center)).clamp(min=0)
    return torch.nn.functional.pad(triangles, (0, 1)).float()


def passt_log_mel(
    waveforms: torch.Tensor,
    mel_bank: torch.Tensor,
    *,
    n_fft: int = 1024,
    hop_length: int = 320,
    win_length: int = 800,
    preemphasis: float = 0.97,
) -> torch.Tensor:
    """
    PaSST's input: pre-emphasis, power spectrum, mel filters, natural log, fixed scaling.

    ``(ln(mel + 1e-5) + 4.5) / 5``; digital silence is -1.40259. The window is a symmetric Hann, centred in
    the FFT frame; frames are centred with reflection at both ends.

    Args:
        waveforms: float32 ``(clips, samples)``, full scale at -1 and 1, at least ``n_fft / 2 + 2`` samples.
        mel_bank: ``(mel bins, n_fft / 2 + 1)`` for all clips, or ``(clips, mel bins, n_fft / 2 + 1)``.
        n_fft, hop_length, win_length: in samples.
        preemphasis: share of the previous sample that is subtracted.

    Returns:
        ``(clips, frames, mel bins)`` float32 with ``frames = 1 + (samples - 1) // hop_length``.

    Raises:
        ValueError: if the waveforms are not 2-D or too short to reflect.
    """
    if waveforms.dim() != 2 or waveforms.shape[1] < n_fft // 2 + 2:
        raise ValueError(
            f"waveforms have shape {tuple(waveforms.shape)}; needed: (clips, samples) with at least "
            f"{n_fft // 2 + 2} samples."
        )
    # Half precision would lose the quiet bins, so an autocast around the caller must not reach in here.
    with torch.autocast(waveforms.device.type, enabled=False):
        waveforms = waveforms.float()
        emphasised = waveforms[:, 1:] - preemphasis * waveforms[:, :-1]
        window = torch.hann_window(win_length, periodic=False, dtype=torch.float32, device=waveforms.device)
        spectrum = torch.stft(
            emphasised,
            n_fft,
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        mels = torch.matmul(mel_bank.to(waveforms.device), power)
        return (((mels + 1e-5).log() + 4.5) / 5.0).transpose(1, 2).contiguous()


def num_frames(samples: int, hop_length: int) -> int:
    """Number of frames of [`passt_log_mel`] for ``samples`` samples: ``1 + (samples - 1) // hop_length``."""
    return 1 + math.floor((samples - 1) / hop_length)
