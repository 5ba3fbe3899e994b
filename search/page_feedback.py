"""Marks that people set on answers, kept beside the index."""

import csv
import time
from io import StringIO

from .index_folder import IndexFolder

FEEDBACK = "feedback.csv"


def note_feedback(folder: IndexFolder, sentence: str, path: str, *, fits: bool) -> None:
    """
    Adds a line to ``feedback.csv`` of an index: time, sentence, path, 1 or 0.

    Args:
        folder: of the index.
        sentence: that was asked; or of a search by a sound, ``sound: `` and its path.
        path: of the answer.
        fits: what the person says.

    Raises:
        OSError: if it cannot be written.
    """
    text = StringIO(newline="")
    writer = csv.writer(text)
    kept = folder.read(FEEDBACK) if folder.exists(FEEDBACK) else b""
    if not kept:
        writer.writerow(["time", "sentence", "path", "fits"])
    writer.writerow([time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), sentence, path, int(fits)])
    folder.write(FEEDBACK, kept + text.getvalue().encode())


__all__ = ["FEEDBACK", "note_feedback"]
