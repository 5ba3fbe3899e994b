"""Classifiers on stored vectors: pure functions, the same result from the same marks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Rocchio (in Salton, The SMART Retrieval System, 1971): what does not fit says less of where to look than what fits.
MISFIT_WEIGHT = 0.5
# From so many marks on, of which so many fit and so many do not, a linear probe knows more than a moved query.
PROBE_MARKS, PROBE_FITS = 20, 3
# Weight of a random unmarked window as a negative example, as in perch-hoplite.
WEAK_WEIGHT = 0.05
WEAK_NEGATIVES = 500
# Inverse strength of the L2 penalty. Unit vectors are close to each other: a weak penalty distinguishes them.
PROBE_C = 10.0
SHORTEST = 1e-12


@dataclass(frozen=True)
class LinearScorer:
    """
    A score that is linear in a window's vector.

    Attributes:
        direction: unit vector, ``(width,)``; windows closest to it by cosine score highest.
        scale, offset: the raw score is ``scale * cosine + offset``.
        boundary: raw score of maximum uncertainty.
        method: "question", "rocchio" or "probe".
    """

    direction: np.ndarray
    scale: float = 1.0
    offset: float = 0.0
    boundary: float = 0.0
    method: str = "question"

    def raw(self, cosines: np.ndarray) -> np.ndarray:
        """Raw scores from cosines with the direction, any shape."""
        return self.scale * np.asarray(cosines, dtype=np.float64) + self.offset

    def score(self, cosines: np.ndarray) -> np.ndarray:
        """The displayed score: a probe's probability of fitting, 0 to 1; otherwise the cosine."""
        raw = self.raw(cosines)
        return 1.0 / (1.0 + np.exp(-raw)) if self.method == "probe" else raw

    def cosine_at(self, score: float) -> float:
        """The cosine that gives a score; plus or minus infinity where none does."""
        raw = score
        if self.method == "probe":
            raw = np.log(score) - np.log1p(-score) if 0 < score < 1 else (np.inf if score >= 1 else -np.inf)
        return float((raw - self.offset) / self.scale)


def unit(vector: np.ndarray) -> np.ndarray:
    """A vector at unit length, float32; zeros stay zeros."""
    length = float(np.linalg.norm(vector))
    return (np.asarray(vector, dtype=np.float64) / max(length, SHORTEST)).astype(np.float32)


def rocchio(query: np.ndarray | None, vectors: np.ndarray, fits: np.ndarray) -> np.ndarray:
    """
    A query moved to what fits and away from what does not: ``q + mean(fits) - 0.5 mean(misfits)``, unit length.

    Args:
        query: unit vector ``(width,)``, or None.
        vectors: vectors of marked windows, ``(marks, width)``.
        fits: whether each mark fits, ``(marks,)`` bool.

    Returns:
        ``(width,)`` float32; zeros without a query and marks.
    """
    moved = np.zeros(vectors.shape[1], dtype=np.float64)
    if query is not None:
        moved += query
    if fits.any():
        moved += vectors[fits].mean(axis=0, dtype=np.float64)
    if (~fits).any():
        moved -= MISFIT_WEIGHT * vectors[~fits].mean(axis=0, dtype=np.float64)
    return unit(moved)


def midpoint(scores: np.ndarray, fits: np.ndarray, background: np.ndarray) -> float:
    """
    The midpoint between the mean score of positive marks and that of negative marks.

    Args:
        scores: scores of marked windows, ``(marks,)``.
        fits: ``(marks,)`` bool.
        background: scores of random windows, used as negatives if none are marked; the
            highest of them are used as positives if none are marked.
    """
    best = float(background.max()) if len(background) else 1.0
    rest = float(background.mean()) if len(background) else 0.0
    upper = float(scores[fits].mean()) if fits.any() else best
    lower = float(scores[~fits].mean()) if (~fits).any() else rest
    return (upper + lower) / 2


def uses_probe(fits: np.ndarray) -> bool:
    """Whether there are enough marks for [`fit_probe`]."""
    return len(fits) >= PROBE_MARKS and int(fits.sum()) >= PROBE_FITS


def fit_probe(
    vectors: np.ndarray,
    fits: np.ndarray,
    weak: np.ndarray,
    *,
    regularization: float = PROBE_C,
    weak_weight: float = WEAK_WEIGHT,
) -> LinearScorer:
    """
    Logistic regression with an L2 penalty; marks have weight 1, random windows are negatives of small weight.

    It minimises ``sum(weight * log(1 + exp(-sign * (w x + b)))) + |w|^2 / (2 C)`` by L-BFGS from zero: no randomness.

    Args:
        vectors: vectors of marked windows, ``(marks, width)``.
        fits: ``(marks,)`` bool, some of them true.
        weak: vectors of random unmarked windows, ``(windows, width)``.
        regularization: C.
        weak_weight: weight of each of them.

    Raises:
        ImportError: if scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ImportError(
            f"a search with {PROBE_MARKS} marks or more needs scikit-learn: pip install 'auricle[search]'."
        ) from error
    rows = np.concatenate([vectors, weak]).astype(np.float64)
    labels = np.concatenate([fits, np.zeros(len(weak), dtype=bool)])
    weights = np.concatenate([np.ones(len(vectors)), np.full(len(weak), weak_weight)])
    model = LogisticRegression(C=regularization, tol=1e-6, max_iter=2000)
    model.fit(rows, labels, sample_weight=weights)
    normal, offset = model.coef_[0], float(model.intercept_[0])
    length = max(float(np.linalg.norm(normal)), SHORTEST)
    return LinearScorer(unit(normal), length, offset, 0.0, "probe")


def fit_scorer(
    query: np.ndarray | None, vectors: np.ndarray, fits: np.ndarray, weak: np.ndarray
) -> LinearScorer:
    """
    The classifier for a number of marks.

    Without marks it is the query; from the first mark on Rocchio's moved query; with `PROBE_MARKS` marks, of
    which `PROBE_FITS` fit, a linear probe if anything, marked or random, does not fit.

    Args:
        query: unit vector ``(width,)`` of the query, or None.
        vectors, fits: of marked windows.
        weak: vectors of random unmarked windows, ``(windows, width)``.

    Raises:
        ValueError: without a query and without a mark.
        ImportError: if scikit-learn is needed and not installed.
    """
    if query is None and not len(fits):
        raise ValueError("there is neither a query nor a mark")
    if uses_probe(fits) and (len(weak) or not fits.all()):
        return fit_probe(vectors, fits, weak)
    method = "rocchio" if len(fits) else "question"
    direction = rocchio(query, vectors, fits) if len(fits) else unit(query)
    boundary = midpoint(vectors @ direction, fits, weak @ direction)
    return LinearScorer(direction, boundary=boundary, method=method)


def least_sure_order(raw: np.ndarray, boundary: float, files: np.ndarray) -> np.ndarray:
    """
    Rows in the order in which to mark them: those nearest to the boundary first, one of each file before a second one.

    Args:
        raw: raw scores, ``(rows,)``.
        boundary: boundary of the classifier.
        files: number of the file of each row, ``(rows,)``.

    Returns:
        All rows, ``(rows,)``; of equal ones the first comes first.
    """
    order = np.argsort(np.abs(raw - boundary), kind="stable")
    # Of each file the first, second, ... in that order.
    by_file = np.argsort(files[order], kind="stable")
    sorted_files = files[order][by_file]
    first = np.searchsorted(sorted_files, sorted_files, side="left")
    turn = np.empty(len(order), dtype=np.int64)
    turn[by_file] = np.arange(len(order)) - first
    return order[np.argsort(turn, kind="stable")]


def random_rows(count: int, wanted: int, excluded: Sequence[int] = (), *, seed: int = 0) -> np.ndarray:
    """
    Rows drawn without repetition, sorted; the same for the same arguments.

    Args:
        count: number of rows.
        wanted: rows at most.
        excluded: rows that are not drawn.
        seed: seed of the draw.
    """
    allowed = np.ones(count, dtype=bool)
    allowed[np.asarray(excluded, dtype=np.int64)] = False
    free = np.flatnonzero(allowed)
    if len(free) <= wanted:
        return free
    return np.sort(np.random.default_rng(seed).choice(free, size=wanted, replace=False))


__all__ = [
    "PROBE_FITS",
    "PROBE_MARKS",
    "WEAK_NEGATIVES",
    "WEAK_WEIGHT",
    "LinearScorer",
    "fit_probe",
    "fit_scorer",
    "least_sure_order",
    "midpoint",
    "random_rows",
    "rocchio",
    "unit",
    "uses_probe",
]
