"""Precision of a threshold, estimated on marks that the classifier has not seen: pure functions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import SearchError
from .classifiers import PROBE_MARKS, fit_probe
from .marked_index import counted

FOLDS = 5
# Below, one mark more or less moves the estimate by more than it says.
LEAST_OF_EACH, LEAST_FILES = 5, 3
WANTED_PRECISION = 0.9
# Of a normal distribution, 95 %.
Z = 1.959964


@dataclass(frozen=True)
class Estimate:
    """
    A threshold and what it is worth.

    Attributes:
        threshold: score from which on a window is a detection, 0 to 1.
        precision: share of fitting marks among those above; each mark is judged by a classifier, and by a threshold,
            that its file had no part in.
        low, high: 95 % interval of the precision (Wilson, JASA 1927).
        recall: share of the fitting marks that are above.
        above: number of marks above, which the precision rests on.
        marks, fits, files: numbers of marks, of positive marks, and of marked files.
        wanted: precision that the threshold was chosen for; None for a threshold that was given.
        reached: whether marks reach it at any threshold.
    """

    threshold: float
    precision: float
    low: float
    high: float
    recall: float
    above: int
    marks: int
    fits: int
    files: int
    wanted: float | None
    reached: bool = True

    def line(self) -> str:
        """In one line."""
        short = ""
        if not self.reached:
            short = f"; no threshold reaches the wanted {self.wanted:.2f}"
        elif self.wanted is not None and self.precision < self.wanted:
            short = f"; that is less than the wanted {self.wanted:.2f}: more marks make the threshold surer"
        files, above = counted(self.files, "file", "files"), counted(self.above, "mark lies", "marks lie")
        return (
            f"threshold {self.threshold:.3f}: precision {self.precision:.2f} (95 % interval {self.low:.2f} to "
            f"{self.high:.2f}), recall {self.recall:.2f}, by cross-validation over {self.marks:,} marks in {files} "
            f"({self.fits:,} fit); {above} above{short}"
        )


def check_enough(fits: np.ndarray, groups: Sequence[str]) -> None:
    """
    Raises:
        SearchError: for marks too few to estimate anything from; the message says how many there are and are needed.
    """
    files, good, bad = _files_of_each(fits, groups), int(fits.sum()), int((~fits).sum())
    if len(fits) >= PROBE_MARKS and min(good, bad) >= LEAST_OF_EACH and min(files) >= LEAST_FILES:
        return
    of_good, of_bad = (counted(count, "file", "files") for count in files)
    raise SearchError(
        f"too few marks to estimate a threshold: {good} fit (in {of_good}), {bad} do not (in {of_bad}). It takes "
        f"{PROBE_MARKS} marks, {LEAST_OF_EACH} of each kind in {LEAST_FILES} files or more; mark more, or give a "
        "threshold."
    )


def _files_of_each(fits: np.ndarray, groups: Sequence[str]) -> list[int]:
    """Number of files with a positive mark, and number of files with a negative one."""
    return [
        len({group for group, one in zip(groups, fits, strict=True) if one == kind}) for kind in (True, False)
    ]


def fold_of_marks(fits: np.ndarray, groups: Sequence[str], folds: int = FOLDS) -> np.ndarray:
    """
    Number of the fold of each mark, ``(marks,)``: all marks of a file are in one, and each fold has some of both kinds
    where files allow it. The same for the same marks.

    Raises:
        ImportError: if scikit-learn is not installed.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=max(2, min(folds, *_files_of_each(fits, groups))))
    numbers = np.zeros(len(fits), dtype=np.int64)
    for number, (_, held_out) in enumerate(splitter.split(np.zeros((len(fits), 1)), fits, list(groups))):
        numbers[held_out] = number
    return numbers


def held_out_scores(vectors: np.ndarray, fits: np.ndarray, weak: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """
    Score of each mark by a probe that was trained without its fold, ``(marks,)``, 0 to 1.

    Args:
        vectors, fits: of the marks.
        weak: vectors of random unmarked windows.
        folds: folds of each mark; see [`fold_of_marks`].
    """
    scores = np.zeros(len(fits))
    for number in np.unique(folds):
        inside = folds == number
        probe = fit_probe(vectors[~inside], fits[~inside], weak)
        scores[inside] = probe.score(vectors[inside] @ probe.direction)
    return scores


def choose_threshold(scores: np.ndarray, fits: np.ndarray, wanted: float) -> tuple[float, bool]:
    """
    The lowest score from which on marks have a precision, and whether there is one.

    If no threshold reaches it, the score with the highest precision; of several such scores the lowest.

    Args:
        scores: ``(marks,)``.
        fits: ``(marks,)`` bool.
        wanted: precision, above 0 and at most 1.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order], np.cumsum(fits[order])
    precision = right / np.arange(1, len(order) + 1)
    # Marks of one score are above a threshold together.
    last = np.append(ranked[1:] != ranked[:-1], True)
    good = np.flatnonzero(last & (precision >= wanted - 1e-12))
    if len(good):
        return float(ranked[good[-1]]), True
    best = np.flatnonzero(last & (precision == precision[last].max()))
    return float(ranked[best[-1]]), False


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share, by Wilson's score; 0 to 1 of nothing."""
    if not count:
        return 0.0, 1.0
    share, square = hits / count, Z * Z / count
    middle = (share + square / 2) / (1 + square)
    half = Z * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def estimate(
    vectors: np.ndarray,
    fits: np.ndarray,
    weak: np.ndarray,
    groups: Sequence[str],
    *,
    wanted: float = WANTED_PRECISION,
    threshold: float | None = None,
) -> Estimate:
    """
    A threshold for a precision, or the precision at a threshold, by cross-validation over the marks, grouped by file.

    The marks of each fold are judged at the threshold that the marks of the other folds choose: choosing and judging
    on the same marks would flatter.

    Args:
        vectors, fits: of the marks.
        weak: vectors of random unmarked windows.
        groups: the content's digest of each mark's file.
        wanted: precision.
        threshold: judge this one, and choose none.

    Raises:
        SearchError: for too few marks.
        ImportError: if scikit-learn is not installed.
    """
    check_enough(fits, groups)
    folds = fold_of_marks(fits, groups)
    scores = held_out_scores(vectors, fits, weak, folds)
    above, reached, chosen = np.zeros(len(fits), dtype=bool), True, threshold
    if threshold is None:
        chosen, reached = choose_threshold(scores, fits, wanted)
        for number in np.unique(folds):
            inside = folds == number
            limit, _ = choose_threshold(scores[~inside], fits[~inside], wanted)
            above[inside] = scores[inside] >= limit
    else:
        above = scores >= threshold
    right, count = int((above & fits).sum()), int(above.sum())
    low, high = wilson(right, count)
    return Estimate(
        float(chosen if chosen is not None else 0.0),
        right / count if count else 0.0,
        low,
        high,
        right / int(fits.sum()),
        count,
        len(fits),
        int(fits.sum()),
        len(set(groups)),
        None if threshold is not None else wanted,
        reached,
    )


__all__ = [
    "FOLDS",
    "WANTED_PRECISION",
    "Estimate",
    "check_enough",
    "choose_threshold",
    "estimate",
    "fold_of_marks",
    "held_out_scores",
    "wilson",
]
