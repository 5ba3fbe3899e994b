"""Reads files in threads, ahead of the consumer and in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Read = TypeVar("Read")


def read_ahead(
    read: Callable[[Given], Read], items: Iterable[Given], num_workers: int, *, ahead: int | None = None
) -> Iterator[Read]:
    """
    The function's result for each item, in the order of the items.

    Decoders, resamplers and hashes let other threads run, so that threads are enough. Other than with an executor's
    ``map``, items are taken as they are needed: neither they nor results pile up.

    Args:
        read: called in several threads at once.
        items: taken one by one, by the caller's thread.
        num_workers: threads; 0 calls the function in the calling thread.
        ahead: most items that are read or wait for the caller; one more than there are threads if not given.

    Yields:
        Results, or the exceptions that the function raised instead.
    """
    if not num_workers:
        yield from map(read, items)
        return
    most = num_workers + 1 if ahead is None else ahead
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="reading")
    waiting: deque[Future[Read]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


__all__ = ["read_ahead"]
