"""Converts all accepted forms of a sound to a mono waveform at the model's rate."""

import io
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .audio_reading import (
    MAX_CHANNELS,
    AudioReadError,
    load_channels,
    load_waveform,
    read_audio,
    to_channels,
    to_mono,
)
from .resampling import resample_channels

ACCEPTED = (
    "a file path, the bytes of a file, an open file, an array or tensor, a dict with 'array' and 'sampling_rate', "
    "with 'bytes' or with 'path', or an audio object of the datasets library"
)


def as_clip_list(audio: Any) -> list[Any]:
    """
    Splits the argument ``audio`` into clips.

    Arrays and tensors are read as in all of transformers: ``(samples,)`` is one clip and ``(batch, samples)`` a
    batch of mono clips. Channels take a third axis, ``(batch, channels, samples)``, or a dict with ``array``. A
    sequence (list, tuple, column of a dataset, series) has one clip per item; a flat sequence of numbers is one
    clip.

    Raises:
        ValueError: if there is no clip, or an array may be either a batch or one clip with channels; the
            message names both readings.
    """
    if _is_one_clip(audio):
        return [audio]
    array = _as_numeric_array(audio)
    if array is not None:
        return _clips_of_array(array)
    if hasattr(audio, "to_pylist"):  # an array of pyarrow, whose items would be its own scalars
        audio = audio.to_pylist()
    if not isinstance(audio, Iterable):
        raise ValueError(f"audio is a {type(audio).__name__}; accepted: {ACCEPTED}, or a sequence of these.")
    clips = list(audio)
    if not clips:
        raise ValueError("audio is an empty list; give at least one clip.")
    if _is_number(clips[0]):
        return [np.asarray(clips)]
    lengths = {len(clip) if isinstance(clip, list | tuple) and _is_flat(clip) else 0 for clip in clips}
    if len(lengths) == 1 and lengths != {0}:
        _refuse_channels_last((len(clips), *lengths))
    return clips


def to_waveform(
    clip: Any,
    *,
    sampling_rate: int,
    source_rate: int | None,
    position: int = 0,
    downmix: str = "mean",
    resampler: str = "soxr",
) -> np.ndarray:
    """
    One sound as a waveform at ``sampling_rate``.

    Args:
        clip: a file path; the bytes of a sound file, or an open one; an array, tensor or list of samples, mono or
            with channels; a dict with ``array`` and ``sampling_rate``, or with ``bytes`` or ``path`` (and, if
            wanted, ``offset`` and ``duration`` in seconds), of which ``bytes`` comes first; or an audio object of
            the ``datasets`` library.
        sampling_rate: wanted rate in Hz.
        source_rate: rate in Hz of bare arrays. Files, dicts and audio objects state their own.
        position: index of the clip in its batch, for messages.
        downmix: ``"mean"`` averages channels here; with another rule they are kept, to be mixed segment by segment.
        resampler: as of `resample`.

    Returns:
        float32 ``(samples,)``, or ``(samples, channels)`` if channels are kept; never empty.

    Raises:
        AudioReadError: if the sound cannot be read or contains no usable samples.
        ValueError: if a bare array has no rate, or the type is unknown.
    """
    name = f"audio[{position}]"

    def from_file(source: Any, **span: Any) -> np.ndarray:
        options = {"sampling_rate": sampling_rate, "resampler": resampler, **span}
        return (
            load_waveform(source, downmix="mean", **options)
            if downmix == "mean"
            else load_channels(source, **options)
        )

    def from_array(array: Any, rate: int) -> np.ndarray:
        samples = (to_mono if downmix == "mean" else to_channels)(array, name=name)
        return resample_channels(samples, source_rate=rate, target_rate=sampling_rate, resampler=resampler)

    if _is_encoded(clip):
        return from_file(openable(clip, name))
    if isinstance(clip, Mapping):
        return _from_mapping(clip, source_rate, name, from_file, from_array)
    if hasattr(clip, "get_all_samples"):  # the decoder that the datasets library returns
        samples = clip.get_all_samples()
        return from_array(samples.data, int(samples.sample_rate))
    if hasattr(clip, "to_pylist"):
        clip = clip.to_pylist()
    if isinstance(clip, np.ndarray) or hasattr(clip, "detach") or isinstance(clip, Iterable):
        if source_rate is None:
            raise ValueError(
                f"{name} is a bare array: its sampling rate is needed and not guessed. Pass "
                f"sampling_rate=... or a dict with 'array' and 'sampling_rate'; this model works at "
                f"{sampling_rate} Hz and other rates are resampled."
            )
        if not isinstance(clip, np.ndarray) and not hasattr(clip, "detach"):
            clip = list(clip)
        return from_array(clip, source_rate)
    raise ValueError(f"{name} is a {type(clip).__name__}; accepted: {ACCEPTED}.")


def openable(source: Any, name: str) -> str | os.PathLike[str] | io.IOBase:
    """
    The source of an encoded sound for the reader: a path unchanged, bytes and unseekable streams as a file in memory.

    Args:
        source: a path, bytes, or an object with ``read``, which is read from its beginning.
        name: name of bytes in messages.

    Raises:
        AudioReadError: if there are no bytes, or the stream returns text.
    """
    if isinstance(source, str | os.PathLike):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
    elif getattr(source, "seekable", lambda: False)() and not isinstance(source, io.TextIOBase):
        source.seek(0)
        return source
    else:
        content = source.read()
        if not isinstance(content, bytes):
            raise AudioReadError(
                f"{name}: the file gives {type(content).__name__}; open it in binary mode ('rb')"
            )
        name = str(getattr(source, "name", name))
    if not content:
        raise AudioReadError(f"{name}: the file is empty (0 bytes)")
    file = io.BytesIO(content)
    file.name = f"{name} ({len(content)} bytes)"
    return file


def _is_encoded(value: Any) -> bool:
    return isinstance(value, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(value, "read")


def _is_one_clip(value: Any) -> bool:
    return _is_encoded(value) or isinstance(value, Mapping) or hasattr(value, "get_all_samples")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _is_flat(values: list | tuple) -> bool:
    return bool(values) and _is_number(values[0])


def _as_numeric_array(audio: Any) -> Any:
    """An array or a tensor of numbers, as it is; None for everything else, arrays of paths among it."""
    if hasattr(audio, "detach"):  # a torch tensor, recognised without importing torch
        return audio
    if isinstance(audio, np.ndarray) and audio.dtype.kind not in "OUSVT":
        return audio
    return None


def _clips_of_array(array: Any) -> list[Any]:
    if array.ndim == 1:
        return [array]
    if array.ndim == 2:
        _refuse_channels_last(tuple(array.shape))
    elif array.ndim != 3:
        raise ValueError(
            f"audio has the shape {tuple(array.shape)}; an array is (samples,), (batch, samples) or "
            "(batch, channels, samples)."
        )
    if not len(array):
        raise ValueError(f"audio has the shape {tuple(array.shape)}: no clip; give at least one clip.")
    return list(array)


def _refuse_channels_last(shape: tuple[int, int]) -> None:
    """
    Raises for two axes that look like (samples, channels), as soundfile gives them.

    A batch of clips of a few samples each is not sound, but neither may one clip with channels become thousands.
    """
    rows, columns = shape
    if 0 < columns <= MAX_CHANNELS and rows > columns:
        raise ValueError(
            f"audio has the shape {shape}, which can be read in two ways: as (batch, samples) it is {rows} clips "
            f"of {columns} samples each, as (samples, channels) one clip with {columns} channels. For the first, "
            "pass a list of 1-D arrays; for the second, a dict with 'array' and 'sampling_rate', or a list that "
            "contains the array."
        )


def name_of_clip(clip: Any, position: int) -> str:
    """The name of a clip in messages: its path, or its index in the batch."""
    path = clip.get("path") if isinstance(clip, Mapping) else clip
    return os.fsdecode(path) if isinstance(path, (str, os.PathLike)) else f"audio[{position}]"


def _from_mapping(
    clip: Mapping,
    source_rate: int | None,
    name: str,
    from_file: Callable[..., np.ndarray],
    from_array: Callable,
) -> np.ndarray:
    if clip.get("array") is not None:
        own_rate = clip.get("sampling_rate", source_rate)
        if own_rate is None:
            raise ValueError(f"{name} has an 'array' but no 'sampling_rate'.")
        return from_array(clip["array"], int(own_rate))
    # The usual row of the Hub has both; its path is a bare name, not a file on this machine.
    source = clip["bytes"] if clip.get("bytes") is not None else clip.get("path")
    if source is not None:
        span = {"offset": clip.get("offset") or 0.0, "duration": clip.get("duration")}
        return from_file(openable(source, str(clip.get("path") or name)), **span)
    raise ValueError(
        f"{name} is a dict with the keys {sorted(map(str, clip))}; it needs 'array' and "
        "'sampling_rate', 'bytes', or 'path'."
    )


__all__ = ["AudioReadError", "as_clip_list", "name_of_clip", "openable", "read_audio", "to_waveform"]
