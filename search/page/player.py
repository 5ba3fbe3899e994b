"""What the page plays of an answer: the file, or of a long one the part around the moment."""

from dataclasses import dataclass
from io import BytesIO

from ..query.hits import Hit

LONG_SECONDS = 300.0
BEFORE_SECONDS, PART_SECONDS = 10.0, 60.0


@dataclass(frozen=True)
class Playable:
    """
    Attributes:
        path: of the file; None if it cannot be read.
        begin: seconds from the file's begin to that of the minute that is played; None for the whole of it.
        start: seconds from the begin of what is played to the moment.
        note: what to tell about it, or empty.
    """

    path: str | None
    begin: float | None
    start: float
    note: str


def playable(hit: Hit) -> Playable:
    """
    What is played of an answer. Of a file of more than five minutes it is one minute: a browser reads the whole of
    what it is given before it draws it.

    Args:
        hit: its file may be gone since it was indexed.
    """
    from ...processing.audio_reading import AudioReadError, opened_sound

    try:
        with opened_sound(hit.path) as (decoder, _):
            if hit.duration <= LONG_SECONDS:
                return Playable(hit.path, None, hit.start, "")
            begin = max(0.0, hit.start - BEFORE_SECONDS)
            seconds = hit.duration if decoder.frames is None else decoder.frames / decoder.rate
            end = max(begin, min(begin + PART_SECONDS, seconds))
            return Playable(hit.path, begin, hit.start - begin, f"plays {clock(begin)} to {clock(end)}")
    except (AudioReadError, OSError):
        return Playable(None, None, 0.0, "cannot be read any more: bring the index up to date")


def part_as_wav(path: str, begin: float) -> bytes:
    """
    A minute of a recording as a WAV file of 16 bits, in the recording's own rate and channels.

    Args:
        path: of the recording.
        begin: of the minute, seconds.

    Raises:
        OSError: if it cannot be read.
    """
    import numpy as np
    import soundfile

    from ...processing.audio_reading import AudioReadError, read_channels

    wav = BytesIO()
    try:
        samples, rate = read_channels(path, offset=begin, duration=PART_SECONDS)
        # Of 16-bit sound the very numbers; what is louder than full scale is cut off.
        values = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
        soundfile.write(wav, values, rate, format="WAV", subtype="PCM_16")
    except (AudioReadError, soundfile.SoundFileError) as error:
        raise OSError(str(error)) from error
    return wav.getvalue()


def clock(seconds: float) -> str:
    """``1:05.3`` of seconds, ``2:01:05.3`` from an hour on."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


__all__ = ["Playable", "clock", "part_as_wav", "playable"]
