"""
Putting a written file or directory in the place of another one, on every system.

POSIX replaces and removes what another process has open. Windows refuses with `PermissionError` while anybody reads the
file: another process of ours for a moment, a virus scanner, a search service. A short wait is enough then.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

WAITS = sys.platform == "win32"
WAIT_SECONDS = 2.0
_FIRST_PAUSE = 0.005


def replace_path(fresh: Path, target: Path) -> None:
    """
    Moves a file onto another one, or a directory to a free name.

    Raises:
        OSError: if it cannot be done; on Windows after `WAIT_SECONDS` in which another process had it open.
    """
    _repeat(lambda: os.replace(fresh, target))


def remove_file(path: Path) -> None:
    """
    Removes a file, if there is one.

    Raises:
        OSError: as in [`replace_path`].
    """
    _repeat(lambda: path.unlink(missing_ok=True))


def _repeat(act: Callable[[], None]) -> None:
    end, pause = time.monotonic() + WAIT_SECONDS, _FIRST_PAUSE
    while True:
        try:
            return act()
        except PermissionError:
            if not WAITS or time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause *= 2


__all__ = ["remove_file", "replace_path"]
