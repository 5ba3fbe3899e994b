"""Audio that the page plays for a result: the original file, a WAV conversion, or a part around the moment."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np

from ....processing import AudioReadError
from ....processing.audio_reading import opened_sound
from ....processing.audio_streaming import stream_channels
from ....processing.channel_mixing import mix_channels
from ....processing.sound_source import SoundSource
from ...query.hits import Hit
from .browser_formats import HIGHEST_RATE, LOWEST_RATE, MOST_CHANNELS, browser_media_type

LONG_SECONDS = 300.0
PEAKS = 300
# Of a picture: enough for the loudest of so many parts, whatever the sound's own rate.
PEAK_RATE = 8_000
BEFORE_SECONDS, PART_SECONDS = 10.0, 60.0
_FULL_SCALE = 1 << 15


@dataclass(frozen=True)
class Playable:
    """
    Attributes:
        path: path of the file; None if it cannot be read.
        begin: start of the served part in the file, seconds; None serves the whole file unchanged.
        start: start of the moment within the served sound, seconds.
        note: remark for the user, or empty.
        seconds: length of the part; None means up to the end.
        media_type: media type of the served sound.
    """

    path: str | None
    begin: float | None
    start: float
    note: str
    seconds: float | None = None
    media_type: str = "audio/wav"


def playable(hit: Hit) -> Playable:
    """
    Chooses what a page plays for a result: the original file if browsers play its format, otherwise a WAV file.

    For a file of more than five minutes it is one minute around the moment, since a browser reads a whole sound before
    it draws it.

    Args:
        hit: a result; its file may have been removed since it was indexed.
    """
    try:
        with SoundSource(hit.path) as source:
            kind = browser_media_type(source) if hit.duration <= LONG_SECONDS else None
        if kind is not None:
            return Playable(hit.path, None, hit.start, "", media_type=kind)
        with opened_sound(hit.path) as (decoder, _):
            rate, frames = decoder.rate, decoder.frames
    except (AudioReadError, OSError):
        return Playable(None, None, 0.0, "cannot be read any more: bring the index up to date")
    notes = []
    begin, seconds = 0.0, None
    if hit.duration > LONG_SECONDS:
        length = hit.duration if frames is None else frames / rate
        begin, seconds = max(0.0, hit.start - BEFORE_SECONDS), PART_SECONDS
        notes.append(f"plays {clock(begin)} to {clock(max(begin, min(begin + seconds, length)))}")
    if rate > HIGHEST_RATE:
        notes.append(
            f"plays at {HIGHEST_RATE // 1000} kHz: nothing above {HIGHEST_RATE // 2000} kHz is heard"
        )
    return Playable(hit.path, begin, hit.start - begin, "; ".join(notes), seconds)


def part_as_wav(path: str, begin: float, seconds: float | None = PART_SECONDS) -> bytes:
    """
    A part of a recording as a 16-bit WAV file, which every browser plays.

    Rate and channels are the recording's own, except that rates outside 8 to 48 kHz become the nearest of both,
    and more than two channels are mixed to one, as for the index. Samples of 16 bits stay
    unchanged; others are rounded, without dither: the error of -98 dBFS is inaudible in a preview.

    Args:
        path: path of the recording.
        begin: start of the part, seconds.
        seconds: length of the part; None to the end.

    Raises:
        OSError: if it cannot be read.
    """
    import soundfile

    try:
        with opened_sound(path) as (decoder, _):
            rate = min(max(decoder.rate, LOWEST_RATE), HIGHEST_RATE)
        pieces = stream_channels(path, sampling_rate=rate, offset=begin, duration=seconds)
        samples = np.concatenate([_few_channels(piece) for piece in pieces])
    except AudioReadError as error:
        raise OSError(str(error)) from error
    wav = BytesIO()
    soundfile.write(wav, as_int16(samples), rate, format="WAV", subtype="PCM_16")
    return wav.getvalue()


def sound_peaks(path: str, begin: float, seconds: float | None, count: int = PEAKS) -> list[float]:
    """
    The waveform for display: the largest magnitude in each of equal parts, relative to the loudest part.

    Args:
        path: path of the recording.
        begin: start of the part, seconds.
        seconds: length of it; None to the end.
        count: parts at most; fewer of a sound with fewer samples.

    Returns:
        Numbers from 0 to 1, ``(count,)``; all 0 of silence.

    Raises:
        OSError: if it cannot be read.
    """
    try:
        pieces = stream_channels(path, sampling_rate=PEAK_RATE, offset=begin, duration=seconds)
        loudness = [np.abs(piece).reshape(len(piece), -1).max(axis=1) for piece in pieces]
    except AudioReadError as error:
        raise OSError(str(error)) from error
    parts = np.array_split(np.concatenate(loudness), count)
    peaks = np.array([part.max() for part in parts if len(part)], dtype=np.float64)
    return (peaks / (peaks.max() or 1.0)).round(3).tolist()


def as_int16(samples: np.ndarray) -> np.ndarray:
    """
    Samples as integers of 16 bits, of the same shape.

    Floating point has room above full scale, which 32-bit recorders and many mixes use. If it were cut off there,
    the sound would be distorted; so a part with a peak above 1 is scaled as a whole
    to a peak of full scale. Nothing is made louder.

    Args:
        samples: float32, full scale at -1 and 1.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    scaled = samples * np.float32(_FULL_SCALE / max(peak, 1.0))
    return np.clip(np.rint(scaled), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def _few_channels(piece: np.ndarray) -> np.ndarray:
    if piece.ndim == 1 or piece.shape[1] <= MOST_CHANNELS:
        return piece
    return mix_channels(piece, "active")


def clock(seconds: float) -> str:
    """``1:05.3`` of seconds, ``2:01:05.3`` from an hour on."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


__all__ = ["Playable", "as_int16", "clock", "part_as_wav", "playable", "sound_peaks"]
