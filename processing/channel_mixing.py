"""Mixes channels to one: their mean, or the mean of the channels that are not silent."""

import numpy as np

from .file_remarks import add_remark

DOWNMIXES = ("mean", "active")
# A channel whose RMS is below -90 dB of full scale carries no sound: 16-bit dither is lower.
_SOUNDING_POWER = 10.0 ** (-90 / 10)
# Channels cancel where their mean is more than 20 dB below the loudest of them.
_CANCELLED = 10.0 ** (-20 / 10)


def check_downmix(downmix: str) -> None:
    """
    Raises:
        ValueError: for an unknown rule.
    """
    if downmix not in DOWNMIXES:
        raise ValueError(f"downmix={downmix!r}; known: {', '.join(map(repr, DOWNMIXES))}.")


def mix_channels(samples: np.ndarray, downmix: str, *, name: str | None = None) -> np.ndarray:
    """
    Mixes the channels of a stretch of sound to one, using the samples of that stretch only.

    ``"mean"`` averages all channels, as the published encoders do. ``"active"`` averages those whose RMS in this
    stretch is above -90 dBFS, so that silent channels do not make a sound quieter; if that mean is more than
    20 dB below the loudest channel, as for a channel and its inverse, the loudest channel is used.

    Args:
        samples: float32 ``(samples, channels)`` or ``(samples,)``, all finite.
        downmix: one of [`DOWNMIXES`].
        name: name of the file; the remark that its channels cancel carries this name; see `add_remark`.

    Returns:
        float32 ``(samples,)``.

    Raises:
        ValueError: for another rule.
    """
    check_downmix(downmix)
    if samples.ndim == 1:
        return np.ascontiguousarray(samples, dtype=np.float32)
    if samples.shape[1] == 1 or not len(samples):
        return np.ascontiguousarray(samples[:, 0], dtype=np.float32)
    mean = samples.mean(axis=1, dtype=np.float32)
    if downmix == "mean":
        if name is not None:
            _remark_on_cancelling(samples, mean, name)
        return mean
    powers = _powers(samples)
    sounding = powers > _SOUNDING_POWER
    if sounding.any() and not sounding.all():
        # A copy with a single column would still be rounded by a mean.
        chosen = samples[:, sounding]
        mean = chosen[:, 0] if chosen.shape[1] == 1 else chosen.mean(axis=1, dtype=np.float32)
    if _cancels(mean, powers):
        if name is not None:
            add_remark(name, "its channels cancel each other: the loudest one is taken where they do")
        # Of equally loud channels always choose the same one, in spite of rounding.
        mean = samples[:, int(np.flatnonzero(powers >= 0.9 * powers.max())[0])]
    return np.ascontiguousarray(mean, dtype=np.float32)


def remark_on_channels(samples: np.ndarray, name: str) -> None:
    """
    Adds a remark if the channels of a stretch of sound cancel each other; mixes nothing.

    Args:
        samples: float32 ``(samples, channels)``, all finite.
        name: name of the file.
    """
    channels = samples.shape[1]
    if channels > 1 and len(samples):
        _remark_on_cancelling(samples, samples @ np.full(channels, 1 / channels, dtype=np.float32), name)


def _remark_on_cancelling(samples: np.ndarray, mean: np.ndarray, name: str) -> None:
    if _may_cancel(samples, mean) and _cancels(mean, _powers(samples)):
        add_remark(name, "its channels cancel each other: their mean is more than 20 dB below the loudest")


def _powers(samples: np.ndarray) -> np.ndarray:
    """Mean square of each channel, float64 ``(channels,)``."""
    return np.einsum("ij,ij->j", samples, samples, dtype=np.float64) / len(samples)


def _may_cancel(samples: np.ndarray, mean: np.ndarray) -> bool:
    """A cheap question first: the loudest channel has at most as much power as all of them together."""
    return float(np.dot(mean, mean)) < _CANCELLED * total_power(samples)


def total_power(samples: np.ndarray) -> float:
    """The sum of squares of float32 ``(samples, channels)`` in float32, without copying strided data."""
    if samples.flags.c_contiguous:
        flat = samples.reshape(-1)
        return float(np.dot(flat, flat))
    return float(sum(np.dot(channel, channel) for channel in samples.T))


def _cancels(mean: np.ndarray, powers: np.ndarray) -> bool:
    loudest = float(powers.max())
    power = float(np.einsum("i,i->", mean, mean, dtype=np.float64)) / len(mean)
    return loudest > _SOUNDING_POWER and power < _CANCELLED * loudest


__all__ = ["DOWNMIXES", "check_downmix", "mix_channels", "remark_on_channels", "total_power"]
