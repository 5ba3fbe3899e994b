"""Ctrl-C that is not lost: an interrupt of a long-running command is remembered until it ends the command."""

import signal
import threading
import time
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any


class Interrupts(AbstractContextManager["Interrupts"]):
    """
    Takes SIGINT: raises KeyboardInterrupt at once, and remembers it.

    Python can only raise where its own code runs. In a finalizer, a callback of a library or an import that a bare
    ``except`` guards, the exception is dropped, and a command that runs until it is interrupted would continue.
    [`check`] then raises it again. Outside the main thread, where signals cannot be taken, nothing is remembered.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """
        Raises:
            KeyboardInterrupt: if there was an interrupt.
        """
        if self.asked:
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        """
        Waits.

        Raises:
            KeyboardInterrupt: if there was an interrupt before, or there is one meanwhile.
        """
        self.check()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            # In pieces, so that a signal between the check and the wait is noticed soon.
            time.sleep(min(left, 0.5))
            self.check()


__all__ = ["Interrupts"]
