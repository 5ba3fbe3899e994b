"""Decodes sound files in threads, ahead of the file that is being embedded."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ..cpu_threads import half_of_the_cores

MOST_THREADS = 8
PIECES_AHEAD = 4


def decode_ahead(
    paths: Iterable[str], read: Callable[[str], Iterator[np.ndarray]], *, threads: int | None = None
) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """
    Files in their order, each with its samples piece by piece.

    The next files are decoded meanwhile, since decoders and soxr let other threads run. Of each file at most four
    pieces of ten seconds wait in memory.

    Args:
        paths: paths of sound files; taken ahead by as many as there are threads.
        read: from a path to the pieces, as a feature extractor's `pieces`.
        threads: that decode; half of the usable cores, from 1 to 8, if not given.

    Yields:
        (path, pieces); what is left of the pieces is dropped once the next file is asked for. The pieces raise what
        reading raises.
    """
    count = threads or min(MOST_THREADS, half_of_the_cores())
    jobs: queue.SimpleQueue[_Decoding | None] = queue.SimpleQueue()
    for _ in range(count):
        # Daemon threads: an interrupted process does not wait until an hour of sound is decoded.
        threading.Thread(target=_work, args=(jobs,), name="decode-ahead", daemon=True).start()
    source, ahead = iter(paths), deque[_Decoding]()
    try:
        while True:
            while len(ahead) <= count and (path := next(source, None)) is not None:
                ahead.append(_Decoding(path, read))
                jobs.put(ahead[-1])
            if not ahead:
                return
            yield ahead[0].path, ahead[0].pieces()
            ahead.popleft().dropped.set()
    finally:
        for decoding in ahead:
            decoding.dropped.set()
        for _ in range(count):
            jobs.put(None)


class _Decoding:
    """A file whose pieces one thread puts into a queue and another takes out of it."""

    def __init__(self, path: str, read: Callable[[str], Iterator[np.ndarray]]):
        self.path, self._read = path, read
        self.dropped = threading.Event()
        self._queue: queue.Queue[np.ndarray | Exception | None] = queue.Queue(PIECES_AHEAD)

    def run(self) -> None:
        try:
            for piece in self._read(self.path):
                self._put(piece)
                if self.dropped.is_set():
                    return
            self._put(None)
        except Exception as error:  # raised again where the pieces are taken
            self._put(error)

    def _put(self, item: np.ndarray | Exception | None) -> None:
        while not self.dropped.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return

    def pieces(self) -> Iterator[np.ndarray]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item


def _work(jobs: "queue.SimpleQueue[_Decoding | None]") -> None:
    while (decoding := jobs.get()) is not None:
        if not decoding.dropped.is_set():
            decoding.run()


__all__ = ["decode_ahead"]
