"""Reading sound: a file, or a part of it, to a mono float32 waveform at the rate that is asked for.

One reader for the whole project. Decoders disagree about the length of the same Ogg or MP3 file, so mixing
them would make a clip's features depend on what happens to be installed. Needs numpy, plus `soundfile`
(libsndfile) to decode and `soxr` to resample; both are only needed when they are used.
"""

import os
import re
import stat
from contextlib import nullcontext
from typing import Any, BinaryIO

import numpy as np

try:
    import soundfile
except (ImportError, OSError):  # OSError: the package is there but libsndfile is not
    soundfile = None
try:
    import soxr
except ImportError:
    soxr = None

from .sound_mix import MixError, is_mix, read_mix, render_mix

MIN_SAMPLING_RATE = 8_000
MAX_SAMPLING_RATE = 192_000
MAX_CHANNELS = 32
SILENCE_PEAK = 1e-6

# libsndfile clips a chunk that claims more bytes than the file holds and only notes it in its log, as
# "data : 96000 (should be 47978)". The outer RIFF and FORM sizes are left alone: harmless writers get them
# wrong. Wave64 notes only its outer size, which it spells in lower case.
_SHORT_CHUNK = re.compile(r"^\s*(?:data|SSND|Data Size|riff)\s*:\s*(\d+)\s*\(should be (\d+)\)", re.MULTILINE)
# Programs that write to a pipe cannot go back to fill in the size and leave a huge number.
_UNKNOWN_CHUNK_SIZE = 0x7FFF_F000
_UNKNOWN_FRAMES = 2**40
_LONGEST_OGG_PAGE = 27 + 255 + 255 * 255


class AudioReadError(ValueError):
    """Something is wrong with one sound. The message names the file (or array), the fault and the remedy."""


def supported_audio_extensions() -> frozenset[str]:
    """Lower-case file extensions, with the dot, of the formats that the installed libsndfile can decode.

    Headerless formats (RAW) are left out: nothing in such a file tells its rate.

    Raises:
        ImportError: `soundfile` is not installed.
    """
    formats = {name.lower() for name in _require_soundfile().available_formats()} - {"raw"}
    aliases = {"aiff": {"aif", "aifc"}, "ogg": {"oga", "opus"}, "au": {"snd"}, "wav": {"wave"}}
    for name, others in aliases.items():
        if name in formats:
            formats |= others
    return frozenset(f".{name}" for name in formats)


def read_audio(
    path: str | os.PathLike[str] | BinaryIO, *, offset: float = 0.0, duration: float | None = None
) -> tuple[np.ndarray, int]:
    """Decode a file, or only the part of it that is asked for, and average its channels.

    Args:
        path: Any format libsndfile decodes (WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF, ...), or a mix file (see
            `sound_mix`). An open binary file that can seek will do, standing at its beginning; messages call it
            by its `name`.
        offset: Where to start, in seconds, at least 0 and before the end of the file.
        duration: How much to read, in seconds, above 0; `None` reads to the end. A part that reaches beyond
            the end is what the file has left.

    Returns:
        The waveform, float32 (samples,), full scale at -1 and 1, never empty, and the file's own sampling
        rate in Hz.

    Raises:
        AudioReadError: The file is missing, a directory, unreadable, empty, not audio, without samples,
            truncated, holds NaN or infinite samples, has a rate outside 8,000 to 192,000 Hz, or ends before
            `offset`; or `offset` or `duration` is out of range. A defect behind the part that is asked for
            is only seen where the header gives it away.
        ImportError: `soundfile` is not installed.
    """
    library = _require_soundfile()
    source = path if hasattr(path, "read") else None
    path = os.fspath(path) if source is None else str(getattr(source, "name", "the open file"))
    if not (np.isfinite(offset) and offset >= 0):
        raise AudioReadError(f"{path}: offset is {offset!r}, but must be a number of seconds, 0 or more")
    if duration is not None and not (np.isfinite(duration) and duration > 0):
        raise AudioReadError(f"{path}: duration is {duration!r}, but must be seconds above 0, or None")
    if source is None:
        _check_openable(path)
        if is_mix(path):
            # By way of `load_waveform` two functions would name each other, and what hashes functions by their
            # contents, as datasets does for its cache, would never end.
            def load(part: str, *, sampling_rate: int, **span) -> np.ndarray:
                waveform, rate = read_audio(part, **span)
                return resample(waveform, source_rate=rate, target_rate=sampling_rate)

            try:
                return render_mix(path, load, offset=offset, duration=duration)
            except MixError as error:
                raise AudioReadError(str(error)) from error
    try:
        with library.SoundFile(native_path(path) if source is None else source) as file:
            rate = int(file.samplerate)
            _check_rate(rate, path)
            _check_complete(file, path, source)
            channels = _read_part(file, path, offset, duration)
    except AudioReadError:
        raise
    except (library.SoundFileError, TypeError, ValueError) as error:  # TypeError: a headerless .raw file
        raise AudioReadError(f"{path}: {_decoding_fault(error)}") from error
    waveform = channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1, dtype=np.float32)
    waveform = np.ascontiguousarray(waveform, dtype=np.float32)
    _check_samples(waveform, path)
    return waveform, rate


def audio_seconds(path: str | os.PathLike[str]) -> float:
    """Length of a file in seconds by its header, which for an MP3 file is an estimate; nothing is decoded.

    Raises:
        AudioReadError: The file is missing, unreadable, not audio, or its header leaves the length open.
        ImportError: `soundfile` is not installed.
    """
    library = _require_soundfile()
    path = os.fspath(path)
    _check_openable(path)
    if is_mix(path):
        try:
            return float(read_mix(path)["seconds"])
        except MixError as error:
            raise AudioReadError(str(error)) from error
    try:
        with library.SoundFile(native_path(path)) as file:
            if not 0 < file.frames < _UNKNOWN_FRAMES:
                raise AudioReadError(f"{path}: its header names no length")
            return file.frames / file.samplerate
    except (library.SoundFileError, TypeError, ValueError) as error:
        if isinstance(error, AudioReadError):
            raise
        raise AudioReadError(f"{path}: {_decoding_fault(error)}") from error


def resample(waveform: np.ndarray, *, source_rate: int, target_rate: int) -> np.ndarray:
    """Change the sampling rate with soxr's HQ (band-limited, linear-phase) quality.

    Args:
        waveform: Float (samples,).
        source_rate: Hz, 8,000 to 192,000.
        target_rate: Hz, 8,000 to 192,000.

    Returns:
        Float32, about samples * target_rate / source_rate long; the input itself where the rates are equal.
        Never empty unless the input is.

    Raises:
        AudioReadError: A rate out of range, or a waveform that is not one-dimensional.
        ImportError: The rates differ and `soxr` is not installed.
    """
    _check_rate(source_rate, "resampling")
    _check_rate(target_rate, "resampling")
    waveform = np.ascontiguousarray(waveform, dtype=np.float32)
    if waveform.ndim != 1:
        raise AudioReadError(f"resampling: the waveform has shape {waveform.shape}, but must be (samples,)")
    if source_rate == target_rate or waveform.size == 0:
        return waveform
    if soxr is None:
        raise ImportError(
            f"resampling from {source_rate} to {target_rate} Hz needs the package 'soxr': pip install soxr"
        )
    resampled = soxr.resample(waveform, source_rate, target_rate, quality="HQ")
    if resampled.size == 0:  # fewer samples than one of the target's
        return waveform.mean(keepdims=True)
    return np.ascontiguousarray(resampled, dtype=np.float32)


def load_waveform(
    path: str | os.PathLike[str] | BinaryIO,
    *,
    sampling_rate: int,
    offset: float = 0.0,
    duration: float | None = None,
) -> np.ndarray:
    """`read_audio` followed by `resample`: float32 (samples,) at `sampling_rate` Hz; errors as theirs."""
    waveform, rate = read_audio(path, offset=offset, duration=duration)
    return resample(waveform, source_rate=rate, target_rate=sampling_rate)


def to_mono(audio: Any, *, name: str = "the audio array") -> np.ndarray:
    """Turn a sound that is already in memory into a mono float32 waveform.

    Args:
        audio: Array, tensor or (nested) list of (samples,), (channels, samples) or (samples, channels): of
            two axes the shorter one holds the channels, of which there may be at most 32. Floating-point
            values are taken as they are (full scale at -1 and 1); int16 and int32 are PCM and scaled so.
        name: What error messages call the sound.

    Returns:
        Float32 (samples,), the mean over the channels, never empty, all finite.

    Raises:
        AudioReadError: Another shape or type, no samples, or NaN or infinite values.
    """
    array = _as_float_array(audio, name)
    if array.ndim == 2:
        array = array.mean(axis=_channel_axis(array.shape, name), dtype=array.dtype)
    elif array.ndim != 1:
        raise AudioReadError(
            f"{name}: its shape is {array.shape}, but must be (samples,), (channels, samples) or "
            "(samples, channels)"
        )
    # A float64 value beyond float32's range becomes infinite here and is reported below.
    with np.errstate(over="ignore"):
        waveform = np.ascontiguousarray(array, dtype=np.float32)
    _check_samples(waveform, name)
    return waveform


def is_silent(waveform: np.ndarray) -> bool:
    """True where no sample of the waveform (any shape, full scale at 1) reaches 1e-6 (-120 dB)."""
    return waveform.size == 0 or float(np.abs(waveform).max()) < SILENCE_PEAK


def _require_soundfile() -> Any:
    if soundfile is None:
        raise ImportError("reading audio files needs the package 'soundfile': pip install soundfile")
    return soundfile


def native_path(path: str) -> str | bytes:
    """The name as the file system has it: outside Windows any bytes, which need not be text."""
    return path if os.name == "nt" else os.fsencode(path)


def _check_openable(path: str) -> None:
    """Report what the file system has against the file; libsndfile calls it all "System error"."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise AudioReadError(f"{path}: is a directory, but must be an audio file")
        if not stat.S_ISREG(mode):
            raise AudioReadError(f"{path}: is not a regular file")
        with open(path, "rb") as file:
            if not file.read(1):
                raise AudioReadError(f"{path}: the file is empty (0 bytes)")
    except FileNotFoundError as error:
        raise AudioReadError(f"{path}: no such file") from error
    except OSError as error:
        raise AudioReadError(f"{path}: the file cannot be read ({error.strerror})") from error


def _check_rate(rate: float, name: str) -> None:
    if not MIN_SAMPLING_RATE <= rate <= MAX_SAMPLING_RATE:
        raise AudioReadError(
            f"{name}: the sampling rate is {rate} Hz, but must be {MIN_SAMPLING_RATE} to "
            f"{MAX_SAMPLING_RATE} Hz"
        )


def _check_samples(waveform: np.ndarray, name: str) -> None:
    finite = np.isfinite(waveform)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise AudioReadError(
            f"{name}: {bad.size} of {waveform.size} samples are NaN or infinite, the first at sample {bad[0]}"
        )


def _check_complete(file: Any, path: str, source: BinaryIO | None = None) -> None:
    for declared, present in _SHORT_CHUNK.findall(file.extra_info):
        if int(present) < int(declared) < _UNKNOWN_CHUNK_SIZE:
            raise AudioReadError(
                f"{path}: the file is truncated: its header declares {declared} bytes of sound, {present} "
                "are there"
            )
    if file.format == "OGG" and not _ends_ogg_stream(path, source):
        raise AudioReadError(f"{path}: the file is truncated: its Ogg stream has no end")


def _ends_ogg_stream(path: str, source: BinaryIO | None) -> bool:
    """Whether the last Ogg page is whole and says that the stream ends (RFC 3533, section 6).

    libsndfile plays what is there: a cut that leaves the last page's header goes unnoticed.
    """
    with open(path, "rb") if source is None else nullcontext(source) as file:
        place = file.tell()
        file.seek(max(file.seek(0, os.SEEK_END) - 2 * _LONGEST_OGG_PAGE, 0))
        tail = file.read()
        file.seek(place)
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & 4:
        return False
    segments = page[27 : 27 + page[26]]
    return len(segments) == page[26] and len(page) >= 27 + len(segments) + sum(segments)


def _read_part(file: Any, path: str, offset: float, duration: float | None) -> np.ndarray:
    """The frames asked for: float32 (frames, channels) with at least one frame."""
    rate, total = file.samplerate, file.frames
    if total <= 0:
        raise AudioReadError(f"{path}: the file holds no samples")
    if total >= _UNKNOWN_FRAMES:
        raise AudioReadError(
            f"{path}: its header leaves the length open, as streaming programs do; write it to a file again"
        )
    start = round(offset * rate)
    if start >= total:
        raise AudioReadError(f"{path}: offset is {offset} s, but the file ends at {total / rate:.6g} s")
    wanted = total if duration is None else max(round(duration * rate), 1)
    expected = min(wanted, total - start)
    if start:
        file.seek(start)
    channels = file.read(expected, dtype="float32", always_2d=True)
    # An MP3 header estimates the length; every other format knows it.
    slack = 2 * 1152 + total // 20 if file.format == "MP3" else 0
    if not len(channels) or len(channels) < expected - slack:
        raise AudioReadError(
            f"{path}: the file is truncated: {expected} frames expected from {offset} s on, "
            f"{len(channels)} decoded"
        )
    return channels


def _decoding_fault(error: Exception) -> str:
    text = str(error).split("': ", 1)[-1].strip().rstrip(".")
    # The last of these is what libsndfile says of an .mp3 file without a single MPEG frame.
    unknown = ("not recognised", "unknown format", "does not exist or is not a regular file")
    if isinstance(error, TypeError) or any(phrase in text for phrase in unknown):
        return "this is not an audio file, or one in a format that libsndfile cannot read"
    return f"the file is damaged or truncated and cannot be decoded (libsndfile: {text})"


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
        raise AudioReadError(f"{name}: it holds no samples (shape {array.shape})")
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
        raise AudioReadError(f"{name}: of shape {shape} it cannot be told which axis holds the channels")
    if shape[axis] > MAX_CHANNELS:
        raise AudioReadError(
            f"{name}: of shape {shape} the shorter axis would be {shape[axis]} channels, but at most "
            f"{MAX_CHANNELS} are accepted"
        )
    return axis
