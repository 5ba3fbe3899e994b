"""Reads sound files of any length in pieces, in bounded memory."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .audio_reading import (
    beyond_the_end,
    check_finite,
    check_part,
    first_sample,
    opened_sound,
    read_channels,
    sample_count,
)
from .channel_mixing import check_downmix, mix_channels, remark_on_channels
from .resampling import resample_pieces
from .sound_mix import is_mix

PIECE_SECONDS = 10.0


def stream_waveform(
    source: Any,
    *,
    sampling_rate: int,
    offset: float = 0.0,
    duration: float | None = None,
    piece_seconds: float = PIECE_SECONDS,
    downmix: str = "active",
    resampler: str = "soxr",
) -> Iterator[np.ndarray]:
    """
    The waveform of a file in pieces; together they equal the waveform that is read at once.

    If the file has the wanted rate, the concatenated pieces equal `load_waveform`. Otherwise the resampler carries its
    state from piece to piece, and samples agree to within 1e-5. With ``downmix="active"`` each piece is mixed by its
    own samples.

    Args:
        source: a path, bytes or a binary file object, as of `read_channels`.
        sampling_rate: wanted rate in Hz.
        offset: where to start, in seconds.
        duration: how much to read, in seconds; None reads to the end.
        piece_seconds: how much of the file is decoded at a time.
        downmix: as of `read_audio`.
        resampler: as of `resample`.

    Yields:
        Mono float32 ``(samples,)``, at least one sample each.

    Raises:
        AudioReadError: as in `read_channels`. Errors in the header or the arguments are raised before the first
            piece; a defect later in the file when the stream reaches it.
        ImportError: a required package is not installed.
    """
    check_downmix(downmix)
    name = os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else None
    pieces = _decoded(source, offset, duration, piece_seconds)
    rate = next(pieces)
    mixed = (mix_channels(piece, downmix, name=name) for piece in pieces)
    yield from resample_pieces(mixed, source_rate=rate, target_rate=sampling_rate, resampler=resampler)


def stream_channels(
    source: Any,
    *,
    sampling_rate: int,
    offset: float = 0.0,
    duration: float | None = None,
    piece_seconds: float = PIECE_SECONDS,
    resampler: str = "soxr",
) -> Iterator[np.ndarray]:
    """
    [`stream_waveform`] with all channels; the pieces together equal the result of `load_channels`.

    Yields:
        Float32 ``(samples, channels)``, or ``(samples,)`` for a single channel.
    """
    pieces = _decoded(source, offset, duration, piece_seconds)
    rate = next(pieces)
    formed = (piece[:, 0] if piece.shape[1] == 1 else piece for piece in pieces)
    yield from resample_pieces(formed, source_rate=rate, target_rate=sampling_rate, resampler=resampler)


@dataclass(frozen=True)
class SoundMeasure:
    """
    Attributes:
        seconds: length.
        rate: Hz.
        peak: largest magnitude of a sample in any channel; full scale is 1.
    """

    seconds: float
    rate: int
    peak: float


def measure_sound(source: Any, *, offset: float = 0.0, duration: float | None = None) -> SoundMeasure:
    """
    Decodes a recording, or a part of it, to its end. Memory does not grow with its length.

    Remarks on the file, for example on channels that cancel, are passed to `add_remark`.

    Args:
        source, offset, duration: as of `read_channels`.

    Raises:
        The same as `read_channels`, without the limit on the length.
    """
    pieces = _decoded(source, offset, duration, PIECE_SECONDS)
    rate = next(pieces)
    samples, peak = 0, 0.0
    name = os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else "the sound"
    for piece in pieces:
        remark_on_channels(piece, name)
        samples += len(piece)
        peak = max(peak, float(np.abs(piece).max()))
    return SoundMeasure(samples / rate, rate, peak)


def regroup(pieces: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """
    Regroups pieces of any length into pieces of exactly ``length`` samples; the last one may be shorter, never empty.

    Args:
        pieces: float32 ``(samples,)`` or ``(samples, channels)`` each.
        length: samples, at least 1.
    """
    waiting: list[np.ndarray] = []
    held = 0
    for piece in pieces:
        waiting.append(piece)
        held += len(piece)
        if held < length:
            continue
        samples = np.concatenate(waiting)
        whole = held - held % length
        yield from samples[:whole].reshape(-1, length, *samples.shape[1:])
        # A copy: a view would keep the whole piece in memory.
        waiting, held = [samples[whole:].copy()], held - whole
    if held:
        yield np.concatenate(waiting)


def _decoded(source: Any, offset: float, duration: float | None, piece_seconds: float) -> Iterator[Any]:
    """The sound's rate in Hz, and then its pieces, float32 ``(samples, channels)``."""
    if isinstance(source, (str, os.PathLike)) and is_mix(source):
        # Mixes are short clips, never hours: they are rendered at once.
        samples, rate = read_channels(source, offset=offset, duration=duration)
        yield rate
        yield samples
        return
    check_part(
        os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else "the sound", offset, duration
    )
    with opened_sound(source) as (decoder, name):
        rate = decoder.rate
        start, place = first_sample(decoder, name, offset), 0
        yield rate
        for piece in decoder.blocks(start, sample_count(rate, duration), max(round(piece_seconds * rate), 1)):
            check_finite(piece, name, start + place)
            place += len(piece)
            yield piece
        if not place:
            raise beyond_the_end(name, offset, (decoder.frames or 0) / rate)


__all__ = ["SoundMeasure", "measure_sound", "regroup", "stream_channels", "stream_waveform"]
