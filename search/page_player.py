"""What the page plays of an answer: the file, or of a long one the part around the moment."""

from dataclasses import dataclass
from typing import Any

from .hits import Hit

LONG_SECONDS = 300.0
BEFORE_SECONDS, PART_SECONDS = 10.0, 60.0


@dataclass(frozen=True)
class Playable:
    """
    Attributes:
        value: path of the file; or sampling rate and int16 samples ``(samples,)`` or ``(samples, channels)`` of a
            part of it; or None if it cannot be read.
        start: seconds from the value's begin to the moment.
        note: what to tell about it, or empty.
    """

    value: Any
    start: float
    note: str


def playable(hit: Hit) -> Playable:
    """
    The sound of an answer. Of a file of more than five minutes it is one minute: a browser reads the whole of what
    it is given before it draws it.

    Args:
        hit: its file may be gone since it was indexed.
    """
    import soundfile

    try:
        with soundfile.SoundFile(hit.path) as file:
            if hit.duration <= LONG_SECONDS:
                return Playable(hit.path, hit.start, "")
            begin = max(0.0, hit.start - BEFORE_SECONDS)
            file.seek(min(round(begin * file.samplerate), file.frames))
            samples = file.read(round(PART_SECONDS * file.samplerate), dtype="int16")
            end = begin + len(samples) / file.samplerate
            note = f"plays {clock(begin)} to {clock(end)}"
            return Playable((file.samplerate, samples), hit.start - begin, note)
    except (soundfile.SoundFileError, OSError):
        return Playable(None, 0.0, "cannot be read any more: bring the index up to date")


def clock(seconds: float) -> str:
    """``1:05.3`` of seconds, ``2:01:05.3`` from an hour on."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


__all__ = ["Playable", "clock", "playable"]
