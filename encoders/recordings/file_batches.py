"""Embeds windows of several files in batches of one size, so that a GPU is busy with short files too."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from ...processing import AudioReadError
from .pooled_recording import PooledRecording, WindowVectors
from .silent_windows import SilentWindows
from .window_cutting import Cut

# Rows of one file that are projected at a time, whatever the batches are: part of what a file's bits depend on.
ROWS_AT_A_TIME = 16
BATCHES_IN_FLIGHT = 2


@dataclass
class _OpenFile:
    path: str
    recording: PooledRecording
    cuts: deque[Cut] = field(default_factory=deque)
    rows: deque[np.ndarray | None] = field(default_factory=deque)
    first: int = 0
    closed: bool = False
    error: Exception | None = None

    def expect(self, cut: Cut) -> int:
        """A place for the row of a cut."""
        self.cuts.append(cut)
        self.rows.append(None)
        return self.first + len(self.rows) - 1

    def take(self, place: int, row: np.ndarray) -> None:
        self.rows[place - self.first] = row
        while len(self.rows) >= ROWS_AT_A_TIME and self._known(ROWS_AT_A_TIME):
            self._hand_over(ROWS_AT_A_TIME)

    def _known(self, count: int) -> bool:
        return all(self.rows[place] is not None for place in range(count))

    def _hand_over(self, count: int) -> None:
        pooled = np.stack([self.rows.popleft() for _ in range(count)])
        self.recording.add([self.cuts.popleft() for _ in range(count)], pooled)
        self.first += count

    @property
    def done(self) -> bool:
        return self.error is not None or (self.closed and self._known(len(self.rows)))

    def result(self) -> WindowVectors | Exception:
        if self.error is not None:
            return self.error
        if self.rows:
            self._hand_over(len(self.rows))
        try:
            return self.recording.finish()
        except AudioReadError as error:
            return error


@dataclass
class _Batch:
    waveforms: np.ndarray
    lengths: list[int]
    places: list[tuple[_OpenFile, int]]


def embed_in_batches(
    files: Iterable[tuple[PooledRecording, str, Iterable[np.ndarray]]],
    silent: SilentWindows,
    windows_at_a_time: int,
) -> Iterator[tuple[str, WindowVectors | Exception]]:
    """
    Files in their order, whose windows pass the model in batches of exactly ``windows_at_a_time``.

    A batch holds windows of as many files as it takes; the last one is filled up with silence. Kernels of a GPU are
    chosen by the shape of a batch, so batches of one shape compute a window in the same way beside any others. A
    thread waits for the model, while the next batch is cut and mixed.

    Args:
        files: recordings without a cut so far, their paths, and their samples piece by piece.
        silent: of the encoder.
        windows_at_a_time: size of a batch, at least 1.

    Yields:
        (path, its vectors, or the `AudioReadError` or `OSError` with the reason); once a file's windows and those of
        all files before it are computed.
    """
    open_files: deque[_OpenFile] = deque()
    in_flight: deque[tuple[Future[np.ndarray], _Batch]] = deque()
    encoder, batch = silent.encoder, None

    def collect(most: int) -> None:
        while len(in_flight) > most:
            future, sent = in_flight.popleft()
            for (file, place), row in zip(sent.places, future.result(), strict=False):
                file.take(place, row)

    def finished() -> Iterator[tuple[str, WindowVectors | Exception]]:
        while open_files and open_files[0].done:
            file = open_files.popleft()
            yield file.path, file.result()

    with ThreadPoolExecutor(1, thread_name_prefix="embed-batches") as model:

        def send(full: _Batch) -> None:
            in_flight.append((model.submit(encoder.pool_windows, full.waveforms, full.lengths), full))
            collect(BATCHES_IN_FLIGHT)

        for recording, path, pieces in files:
            file = _OpenFile(path, recording)
            open_files.append(file)
            try:
                for cut in recording.cuts(pieces):
                    place, waveform, length = file.expect(cut), recording.waveform(cut), len(cut.samples)
                    row = silent.row_of(waveform, length)
                    if row is not None:
                        file.take(place, row)
                        continue
                    if batch is None:
                        shape = (windows_at_a_time, len(waveform))
                        batch = _Batch(np.zeros(shape, np.float32), [len(waveform)] * windows_at_a_time, [])
                    batch.waveforms[len(batch.places)] = waveform
                    batch.lengths[len(batch.places)] = length
                    batch.places.append((file, place))
                    if len(batch.places) == windows_at_a_time:
                        send(batch)
                        batch = None
            except (AudioReadError, OSError) as error:
                file.error = error
            file.closed = True
            yield from finished()
        if batch is not None:
            send(batch)
        collect(0)
        yield from finished()


__all__ = ["ROWS_AT_A_TIME", "embed_in_batches"]
