"""What callers hand in as a sound, brought to one form: a mono waveform at the model's rate."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .audio_reading import AudioReadError, load_channels, load_waveform, read_audio, to_channels, to_mono
from .resampling import resample_channels


def as_clip_list(audio: Any) -> list[Any]:
    """
    Splits what was passed as ``audio`` into clips.

    A list or tuple of sounds is a batch. A path, an array or tensor (of one or two axes: two are channels), a
    dict, a decoder object or a flat list of numbers is one clip.

    Raises:
        ValueError: if there is no clip at all.
    """
    if isinstance(audio, (list, tuple)):
        if not audio:
            raise ValueError("audio is an empty list; give at least one sound.")
        if isinstance(audio[0], (int, float, np.number)):
            return [np.asarray(audio, dtype=np.float32)]
        return list(audio)
    return [audio]


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
        clip: a file path; an array, tensor or list of samples, mono or with channels; a dict with ``array``
            and ``sampling_rate``, or with ``path`` (and optionally ``offset`` and ``duration`` in seconds);
            or an audio object of the ``datasets`` library.
        sampling_rate: wanted rate in Hz.
        source_rate: rate in Hz of bare arrays. Files, dicts and audio objects state their own.
        position: place of the clip in its batch, for messages.
        downmix: ``"mean"`` averages channels here; with another rule they are kept, to be mixed by segments.
        resampler: as of `resample`.

    Returns:
        float32 ``(samples,)``, or ``(samples, channels)`` where several are kept; never empty.

    Raises:
        AudioReadError: if the sound cannot be read or holds no usable samples.
        ValueError: if a bare array comes without a rate, or the type is not known.
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

    if isinstance(clip, (str, os.PathLike)):
        return from_file(clip)
    if isinstance(clip, Mapping):
        return _from_mapping(clip, source_rate, name, from_file, from_array)
    if hasattr(clip, "get_all_samples"):  # the decoder that the datasets library returns
        samples = clip.get_all_samples()
        return from_array(samples.data, int(samples.sample_rate))
    if isinstance(clip, (np.ndarray, Sequence)) or hasattr(clip, "detach"):
        if source_rate is None:
            raise ValueError(
                f"{name} is a bare array: its sampling rate is needed and not guessed. Pass "
                f"sampling_rate=... or a dict with 'array' and 'sampling_rate'; this model works at "
                f"{sampling_rate} Hz and other rates are resampled."
            )
        return from_array(clip, source_rate)
    raise ValueError(
        f"{name} is a {type(clip).__name__}; accepted: a file path, an array or tensor, a dict with 'array' "
        "and 'sampling_rate', or an audio object of the datasets library."
    )


def name_of_clip(clip: Any, position: int) -> str:
    """What messages call a clip: its path, or its place in the batch."""
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
    if clip.get("path") is not None:
        return from_file(clip["path"], offset=clip.get("offset") or 0.0, duration=clip.get("duration"))
    raise ValueError(
        f"{name} is a dict with the keys {sorted(map(str, clip))}; it needs 'array' and "
        "'sampling_rate', or 'path'."
    )


__all__ = ["AudioReadError", "as_clip_list", "name_of_clip", "read_audio", "to_waveform"]
