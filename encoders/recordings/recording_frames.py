"""Frame features of parts of a recording, embedded where they are asked for."""

import os

import numpy as np

from ..interface import AudioTextEncoder, EncoderError


class RecordingFrames:
    """
    A recording's frames on one fixed grid: window after window from its start, each divided into frames.

    A window is embedded once, when a frame in it is first needed, so that the edges of a few moments in a
    recording of hours cost a few windows. A frame's vector does not depend on earlier calls.

    Args:
        encoder: with ``frame_seconds``.
        path: path of a sound file.
        duration: duration of the recording, in seconds.
        batch_size: windows at a time.

    Raises:
        EncoderError: if the encoder has no frame vectors.
    """

    def __init__(
        self,
        encoder: AudioTextEncoder,
        path: str | os.PathLike[str],
        duration: float,
        *,
        batch_size: int = 16,
    ):
        if encoder.frame_seconds is None:
            raise EncoderError(f"{encoder.name or encoder.kind}: has no frame vectors.")
        self.encoder, self.path, self.duration, self.batch_size = encoder, path, duration, batch_size
        self._windows: dict[int, np.ndarray] = {}

    def between(self, start: float, end: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """
        Frames that overlap a part of the recording.

        Args:
            start, end: seconds, clipped to the recording.

        Returns:
            Starts and ends in seconds ``(frames,)``, the last end at most the recording's, and unit vectors
            ``(frames, embedding_dim)``.

        Raises:
            AudioReadError: if the file cannot be read there.
        """
        window = self.encoder.window_samples / self.encoder.sampling_rate
        last = max(0, int(np.ceil(self.duration / window - 1e-6)) - 1)
        first_wanted = min(last, max(0, int(start // window)))
        last_wanted = min(last, max(first_wanted, int(np.ceil(end / window - 1e-6)) - 1))
        self._embed(range(first_wanted, last_wanted + 1), window)
        starts, vectors = [], []
        for number in range(first_wanted, last_wanted + 1):
            rows = self._windows[number]
            starts.append(number * window + np.arange(len(rows)) * self.encoder.frame_seconds)
            vectors.append(rows)
        begins, frames = np.concatenate(starts), np.concatenate(vectors)
        ends = np.minimum(begins + self.encoder.frame_seconds, self.duration)
        inside = (ends > max(0.0, start)) & (begins < min(end, self.duration)) & (ends > begins)
        return begins[inside], ends[inside], frames[inside]

    def _embed(self, numbers: range, window: float) -> None:
        waiting = [number for number in numbers if number not in self._windows]
        length = self.encoder.window_samples
        for place in range(0, len(waiting), self.batch_size):
            part = waiting[place : place + self.batch_size]
            waveforms = np.zeros((len(part), length), dtype=np.float32)
            real = []
            for row, number in zip(waveforms, part, strict=True):
                pieces = list(self.encoder.pieces(self.path, offset=number * window, duration=window))
                samples = np.concatenate(pieces)[:length] if pieces else np.zeros(0, dtype=np.float32)
                mixed = self.encoder.mix(samples, name=os.fspath(self.path)) if len(samples) else samples
                row[: len(mixed)] = mixed
                real.append(max(1, len(mixed)))
            rows = self.encoder.embed_frames(waveforms, real)
            for number, count, frames in zip(part, real, rows, strict=True):
                kept = int(np.ceil(count / self.encoder.sampling_rate / self.encoder.frame_seconds - 1e-6))
                self._windows[number] = frames[: max(1, kept)]


__all__ = ["RecordingFrames"]
