"""Every window of an index that a search with marks takes for a detection."""

import csv
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute

from ...files.replacing import replace_path
from ...files.spreadsheet_cells import harmless_cell
from ..errors import SearchError
from ..query.filters import Filters
from ..query.hits import Hit
from ..query.resolved_filters import resolve_filters
from ..store.columns import read_columns
from ..store.entries import paths_among
from .classifiers import PROBE_FITS, PROBE_MARKS
from .cross_validation import WANTED_PRECISION, Estimate, estimate
from .marked_index import MarkedIndex
from .refining import Refinement, refine
from .window_rows import COLUMNS, Rows

HEADER = ("path", "start", "end", "score", "mark", "digest")
ROWS_A_BATCH = 50_000


@dataclass(frozen=True)
class Detections:
    """
    Windows from a threshold on, by path and time.

    Attributes:
        learned: the search and its marks.
        threshold: score from which on a window is one.
        estimate: what the threshold is worth; None if marks are too few to say.
        why_none: then why.
        paths, starts, ends, scores: of the windows, ``(windows,)``.
        compared: number of windows that were looked at.
    """

    learned: Refinement
    threshold: float
    estimate: Estimate | None
    why_none: str
    paths: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    scores: np.ndarray
    compared: int

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def files(self) -> int:
        """Number of files with a detection."""
        return len(set(self.paths.tolist()))

    def rows(self) -> Iterator[tuple[str, str, str, str, str, str]]:
        """Cells of `HEADER`, one row a window."""
        store, marks = self.learned.index.store, self.learned.marks_by_window()
        digests = {row["path"]: row["digest"] for row in store.file_rows(["path", "digest"]).to_pylist()}
        for path, start, end, score in zip(self.paths, self.starts, self.ends, self.scores, strict=True):
            mark = {True: "fits", False: "does not fit"}.get(marks.get((path, float(start))), "")
            yield path, f"{start:.3f}", f"{end:.3f}", f"{score:.6f}", mark, digests.get(path, "")

    def hits(self) -> list[Hit]:
        """The detections as results, the highest score first; their score is also their ``cosine``."""
        order = np.lexsort((self.starts, self.paths, -self.scores))
        return [
            Hit(
                path=str(self.paths[place]),
                start=float(self.starts[place]),
                end=float(self.ends[place]),
                score=float(self.scores[place]),
                cosine=float(self.scores[place]),
                percentile=None,
                duration=float(self.ends[place]),
                tags=(),
            )
            for place in order
        ]

    @property
    def unmarked(self) -> int:
        """Number of detections without a mark."""
        marks = self.learned.marks_by_window()
        return sum(
            (path, float(start)) not in marks for path, start in zip(self.paths, self.starts, strict=True)
        )

    def write_csv(self, out: Path) -> None:
        """
        Writes the detections as CSV in UTF-8; ``-`` is the standard output. A file is replaced only when complete.

        Raises:
            SearchError: if its folder does not exist.
            OSError: if the file cannot be written.
        """
        if str(out) == "-":
            self._write(sys.stdout)
            return
        if not out.parent.is_dir():
            raise SearchError(f"{out}: the folder {out.parent} does not exist.")
        fresh = out.with_name(f".{out.name}.partial")
        try:
            # Names that are not UTF-8 keep their bytes.
            with open(fresh, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
                self._write(file)
            replace_path(fresh, out)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise

    def _write(self, file: TextIO) -> None:
        writer = csv.writer(file, lineterminator="\r\n" if file is not sys.stdout else "\n")
        writer.writerow(HEADER)
        for path, *rest in self.rows():
            writer.writerow((harmless_cell(path), *rest))


def find_detections(
    index: MarkedIndex,
    name: str,
    *,
    precision: float = WANTED_PRECISION,
    threshold: float | None = None,
    filters: Mapping[str, Any] | None = None,
) -> Detections:
    """
    Every window that a saved search takes for a detection, also of a library too large for memory.

    Args:
        index: a [`SoundIndex`].
        name: name of the saved search.
        precision: choose the lowest threshold with this precision, estimated by cross-validation over the marks.
        threshold: score from which on a window is a detection; no threshold is chosen then, and marks may be few.
        filters: fields of [`Filters`], added to the filters of the search.

    Raises:
        SearchError: for too few marks without a threshold, a precision or threshold out of range, or a filter that
            cannot be used.
        ImportError: if scikit-learn is needed and not installed.
    """
    if not 0 < precision <= 1:
        raise SearchError(f"precision {precision:g}: must be above 0 and at most 1.")
    if threshold is not None and not np.isfinite(threshold):
        raise SearchError(f"threshold {threshold:g}: must be a finite number.")
    learned = refine(index, name)
    if threshold is not None and learned.method == "probe" and not 0 <= threshold <= 1:
        raise SearchError(f"threshold {threshold:g}: the scores of a linear probe are between 0 and 1.")
    worth, why = None, ""
    matched = learned.matched
    if learned.method == "probe" or threshold is None:
        try:
            worth = estimate(
                matched.vectors,
                matched.fits,
                learned.weak,
                matched.groups,
                wanted=precision,
                threshold=threshold,
            )
        except SearchError as error:
            if threshold is None:
                raise
            why = str(error)
    else:
        why = (
            f"no precision is estimated: below {PROBE_MARKS} marks, {PROBE_FITS} of them fitting, the score of "
            "a window is its cosine with the query, moved by the marks."
        )
    limit = worth.threshold if worth is not None else threshold
    assert limit is not None
    kept = Filters.of({**learned.search.filters, **(filters or {})})
    return _found(index, learned, limit, worth, why, resolve_filters(index.store, index._contents, kept))


def _found(
    index: MarkedIndex, learned: Refinement, limit: float, worth: Estimate | None, why: str, filters: Filters
) -> Detections:
    parts: list[tuple[np.ndarray, ...]] = []
    compared = 0
    for rows in _batches(index, filters):
        scores = learned.scorer.score(rows["vector"] @ learned.scorer.direction)
        allowed = filters.mask(rows)
        compared += int(allowed.sum())
        above = allowed & (scores >= limit)
        parts.append((rows["path"][above], rows["start"][above], rows["end"][above], scores[above]))
    joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)] if parts else [np.zeros(0)] * 4
    order = sorted(range(len(joined[0])), key=lambda place: (joined[0][place], joined[1][place]))
    return Detections(learned, limit, worth, why, *(column[order] for column in joined), compared)


def _batches(index: MarkedIndex, filters: Filters) -> Iterator[Rows]:
    """All windows, in memory or read from disk piece by piece."""
    store = index.store
    if not store.approximate:
        yield index._contents.get().windows
        return
    from tqdm.auto import tqdm

    waiting = store.waiting()
    query = store.table.search().select(list(COLUMNS))
    condition = filters.sql()
    query = (query.where(condition) if condition else query).limit(None)
    with tqdm(total=store.table.count_rows(), desc="windows", unit="", disable=None, leave=False) as bar:
        for batch in query.to_batches(ROWS_A_BATCH):
            table = arrow.Table.from_batches([batch])
            if waiting is not None:
                # What the table has of waiting files is out of date.
                table = table.filter(compute.invert(paths_among(table, waiting)))
            bar.update(len(batch))
            if len(table):
                yield read_columns(table)["windows"]
    if waiting is not None:
        yield read_columns(waiting.select(list(COLUMNS)))["windows"]


__all__ = ["HEADER", "Detections", "find_detections"]
