"""Embeds windows of several files in batches of one size, so that a GPU is busy with short files too."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from ...processing import AudioReadError
from .pooled_recording import PooledRecording, WindowVectors
from .silent_windows import SilentWindows
from .window_cutting import CutPlace

# Rows of one file that are projected at a time, whatever the batches are: part of what a file's bits depend on.
ROWS_AT_A_TIME = 16
BATCHES_IN_FLIGHT = 2
# Silence and damaged files fill no batch; a batch that so many rows of a file wait for is sent before it is full, and
# one that so many files wait for, in batches.
MOST_ROWS_WAITING, MOST_BATCHES_OF_FILES = 256, 6


@dataclass
class _OpenFile:
    """
    A file whose windows are not all computed.

    Attributes:
        cuts, rows: of its windows in order, without those that the recording has taken; a row is None until its batch
            is computed.
        taken: how many the recording has taken.
        all_cut: whether all windows are in ``cuts``.
        error: the reason why it has no vectors.
    """

    path: str
    recording: PooledRecording
    cuts: deque[CutPlace] = field(default_factory=deque)
    rows: deque[np.ndarray | None] = field(default_factory=deque)
    taken: int = 0
    all_cut: bool = False
    error: Exception | None = None

    def expect(self, cut: CutPlace) -> int:
        """The number of a window within the file, for [`take`]."""
        self.cuts.append(cut)
        self.rows.append(None)
        return self.taken + len(self.rows) - 1

    def take(self, number: int, row: np.ndarray) -> None:
        self.rows[number - self.taken] = row
        while len(self.rows) >= ROWS_AT_A_TIME and self._computed(ROWS_AT_A_TIME):
            self._hand_over(ROWS_AT_A_TIME)

    def _computed(self, count: int) -> bool:
        return all(self.rows[number] is not None for number in range(count))

    def _hand_over(self, count: int) -> None:
        pooled = np.stack([self.rows.popleft() for _ in range(count)])
        self.recording.add([self.cuts.popleft() for _ in range(count)], pooled)
        self.taken += count

    @property
    def done(self) -> bool:
        return self.error is not None or (self.all_cut and self._computed(len(self.rows)))

    def result(self) -> WindowVectors | Exception:
        if self.error is not None:
            return self.error
        if self.rows:
            self._hand_over(len(self.rows))
        try:
            return self.recording.finish()
        except AudioReadError as error:
            return error


class _Batches:
    """Collects windows into batches of one size, and computes them in one thread."""

    def __init__(self, silent: SilentWindows, size: int):
        self.silent, self.size = silent, size
        # torch's number of threads is a setting of each thread.
        self._thread = ThreadPoolExecutor(
            1, "embed-batches", initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)
        )
        self._in_flight: deque[tuple[Future[np.ndarray], list[tuple[_OpenFile, int]]]] = deque()
        self._silent_row: np.ndarray | None = None
        self._start_batch()

    def _start_batch(self) -> None:
        length = self.silent.encoder.window_samples
        self._waveforms = np.zeros((self.size, length), dtype=np.float32)
        self._lengths = [length] * self.size
        self._owners: list[tuple[_OpenFile, int]] = []
        self._has_full = False

    def put(self, file: _OpenFile, number: int, waveform: np.ndarray, length: int) -> None:
        """Adds a window; a full batch is sent to the model."""
        if length == len(waveform) and not waveform.any():
            if self._silent_row is None:
                # In the same thread as all other calls of the model.
                self._silent_row = self._thread.submit(self.silent.row_of, waveform, length).result()
            file.take(number, self._silent_row)
            return
        is_full = length == len(waveform)
        if len(self._owners) == self.size - 1 > 0 and not (self._has_full or is_full):
            # Of a batch without a full window, some models cut off the padding: the last place stays silent.
            self._send()
        self._has_full |= is_full
        self._waveforms[len(self._owners)] = waveform
        self._lengths[len(self._owners)] = length
        self._owners.append((file, number))
        if len(self._owners) == self.size:
            self._send()

    def _send(self, most_in_flight: int = BATCHES_IN_FLIGHT) -> None:
        future = self._thread.submit(self.silent.encoder.pool_windows, self._waveforms, self._lengths)
        self._in_flight.append((future, self._owners))
        self._start_batch()
        self._collect(most_in_flight)

    def _collect(self, most_in_flight: int) -> None:
        while len(self._in_flight) > most_in_flight:
            future, owners = self._in_flight.popleft()
            for (file, number), row in zip(owners, future.result(), strict=False):
                file.take(number, row)

    def flush(self) -> None:
        """Computes all windows, those of a batch that is not full too."""
        if self._owners:
            self._send(most_in_flight=0)
        self._collect(0)

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)


def embed_in_batches(
    files: Iterable[tuple[PooledRecording, str, Iterable[np.ndarray]]],
    silent: SilentWindows,
    windows_at_a_time: int,
) -> Iterator[tuple[str, WindowVectors | Exception]]:
    """
    Files in their order, whose windows pass the model in batches of exactly ``windows_at_a_time``.

    A batch holds windows of as many files as it takes; one that is not full is filled up with silence: at the end, and
    where many windows of silence or files without windows wait for it. Kernels of a GPU are chosen by the shape of a
    batch, so batches of one shape compute a window in the same way beside any others. A thread waits for the model,
    while the next batch is cut and mixed.

    Args:
        files: recordings without a cut so far, their paths, and their samples piece by piece.
        silent: of the encoder.
        windows_at_a_time: size of a batch, at least 1.

    Yields:
        (path, its vectors, or the `AudioReadError` or `OSError` with the reason); once a file's windows and those of
        all files before it are computed.

    Raises:
        Exceptions of the model.
    """
    waiting: deque[_OpenFile] = deque()
    batches = _Batches(silent, windows_at_a_time)
    try:
        for recording, path, pieces in files:
            file = _OpenFile(path, recording)
            waiting.append(file)
            cuts = recording.cuts(pieces)
            while True:
                try:
                    cut = next(cuts, None)
                    waveform = None if cut is None else recording.waveform(cut)
                except (AudioReadError, OSError) as error:
                    # Its traceback would hold the samples.
                    file.error = error.with_traceback(None)
                    break
                if cut is None:
                    break
                batches.put(file, file.expect(cut.place), waveform, len(cut.samples))
                if len(file.rows) > MOST_ROWS_WAITING:
                    batches.flush()
            file.all_cut = True
            if len(waiting) > MOST_BATCHES_OF_FILES * windows_at_a_time:
                batches.flush()
            while waiting and waiting[0].done:
                yield waiting[0].path, waiting.popleft().result()
        batches.flush()
        for file in waiting:
            yield file.path, file.result()
    finally:
        batches.close()


__all__ = ["MOST_BATCHES_OF_FILES", "MOST_ROWS_WAITING", "ROWS_AT_A_TIME", "embed_in_batches"]
