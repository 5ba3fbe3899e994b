"""A similarity matrix stored as vectors, since 100,000 x 100,000 scores would need 40 GB."""

from collections.abc import Sequence

import numpy as np

from .retrieval_metrics import RelevantRanks, relevant_ranks, relevant_ranks_from_similarities


class InnerProducts:
    """
    The matrix ``row_vectors @ column_vectors.T``, of which only requested parts are computed.

    It has an array's ``shape`` and ``T``; a number as index gives that row's scores, a list the matrix of those
    rows; ``np.asarray`` computes the whole matrix.

    Args:
        row_vectors: float32 ``(rows, width)``.
        column_vectors: float32 ``(columns, width)``.

    Raises:
        ValueError: if their widths differ.
    """

    def __init__(self, row_vectors: np.ndarray, column_vectors: np.ndarray):
        shapes = row_vectors.shape, column_vectors.shape
        if [len(shape) for shape in shapes] != [2, 2] or shapes[0][1] != shapes[1][1]:
            raise ValueError(
                f"vectors of shapes {shapes[0]} and {shapes[1]}: both must be (number, width), with one width."
            )
        self.row_vectors, self.column_vectors = row_vectors, column_vectors

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.row_vectors), len(self.column_vectors)

    @property
    def T(self) -> "InnerProducts":
        """The transposed matrix."""
        return InnerProducts(self.column_vectors, self.row_vectors)

    def __getitem__(self, rows: int | Sequence[int]) -> "np.ndarray | InnerProducts":
        if isinstance(rows, int | np.integer):
            return self.column_vectors @ self.row_vectors[rows]
        return InnerProducts(self.row_vectors[rows], self.column_vectors)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return (self.row_vectors @ self.column_vectors.T).astype(dtype or np.float32, copy=False)


Scores = np.ndarray | InnerProducts


def first_not_finite(scores: Scores) -> tuple[int, int] | None:
    """Row and column of a score that is not a finite number; None if every one is."""
    if isinstance(scores, np.ndarray):
        places = np.argwhere(~np.isfinite(scores))
        return (int(places[0][0]), int(places[0][1])) if len(places) else None
    sides = (scores.row_vectors, scores.column_vectors)
    row, column = (np.flatnonzero(~np.isfinite(side).all(axis=1)) for side in sides)
    if not len(row) and not len(column):
        return None
    return (int(row[0]) if len(row) else 0, int(column[0]) if len(column) else 0)


def ranks_of(scores: Scores, relevant: Sequence[Sequence[int]]) -> RelevantRanks:
    """
    The ranks of every row's relevant columns, see ``evaluation/metrics/retrieval_metrics.py``.

    Ranks of inner products use exact arithmetic in bounded memory, ranks of an array its own numbers.

    Raises:
        ValueError: for a row without a relevant column, or with a column that does not exist.
    """
    if isinstance(scores, InnerProducts):
        return relevant_ranks(scores.row_vectors, scores.column_vectors, relevant)
    return relevant_ranks_from_similarities(scores, relevant)


def weighted_inner_products(members: Sequence[InnerProducts], weights: Sequence[float]) -> InnerProducts:
    """
    The weighted sum of matrices of one shape, as concatenated vectors scaled by the square roots of the weights.

    Args:
        members: members with the same rows and columns, each of any width.
        weights: one a member, 0 or more.
    """
    roots = [np.float32(weight**0.5) for weight in weights]

    def join(sides: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([side * root for side, root in zip(sides, roots, strict=True)], axis=1)

    return InnerProducts(
        join([one.row_vectors for one in members]), join([one.column_vectors for one in members])
    )


__all__ = ["InnerProducts", "Scores", "first_not_finite", "ranks_of", "weighted_inner_products"]
