"""The moment of a result as a WAV file, with the recording's sampling rate, channels and bit depth."""

from io import BytesIO
from pathlib import Path

import numpy as np

from ....files.file_names import portable_name
from ....processing import AudioReadError
from ....processing.audio_reading import read_channels

# WAV sample formats that keep libsndfile's formats exactly; others, such as MP3, become floating point.
_SUBTYPES = {
    "PCM_S8": "PCM_16",
    "PCM_U8": "PCM_16",
    "PCM_16": "PCM_16",
    "ULAW": "PCM_16",
    "ALAW": "PCM_16",
    "PCM_24": "PCM_24",
}
# libsndfile itself would scale by one step less than it was read by.
_WHOLE = {
    "PCM_16": lambda samples: np.clip(np.rint(samples * (1 << 15)), -(1 << 15), (1 << 15) - 1).astype(
        np.int16
    ),
    "PCM_24": lambda samples: (
        np.clip(np.rint(samples.astype(np.float64) * (1 << 23)), -(1 << 23), (1 << 23) - 1).astype(np.int32)
        << 8
    ),
    "FLOAT": lambda samples: samples,
}
# A WAV file's sizes have 32 bits.
MOST_SECONDS = 3600.0


def moment_as_wav(path: str, start: float, end: float) -> bytes:
    """
    A part of a recording as a WAV file, at its own rate and with all of its channels.

    Samples of 8, 16 and 24 bits keep their format; all others, including those of lossy formats, are written as 32-bit
    floating point, so that nothing is rounded or cut off.

    Args:
        path: path of the recording.
        start, end: of the part, seconds; an end after the end of the recording means its end.

    Raises:
        OSError: if it cannot be read.
    """
    import soundfile

    try:
        samples, rate = read_channels(path, offset=start, duration=min(end - start, MOST_SECONDS))
    except (AudioReadError, ValueError) as error:
        raise OSError(str(error)) from error
    wav = BytesIO()
    subtype = _subtype(path, samples)
    soundfile.write(wav, _WHOLE[subtype](samples), rate, format="WAV", subtype=subtype)
    return wav.getvalue()


def moment_name(path: str, start: float, end: float) -> str:
    """
    The name of a moment's file: the recording's name and the seconds, without characters that file systems refuse.
    """
    return portable_name(f"{Path(path).stem} {start:.1f}-{end:.1f} s.wav")


def _subtype(path: str, samples: np.ndarray) -> str:
    import soundfile

    try:
        told = _SUBTYPES.get(soundfile.info(path).subtype, "FLOAT")
    except (soundfile.LibsndfileError, OSError):
        return "FLOAT"
    # A file that was repaired while it was read may contain more than its format states.
    return told if float(np.abs(samples).max(initial=0.0)) <= 1.0 else "FLOAT"


__all__ = ["moment_as_wav", "moment_name"]
