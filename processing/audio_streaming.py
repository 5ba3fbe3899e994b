"""Reading sound files of any length piece by piece, in bounded memory."""

import os
from collections.abc import Iterable, Iterator

import numpy as np

from .audio_reading import AudioReadError, native_path, read_audio
from .sound_mix import is_mix

try:
    import soundfile
except (ImportError, OSError):  # OSError: the package is there but libsndfile is not
    soundfile = None
try:
    import soxr
except ImportError:
    soxr = None

PIECE_SECONDS = 10.0
HEAD_SECONDS = 0.01


def stream_waveform(
    path: str | os.PathLike[str],
    *,
    sampling_rate: int,
    offset: float = 0.0,
    duration: float | None = None,
    piece_seconds: float = PIECE_SECONDS,
) -> Iterator[np.ndarray]:
    """
    The waveform that reading a file at once gives, in pieces.

    Put together, the pieces are the very samples of `load_waveform` where the file has the wanted rate already
    (to 1e-6 for MP3, whose decoder rounds at the edges). Where it has not, soxr's stream resampler of the same
    quality carries its state from piece to piece: the samples agree to within 1e-5.

    Args:
        path: any format that libsndfile decodes.
        sampling_rate: wanted rate in Hz.
        offset: where to start, in seconds.
        duration: how much to read, in seconds; None reads to the end.
        piece_seconds: how much of the file is decoded at a time.

    Yields:
        Mono float32 ``(samples,)``, at least one sample each.

    Raises:
        AudioReadError: as `read_audio`. The head of the file is checked before the first piece; a defect
            further on is reported when the stream gets there.
        ImportError: `soundfile`, or for another rate `soxr`, is not installed.
    """
    # A few samples through the careful reader finds everything that the header or the arguments have wrong.
    head = duration if duration is not None and not duration > HEAD_SECONDS else HEAD_SECONDS
    _, rate = read_audio(path, offset=offset, duration=head)
    pieces = _decode(os.fspath(path), offset, duration, piece_seconds)
    yield from pieces if rate == sampling_rate else _resample(pieces, rate, sampling_rate)


def regroup(pieces: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """
    Pieces of any length to pieces of exactly ``length`` samples; the last one may be shorter, never empty.

    Args:
        pieces: float32 ``(samples,)`` each.
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
        yield from samples[:whole].reshape(-1, length)
        # A copy: a view would keep the whole piece in memory.
        waiting, held = [samples[whole:].copy()], held - whole
    if held:
        yield np.concatenate(waiting)


def _decode(path: str, offset: float, duration: float | None, piece_seconds: float) -> Iterator[np.ndarray]:
    """Mono pieces at the file's own rate; the head of the file has been checked."""
    if is_mix(path):
        # Mixes are of clips, not of recordings of hours: they are rendered at once.
        yield read_audio(path, offset=offset, duration=duration)[0]
        return
    try:
        with soundfile.SoundFile(native_path(path)) as file:
            rate = file.samplerate
            start = round(offset * rate)
            left = file.frames - start
            if duration is not None:
                left = min(left, max(round(duration * rate), 1))
            # An MP3 header estimates the length; every other format knows it.
            slack = 2 * 1152 + file.frames // 20 if file.format == "MP3" else 0
            if start:
                file.seek(start)
            while left > 0:
                wanted = min(left, max(round(piece_seconds * rate), 1))
                channels = file.read(wanted, dtype="float32", always_2d=True)
                if len(channels):
                    yield _mono(channels, path, start)
                start, left = start + len(channels), left - len(channels)
                if len(channels) < wanted:
                    break
            if left > slack:
                raise AudioReadError(
                    f"{path}: the file is truncated: it ends after {start / rate:.6g} s, {left} samples early"
                )
    except soundfile.SoundFileError as error:
        raise AudioReadError(f"{path}: the file is damaged and cannot be decoded ({error})") from error


def _mono(channels: np.ndarray, path: str, start: int) -> np.ndarray:
    waveform = channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1, dtype=np.float32)
    finite = np.isfinite(waveform)
    if not finite.all():
        raise AudioReadError(
            f"{path}: sample {start + int(np.flatnonzero(~finite)[0])} is NaN or infinite; every sample must be "
            "a finite number"
        )
    return np.ascontiguousarray(waveform, dtype=np.float32)


def _resample(pieces: Iterator[np.ndarray], source_rate: int, target_rate: int) -> Iterator[np.ndarray]:
    if soxr is None:
        raise ImportError(
            f"resampling from {source_rate} to {target_rate} Hz needs the package 'soxr': pip install soxr"
        )
    stream = soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32", quality="HQ")
    held = next(pieces)
    first, made = held, 0
    for piece in pieces:
        resampled = stream.resample_chunk(held)
        made += len(resampled)
        if len(resampled):
            yield resampled
        held = piece
    resampled = stream.resample_chunk(held, last=True)
    if len(resampled):
        yield resampled
    elif not made:  # fewer samples than one of the target's
        yield first.mean(keepdims=True)


__all__ = ["regroup", "stream_waveform"]
