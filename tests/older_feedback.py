"""The file of marks that pages before saved searches wrote beside an index."""

import csv
import time

from auricle.files.spreadsheet_cells import harmless_cell
from auricle.search.store.index_folder import IndexFolder


def note_feedback(folder: IndexFolder, sentence: str, path: str, *, fits: bool) -> None:
    """Adds a line to ``feedback.csv``: time, sentence, path, 1 or 0."""
    file = folder.path / "feedback.csv"
    is_new = not file.exists()
    with open(file, "a", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        if is_new:
            rows.writerow(("time", "sentence", "path", "fits"))
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        rows.writerow((now, harmless_cell(sentence), harmless_cell(path), int(fits)))


__all__ = ["note_feedback"]
