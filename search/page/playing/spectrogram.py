"""A picture of a sound's frequencies over time."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np

from ....processing import AudioReadError
from ....processing.audio_reading import opened_sound
from ....processing.audio_streaming import stream_channels

COLUMNS, ROWS = 600, 96
WINDOW = 1024
# Of a long part so many windows a column are looked at, evenly spaced.
WINDOWS_A_COLUMN = 4
# Below the loudest point; what is quieter is black.
RANGE_DB = 80.0
# Below it, frequencies are shown evenly; above, by octaves (as the mel scale does).
BREAK_HZ = 700.0


@dataclass(frozen=True)
class Spectrogram:
    """
    Attributes:
        png: grey picture, `COLUMNS` wide and `ROWS` high at most; the loudest is white, the lowest frequency below.
        highest_hz: frequency of the top row, half of the sampling rate.
    """

    png: bytes
    highest_hz: float


def spectrogram(path: str, begin: float, seconds: float | None) -> Spectrogram:
    """
    The spectrogram of a sound, or of a part of it: of its loudest channel, by Hann windows of 1,024 samples, rows
    spaced by the mel scale.

    Args:
        path: path of the recording.
        begin: start of the part, seconds.
        seconds: length of the part; None to the end.

    Raises:
        OSError: if it cannot be read.
    """
    from PIL import Image

    try:
        with opened_sound(path) as (decoder, _):
            rate = decoder.rate
        pieces = stream_channels(path, sampling_rate=rate, offset=begin, duration=seconds)
        samples = np.concatenate([piece.reshape(len(piece), -1) for piece in pieces])
    except AudioReadError as error:
        raise OSError(str(error)) from error
    loudest = int(np.argmax(np.square(samples, dtype=np.float64).sum(axis=0)))
    grey = spectrogram_levels(samples[:, loudest], rate)
    png = BytesIO()
    Image.fromarray(np.round(255 * grey).astype(np.uint8)).save(png, format="PNG")
    return Spectrogram(png.getvalue(), rate / 2)


def spectrogram_levels(samples: np.ndarray, rate: int) -> np.ndarray:
    """
    Levels from 0 (`RANGE_DB` below the loudest, or quieter) to 1 (the loudest), ``(ROWS, columns)``, high ones first.

    Args:
        samples: samples of one channel, ``(samples,)``.
        rate: Hz.
    """
    padded = np.pad(samples.astype(np.float32), WINDOW // 2)
    columns = max(1, min(COLUMNS, len(samples) // (WINDOW // 4)))
    places = np.linspace(0, len(padded) - WINDOW, columns * WINDOWS_A_COLUMN).astype(np.int64)
    hann = np.hanning(WINDOW).astype(np.float32)
    power = np.empty((columns, WINDOW // 2 + 1), dtype=np.float32)
    for column, own in enumerate(places.reshape(columns, WINDOWS_A_COLUMN)):
        windows = np.stack([padded[place : place + WINDOW] for place in own]) * hann
        power[column] = (np.abs(np.fft.rfft(windows, axis=1)) ** 2).max(axis=0)
    edges = _edges(rate)
    rows = np.stack([power[:, low : max(high, low + 1)].max(axis=1) for low, high in edges])
    level = 10 * np.log10(np.maximum(rows, 1e-12))
    level -= level.max()
    silent = float(power.max()) < 1e-10
    return np.zeros_like(level[::-1]) if silent else np.clip(1 + level[::-1] / RANGE_DB, 0.0, 1.0)


def _edges(rate: int) -> list[tuple[int, int]]:
    """First bin and end bin (exclusive) of each row, the lowest row first."""
    top = np.log1p(rate / 2 / BREAK_HZ)
    hertz = BREAK_HZ * np.expm1(np.linspace(0.0, top, ROWS + 1))
    bins = np.minimum((hertz * WINDOW / rate).astype(int), WINDOW // 2)
    return list(zip(bins[:-1].tolist(), bins[1:].tolist(), strict=True))


__all__ = ["Spectrogram", "spectrogram", "spectrogram_levels"]
