"""Kaldi's log-mel filter bank as pure, batched functions on any device: the input of BEATs and EAT."""

import torch

# The smallest float32 step at 1: Kaldi's floor under the logarithm.
ENERGY_FLOOR = torch.finfo(torch.float32).eps


def kaldi_window(kind: str, length: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """
    A symmetric analysis window, float32 ``(length,)``.

    Args:
        kind: ``"hanning"``, or ``"povey"``, which is the former to the power of 0.85.
        length: in samples.
        device: device of the result.

    Raises:
        ValueError: for another ``kind``.
    """
    if kind not in ("hanning", "povey"):
        raise ValueError(f"window={kind!r}; known: 'hanning', 'povey'.")
    window = torch.hann_window(length, periodic=False, dtype=torch.float32, device=device)
    return window.pow(0.85) if kind == "povey" else window


@torch.no_grad()
def kaldi_fbank(
    waveforms: torch.Tensor,
    mel_bank: torch.Tensor,
    *,
    window: str = "povey",
    win_length: int = 400,
    hop_length: int = 160,
    n_fft: int = 512,
    preemphasis: float = 0.97,
) -> torch.Tensor:
    """
    Natural logarithm of mel filter energies, as Kaldi computes them without dither.

    Only whole frames are used. From each its mean is subtracted; it is pre-emphasised (its first sample also serves
    as the one before), windowed, padded with zeros to ``n_fft``, and its power spectrum is multiplied with the
    filters.

    Args:
        waveforms: float32 ``(clips, samples)``; each of at least ``win_length`` samples.
        mel_bank: ``(mel bins, n_fft / 2 + 1)``.
        window: ``"povey"`` or ``"hanning"``.
        win_length, hop_length, n_fft: in samples.
        preemphasis: share of the previous sample that is subtracted.

    Returns:
        ``(clips, frames, mel bins)`` float32 with ``frames = 1 + (samples - win_length) // hop_length``; at
        least ``ln(1.19e-7) = -15.94``.

    Raises:
        ValueError: if the waveforms are not 2-D or shorter than one frame.
    """
    if waveforms.dim() != 2 or waveforms.shape[1] < win_length:
        raise ValueError(
            f"waveforms have shape {tuple(waveforms.shape)}; needed: (clips, samples) with at least "
            f"{win_length} samples."
        )
    # Half precision would lose the quiet bins, so an autocast around the caller must not reach in here.
    with torch.autocast(waveforms.device.type, enabled=False):
        frames = waveforms.float().unfold(1, win_length, hop_length)
        frames = frames - frames.mean(dim=2, keepdim=True)
        # Written straight into the zero-filled FFT input: half the time of separate steps on a CPU.
        padded = frames.new_zeros(*frames.shape[:2], n_fft)
        emphasised = padded[..., :win_length]
        torch.mul(frames[..., :-1], -preemphasis, out=emphasised[..., 1:])
        torch.mul(frames[..., 0], -preemphasis, out=emphasised[..., 0])
        emphasised.add_(frames).mul_(kaldi_window(window, win_length, waveforms.device))
        spectrum = torch.fft.rfft(padded)
        power = spectrum.real.square() + spectrum.imag.square()
        energies = torch.matmul(power, mel_bank.to(waveforms.device).T)
        return energies.clamp_(min=ENERGY_FLOOR).log_()


def num_kaldi_frames(samples: int, win_length: int = 400, hop_length: int = 160) -> int:
    """Number of whole frames in ``samples`` samples: ``1 + (samples - win_length) // hop_length``, or 0."""
    return 0 if samples < win_length else 1 + (samples - win_length) // hop_length


def without_mean(waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """
    Subtracts the mean of the real samples; padding values are undefined afterwards.

    Args:
        waveforms: float32 ``(clips, samples)``, zeros after each clip's end.
        lengths: int64 ``(clips,)``, real samples, at least 1 each.

    Returns:
        float32 ``(clips, samples)``.
    """
    # In double precision: a last bit that came and went with the batch would move near-empty bins.
    means = waveforms.sum(dim=1, dtype=torch.float64) / lengths.to(waveforms.device)
    return waveforms - means.float()[:, None]


__all__ = ["kaldi_fbank", "kaldi_window", "num_kaldi_frames", "without_mean"]
