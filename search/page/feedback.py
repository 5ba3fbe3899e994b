"""Marks that people set on answers, kept beside the index."""

import csv
import time
from collections.abc import Sequence
from io import StringIO
from threading import Lock

from filelock import FileLock

from ...files.spreadsheet_cells import harmless_cell
from ..store.index_folder import IndexFolder

FEEDBACK, LOCK = "feedback.csv", "feedback.lock"
LOCK_SECONDS = 20.0
HEADER = ("time", "sentence", "path", "fits")
_remote_lock = Lock()


def note_feedback(folder: IndexFolder, sentence: str, path: str, *, fits: bool) -> None:
    """
    Adds a line to ``feedback.csv`` of an index: time, sentence, path, 1 or 0.

    On this machine's disk no mark is lost, however many people and pages set them at once. An object store knows no
    appending: there the file is written anew, and two servers of one index may lose each other's marks.

    Args:
        folder: of the index.
        sentence: that was asked; or of a search by a sound, ``sound: `` and its path.
        path: of the answer.
        fits: what the person says.

    Raises:
        OSError: if it cannot be written, or others keep the file locked.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    row = _line((now, harmless_cell(sentence), harmless_cell(path), int(fits)))
    if folder.path is None:
        with _remote_lock:
            kept = folder.read(FEEDBACK) if folder.exists(FEEDBACK) else b""
            folder.write(FEEDBACK, (kept or _line(HEADER)) + row)
        return
    with (
        FileLock(folder.path / LOCK, timeout=LOCK_SECONDS),
        open(folder.path / FEEDBACK, "ab", buffering=0) as file,
    ):
        end = file.tell()
        content = row if end else _line(HEADER) + row
        try:
            written = file.write(content)
            if written != len(content):
                raise OSError(f"{FEEDBACK}: the disk took only {written} of {len(content)} bytes")
        except OSError:
            # Half a line would spoil the next one.
            file.truncate(end)
            raise


def _line(cells: Sequence[object]) -> bytes:
    text = StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "backslashreplace")


__all__ = ["FEEDBACK", "note_feedback"]
