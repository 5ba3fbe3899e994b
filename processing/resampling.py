"""Changes the sampling rate, of a whole sound or in pieces, with soxr or torchaudio."""

import importlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

try:
    import soxr
except ImportError:
    soxr = None

from .sound_source import AudioReadError

RESAMPLERS = ("soxr", "torchaudio")
MIN_SAMPLING_RATE = 1_000
MAX_SAMPLING_RATE = 768_000

# torchaudio keeps its filter for every phase, as many as the rates have without their common divisor: 128 MB here.
_LARGEST_KERNEL = 1 << 25
# torchaudio's defaults, spelt out: a later release must not change what a saved model hears.
_SINC = {"lowpass_filter_width": 6, "rolloff": 0.99, "resampling_method": "sinc_interp_hann"}


def check_rate(rate: float, name: str) -> None:
    """
    Raises:
        AudioReadError: for a rate outside 1,000 to 768,000 Hz.
    """
    if not MIN_SAMPLING_RATE <= rate <= MAX_SAMPLING_RATE:
        raise AudioReadError(
            f"{name}: the sampling rate is {rate} Hz, but must be {MIN_SAMPLING_RATE} to "
            f"{MAX_SAMPLING_RATE} Hz"
        )


def check_resampler(resampler: str) -> None:
    """
    Raises:
        ValueError: for an unknown resampler.
    """
    if resampler not in RESAMPLERS:
        raise ValueError(f"resampler={resampler!r}; known: {', '.join(map(repr, RESAMPLERS))}.")


def resample(
    waveform: np.ndarray, *, source_rate: int, target_rate: int, resampler: str = "soxr"
) -> np.ndarray:
    """
    Change the sampling rate of one channel.

    Args:
        waveform: Float (samples,).
        source_rate: Hz, 1,000 to 768,000.
        target_rate: Hz, 1,000 to 768,000.
        resampler: ``"soxr"``, its HQ (band-limited, linear-phase) quality; or ``"torchaudio"``, the default of
            torchaudio.functional.resample: a sinc of six zero crossings under a Hann window, as the published
            scripts of BEATs and EAT use.

    Returns:
        Float32, about samples * target_rate / source_rate long; the input itself if the rates are equal.
        Never empty unless the input is.

    Raises:
        AudioReadError: A rate out of range, or a waveform that is not one-dimensional.
        ImportError: The rates differ and the resampler is not installed.
        ValueError: Unknown resampler.
    """
    waveform = np.ascontiguousarray(waveform, dtype=np.float32)
    if waveform.ndim != 1:
        raise AudioReadError(f"resampling: the waveform has shape {waveform.shape}, but must be (samples,)")
    return resample_channels(waveform, source_rate=source_rate, target_rate=target_rate, resampler=resampler)


def resample_channels(
    samples: np.ndarray, *, source_rate: int, target_rate: int, resampler: str = "soxr"
) -> np.ndarray:
    """[`resample`] for one channel ``(samples,)`` or several ``(samples, channels)``, channel by channel."""
    check_rate(source_rate, "resampling")
    check_rate(target_rate, "resampling")
    check_resampler(resampler)
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    if source_rate == target_rate or samples.size == 0:
        return samples
    if resampler == "torchaudio":
        return _by_torchaudio(samples, source_rate, target_rate)
    resampled = require_soxr(source_rate, target_rate).resample(
        samples, source_rate, target_rate, quality="HQ"
    )
    if resampled.size == 0:  # fewer samples than one of the target's
        return samples.mean(axis=0, keepdims=True)
    return np.ascontiguousarray(resampled, dtype=np.float32)


def resample_pieces(
    pieces: Iterator[np.ndarray], *, source_rate: int, target_rate: int, resampler: str = "soxr"
) -> Iterator[np.ndarray]:
    """
    [`resample_channels`] for a sound in pieces, to within 1e-5 of full scale.

    Args:
        pieces: float32 ``(samples,)`` or ``(samples, channels)``, at least one.
        source_rate, target_rate, resampler: as there.

    Yields:
        float32 of the same form, at least one sample each.

    Raises:
        as `resample`.
    """
    check_rate(source_rate, "resampling")
    check_rate(target_rate, "resampling")
    check_resampler(resampler)
    if source_rate == target_rate:
        yield from pieces
    elif resampler == "torchaudio":
        yield from _pieces_by_torchaudio(pieces, source_rate, target_rate)
    else:
        yield from _pieces_by_soxr(pieces, source_rate, target_rate)


def _pieces_by_soxr(pieces: Iterator[np.ndarray], source_rate: int, target_rate: int) -> Iterator[np.ndarray]:
    library = require_soxr(source_rate, target_rate)
    held = next(pieces, None)
    if held is None:
        return
    channels = held.shape[1] if held.ndim == 2 else 1
    stream = library.ResampleStream(source_rate, target_rate, channels, dtype="float32", quality="HQ")
    first, made = held, 0
    for piece in pieces:
        resampled = stream.resample_chunk(held)
        made += len(resampled)
        if len(resampled):
            yield resampled
        held = piece
    resampled = stream.resample_chunk(held, last=True)
    if len(resampled):
        yield resampled
    elif not made:  # fewer samples than one of the target's
        yield first.mean(axis=0, keepdims=True)


def _by_torchaudio(samples: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    torch, torchaudio = require_torchaudio()
    divisor = math.gcd(source_rate, target_rate)
    if source_rate // divisor * (target_rate // divisor) > _LARGEST_KERNEL:
        raise AudioReadError(
            f"resampling: from {source_rate} to {target_rate} Hz torchaudio would need a filter of "
            f"{target_rate // divisor:,} phases for {source_rate // divisor:,} samples; soxr has no such limit"
        )
    # One row per channel, since the last axis is resampled.
    rows = torch.from_numpy(np.ascontiguousarray(samples.T))
    resampled = torchaudio.functional.resample(rows, source_rate, target_rate, **_SINC)
    return np.ascontiguousarray(resampled.numpy().T, dtype=np.float32)


def _pieces_by_torchaudio(
    pieces: Iterator[np.ndarray], source_rate: int, target_rate: int
) -> Iterator[np.ndarray]:
    """
    Blocks with as much of their neighbours as the filter reaches over.

    With both rates divided by their greatest divisor, ``o`` input samples become ``n`` output samples, and these
    depend on the ``width`` samples before and ``width + o`` after, ``width`` being the six zero crossings of the
    sinc at the lower rate.
    """
    divisor = math.gcd(source_rate, target_rate)
    source, target = source_rate // divisor, target_rate // divisor
    width = math.ceil(_SINC["lowpass_filter_width"] * source / (min(source, target) * _SINC["rolloff"]))
    margin = -(-(width + source) // source) * source
    held: np.ndarray | None = None
    before = 0  # samples of `held` that only the filter needs
    for piece in pieces:
        held = piece if held is None else np.concatenate([held, piece])
        ready = (len(held) - margin) // source * source
        if ready - before < max(source, 1):
            continue
        resampled = _by_torchaudio(held[: ready + margin], source_rate, target_rate)
        yield resampled[before // source * target : ready // source * target]
        keep = max(ready - margin, 0)
        held, before = held[keep:].copy(), ready - keep
    if held is None:
        return
    rest = _by_torchaudio(held, source_rate, target_rate)[before // source * target :]
    if len(rest):
        yield rest


def require_soxr(source_rate: int, target_rate: int) -> Any:
    """
    The module `soxr`.

    Raises:
        ImportError: it is not installed.
    """
    if soxr is None:
        raise ImportError(
            f"resampling from {source_rate} to {target_rate} Hz needs the package 'soxr': pip install soxr"
        )
    return soxr


def require_torchaudio() -> tuple[Any, Any]:
    """
    The modules `torch` and `torchaudio`, imported only when called.

    Raises:
        ImportError: torchaudio is not installed, or does not match the installed torch.
    """
    try:
        return importlib.import_module("torch"), importlib.import_module("torchaudio")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImportError(
            "resampler='torchaudio' needs the package 'torchaudio', of the release that goes with the installed "
            f"torch: pip install torchaudio ({reason})"
        ) from error


__all__ = [
    "MAX_SAMPLING_RATE",
    "MIN_SAMPLING_RATE",
    "RESAMPLERS",
    "check_rate",
    "check_resampler",
    "resample",
    "resample_channels",
    "resample_pieces",
]
