"""Embeds several files at a time, in threads that each decode and compute with one thread of torch."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Found = TypeVar("Found")
# Files that are begun before their turn, by worker: a long one does not stop the others soon.
FILES_AHEAD = 3


class Stopped(Exception):
    """Raised within a worker when its file is no longer needed."""


def embed_in_threads(
    paths: Iterable[str],
    embed: Callable[[str, Callable[[], None]], Found],
    workers: int,
) -> Iterator[tuple[str, Found]]:
    """
    Files in their order, each embedded by one of several threads.

    torch lets other threads run while it computes, and so do decoders. Each file is computed by one thread, so
    that its vectors do not depend on how many there are.

    Args:
        paths: paths of files; taken ahead by a few a worker.
        embed: from a path to what is yielded for it. It is called in the threads, and calls its second argument now
            and then, which raises once the file is not wanted any more.
        workers: threads, at least 1.

    Yields:
        (path, what ``embed`` returned).

    Raises:
        Exceptions of ``embed``, when it is the file's turn.
    """
    import torch

    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Stopped

    before = torch.get_num_threads()
    # Of the process for kernels of MKL, and of each worker for torch's own loops.
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(
        workers, thread_name_prefix="embed", initializer=torch.set_num_threads, initargs=(1,)
    )
    source, ahead = iter(paths), deque[tuple[str, Future[Found]]]()
    try:
        while True:
            while len(ahead) < workers * FILES_AHEAD and (path := next(source, None)) is not None:
                ahead.append((path, pool.submit(embed, path, check)))
            if not ahead:
                return
            path, future = ahead.popleft()
            yield path, future.result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)


__all__ = ["Stopped", "embed_in_threads"]
