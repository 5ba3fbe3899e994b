"""Reads a sound file, or a part of it, as a float32 waveform at a given rate.

One reader for the whole project. Decoders disagree about the length of the same Ogg or MP3 file, so clips would
get features that depend on the installed decoder. Needs numpy, plus `soundfile` (libsndfile) and `av` (PyAV,
FFmpeg's libraries) to decode and `soxr` to resample; each is imported when it is used.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .channel_mixing import mix_channels, total_power
from .file_remarks import add_remark
from .frame_decoding import have_av
from .resampling import (
    MAX_SAMPLING_RATE,
    MIN_SAMPLING_RATE,
    check_rate,
    resample,
    resample_channels,
)
from .sndfile_part import require_soundfile, sndfile_formats
from .sound_formats import endings_of
from .sound_mix import MixError, is_mix, read_mix, render_mix
from .sound_opening import SoundDecoder, open_sound
from .sound_source import AudioReadError, SoundSource

MAX_CHANNELS = 32
SILENCE_PEAK = 1e-6
# What may be read into memory at once: 8 GB of float32. A small file can decode to days of silence.
MOST_SAMPLES_AT_ONCE = 1 << 31


def supported_audio_extensions() -> frozenset[str]:
    """Lower-case file extensions, with the dot, of the formats that the installed decoders read.

    Folders are searched for files with these extensions; the content of a file decides how it is read. Headerless
    formats (RAW) are omitted, since such a file does not state its rate.

    Raises:
        ImportError: Neither `soundfile` nor `av` is installed.
    """
    if not have_av():
        require_soundfile()
    return endings_of(sndfile_formats(), have_av())


def read_channels(
    source: Any, *, offset: float = 0.0, duration: float | None = None, name: str | None = None
) -> tuple[np.ndarray, int]:
    """Decode a recording, or a part of it, with all channels.

    Args:
        source: A path of any format libsndfile or FFmpeg decodes (WAV, FLAC, Ogg, MP3, MP4, Matroska, WMA, ...) or
            of a mix file (see `sound_mix`); bytes of such a file; or a binary file object that can seek.
        offset: Where to start, in seconds, at least 0 and before the end of the sound.
        duration: How much to read, in seconds, above 0; `None` reads to the end. A part that reaches beyond
            the end is cut there.
        name: Name of the sound in messages; its path by default.

    Returns:
        Float32 (samples, channels), full scale at -1 and 1, never empty, and the sound's own sampling rate in Hz.
        The encoder's delay and padding are removed if the file states them; joined files are one sound.

    Raises:
        AudioReadError: The file is missing, a directory, unreadable, empty, not audio, encrypted, without samples,
            truncated, contains NaN or infinite samples, has a rate outside 1,000 to 768,000 Hz, or ends before
            `offset`; it is too long to be read at once; or `offset` or `duration` is out of range. A defect after the
            requested part is only found if the header shows it.
        ImportError: The package that decodes such a file is not installed.
    """
    check_part(name or _name_of(source), offset, duration)
    if _is_mix_path(source):
        with SoundSource(source):  # reports a missing file as of every other sound
            pass

        # The gains of a mix were chosen for channels averaged by the mean. Functions that call this one are not
        # named here: hashing functions by their contents, as datasets does, would not end.
        def load(part: str, *, sampling_rate: int, **span: Any) -> np.ndarray:
            samples, rate = read_channels(part, **span)
            return resample(mix_channels(samples, "mean"), source_rate=rate, target_rate=sampling_rate)

        try:
            waveform, rate = render_mix(source, load, offset=offset, duration=duration)
        except MixError as error:
            raise AudioReadError(str(error)) from error
        check_finite(waveform[:, None], _name_of(source))
        return waveform[:, None], rate
    with opened_sound(source, name) as (decoder, name):
        rate, total = decoder.rate, decoder.frames
        start, count = first_sample(decoder, name, offset), sample_count(rate, duration)
        wanted = count if total is None else (total - start if count is None else min(count, total - start))
        _check_memory(name, wanted or 0, decoder.channels)
        parts, held = [], 0
        for block in decoder.blocks(start, count, max(wanted or 1 << 20, 1)):
            parts.append(block)
            held += len(block)
            _check_memory(name, held, decoder.channels)
    if not held:
        raise beyond_the_end(name, offset, (decoder.frames or 0) / rate)
    samples = parts[0] if len(parts) == 1 else np.concatenate(parts)
    check_finite(samples, name)
    return samples, rate


def read_audio(
    source: Any,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    downmix: str = "active",
    name: str | None = None,
) -> tuple[np.ndarray, int]:
    """`read_channels`, with all channels mixed to one over the whole part.

    Args:
        source, offset, duration, name: See `read_channels`.
        downmix: `"active"`, the mean over channels that are not silent, or `"mean"`, over all channels; see
            `mix_channels`.

    Returns:
        The waveform, float32 (samples,), full scale at -1 and 1, never empty, and the file's own sampling
        rate in Hz.

    Raises:
        The same as `read_channels`.
    """
    samples, rate = read_channels(source, offset=offset, duration=duration, name=name)
    return mix_channels(samples, downmix, name=name or _name_of(source)), rate


def audio_seconds(source: Any) -> float:
    """Length of a sound in seconds, from its number of samples.

    Most headers state it exactly. Frames of MPEG and AAC streams are counted; Matroska, ASF and others that
    state it roughly are decoded once, and the length is cached while the file does not change.

    Raises:
        AudioReadError: The file is missing, unreadable or not audio.
        ImportError: The package that decodes such a file is not installed.
    """
    if _is_mix_path(source):
        try:
            return float(read_mix(source)["seconds"])
        except MixError as error:
            raise AudioReadError(str(error)) from error
    with opened_sound(source) as (decoder, _):
        return decoder.count_samples() / decoder.rate


def load_waveform(
    source: Any,
    *,
    sampling_rate: int,
    offset: float = 0.0,
    duration: float | None = None,
    downmix: str = "active",
    resampler: str = "soxr",
) -> np.ndarray:
    """`read_audio` followed by `resample`: float32 (samples,) at `sampling_rate` Hz; errors as theirs."""
    waveform, rate = read_audio(source, offset=offset, duration=duration, downmix=downmix)
    return resample(waveform, source_rate=rate, target_rate=sampling_rate, resampler=resampler)


def load_channels(
    source: Any,
    *,
    sampling_rate: int,
    offset: float = 0.0,
    duration: float | None = None,
    resampler: str = "soxr",
) -> np.ndarray:
    """`read_channels` at another rate: float32 (samples, channels), or (samples,) for a single channel."""
    samples, rate = read_channels(source, offset=offset, duration=duration)
    samples = samples[:, 0] if samples.shape[1] == 1 else samples
    return resample_channels(samples, source_rate=rate, target_rate=sampling_rate, resampler=resampler)


@contextmanager
def opened_sound(source: Any, name: str | None = None) -> Iterator[tuple[SoundDecoder, str]]:
    """A decoder of a path, bytes or file object, and the sound's name; adds the remarks on the file."""
    with SoundSource(source, name) as opened:
        decoder = open_sound(opened)
        try:
            check_rate(decoder.rate, opened.name)
            for note in decoder.notes:
                add_remark(opened.name, note)
            yield decoder, opened.name
        finally:
            decoder.close()


def first_sample(decoder: SoundDecoder, name: str, offset: float) -> int:
    """
    The sample at an offset in seconds.

    Raises:
        AudioReadError: if the sound ends before.
    """
    start = round(offset * decoder.rate)
    if not decoder.reaches(start):
        raise beyond_the_end(name, offset, (decoder.frames or 0) / decoder.rate)
    return start


def sample_count(rate: int, duration: float | None) -> int | None:
    """Number of samples of a duration in seconds, at least one; None means all."""
    return None if duration is None else max(round(duration * rate), 1)


def beyond_the_end(name: str, offset: float, end: float) -> AudioReadError:
    """The error for a part that starts after the end of the sound."""
    return AudioReadError(f"{name}: offset is {offset} s, but the file ends at {end:.6g} s")


def check_part(name: str, offset: float, duration: float | None) -> None:
    """
    Raises:
        AudioReadError: for an offset below 0, a duration of 0 or less, or a number that is not finite.
    """
    if not (np.isfinite(offset) and offset >= 0):
        raise AudioReadError(f"{name}: offset is {offset!r}, but must be a number of seconds, 0 or more")
    if duration is not None and not (np.isfinite(duration) and duration > 0):
        raise AudioReadError(f"{name}: duration is {duration!r}, but must be seconds above 0, or None")


def check_finite(samples: np.ndarray, name: str, start: int | None = None) -> None:
    """
    Args:
        samples: float32 ``(samples, channels)``.
        name: name of the sound.
        start: position of the first sample in the sound, if this is one of several pieces.

    Raises:
        AudioReadError: for NaN or infinite samples.
    """
    # What is not finite makes the sum of squares so, as may be a loud sound; then it is looked for.
    with np.errstate(over="ignore"):
        power = total_power(samples)
    if np.isfinite(power):
        return
    finite = np.isfinite(samples)
    if finite.all():
        return
    bad = np.flatnonzero(~finite.all(axis=1))
    if start is not None:
        raise AudioReadError(
            f"{name}: sample {start + bad[0]} is NaN or infinite; each must be a finite number"
        )
    raise AudioReadError(
        f"{name}: {bad.size} of {len(samples)} samples are NaN or infinite, the first at sample {bad[0]}"
    )


def to_mono(audio: Any, *, name: str = "the audio array") -> np.ndarray:
    """Convert a sound in memory to a mono float32 waveform, the mean over its channels.

    Args:
        audio: Array, tensor or (nested) list of (samples,), (channels, samples) or (samples, channels): of
            two axes the shorter one is the channel axis, with at most 32 channels. Floating-point
            values are used unchanged (full scale at -1 and 1); int16 and int32 are PCM and scaled so.
        name: Name of the sound in error messages.

    Returns:
        Float32 (samples,), never empty, all finite.

    Raises:
        AudioReadError: Another shape or type, no samples, or NaN or infinite values.
    """
    array = _as_float_array(audio, name)
    if array.ndim == 2:
        array = array.mean(axis=_channel_axis(array.shape, name), dtype=array.dtype)
    return to_channels(array, name=name)


def to_channels(audio: Any, *, name: str = "the audio array") -> np.ndarray:
    """`to_mono` without averaging: float32 (samples,) for one channel, else (samples, channels)."""
    array = _as_float_array(audio, name)
    if array.ndim == 2:
        array = array if _channel_axis(array.shape, name) == 1 else array.T
        array = array[:, 0] if array.shape[1] == 1 else array
    elif array.ndim != 1:
        raise AudioReadError(
            f"{name}: its shape is {array.shape}, but must be (samples,), (channels, samples) or "
            "(samples, channels)"
        )
    # A float64 value beyond float32's range becomes infinite here and is reported below.
    with np.errstate(over="ignore"):
        samples = np.ascontiguousarray(array, dtype=np.float32)
    check_finite(samples.reshape(len(samples), -1), name)
    return samples


def is_silent(waveform: np.ndarray) -> bool:
    """True if no sample of the waveform (any shape, full scale at 1) reaches 1e-6 (-120 dB)."""
    return waveform.size == 0 or float(np.abs(waveform).max()) < SILENCE_PEAK


def _is_mix_path(source: Any) -> bool:
    return isinstance(source, (str, os.PathLike)) and is_mix(source)


def _name_of(source: Any) -> str:
    return os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else "the sound"


def _check_memory(name: str, samples: int, channels: int) -> None:
    if samples * channels > MOST_SAMPLES_AT_ONCE:
        raise AudioReadError(
            f"{name}: {samples:,} samples of {channels} channels are too many to be read at once; give an offset "
            "and a duration, or read it as a stream"
        )


def _as_float_array(audio: Any, name: str) -> np.ndarray:
    if hasattr(audio, "detach"):  # a torch tensor, recognised without importing torch
        audio = audio.detach().cpu()
        if audio.is_floating_point():
            audio = audio.float()
        audio = audio.numpy()
    try:
        array = np.asarray(audio)
    except ValueError as error:
        raise AudioReadError(f"{name}: its rows have different lengths") from error
    if array.size == 0:
        raise AudioReadError(f"{name}: it contains no samples (shape {array.shape})")
    if array.dtype in (np.int16, np.int32):
        return array.astype(np.float64) / -float(np.iinfo(array.dtype).min)
    if not np.issubdtype(array.dtype, np.floating):
        raise AudioReadError(
            f"{name}: its values are of type {array.dtype}, but must be floating point (-1 to 1), int16 "
            "or int32"
        )
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _channel_axis(shape: tuple[int, ...], name: str) -> int:
    axis = 0 if shape[0] <= shape[1] else 1
    if shape[0] == shape[1] != 1:
        raise AudioReadError(f"{name}: shape {shape} does not show which axis is the channel axis")
    if shape[axis] > MAX_CHANNELS:
        raise AudioReadError(
            f"{name}: of shape {shape} the shorter axis would be {shape[axis]} channels, but at most "
            f"{MAX_CHANNELS} are accepted"
        )
    return axis


__all__ = [
    "MAX_SAMPLING_RATE",
    "MIN_SAMPLING_RATE",
    "AudioReadError",
    "audio_seconds",
    "is_silent",
    "load_channels",
    "load_waveform",
    "read_audio",
    "read_channels",
    "resample",
    "supported_audio_extensions",
    "to_channels",
    "to_mono",
]
