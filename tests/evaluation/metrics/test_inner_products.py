"""A matrix kept as vectors: what it gives out, and the same figures as from the matrix itself."""

from dataclasses import replace

import numpy as np
import pytest
from planted import planted_similarities

from auricle.evaluation.metrics.inner_products import (
    InnerProducts,
    first_not_finite,
    ranks_of,
    weighted_inner_products,
)
from auricle.evaluation.protocol import evaluate_similarities
from auricle.evaluation.similarities import Similarities, SimilarityError, weighted_sum


def vectors(rows: int, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)


def as_vectors(planted: Similarities, seed: int = 0) -> Similarities:
    """Similarities of the same split, of random vectors."""
    queries, clips = planted.scores.shape
    return replace(
        planted, scores=InnerProducts(vectors(queries, seed=seed), vectors(clips, seed=seed + 100))
    )


@pytest.fixture
def matrix() -> InnerProducts:
    return InnerProducts(vectors(6), vectors(4, seed=1))


def test_rows_selections_and_transpose_are_those_of_the_matrix(matrix):
    full = matrix.row_vectors @ matrix.column_vectors.T
    assert matrix.shape == full.shape == (6, 4)
    np.testing.assert_array_equal(np.asarray(matrix), full)
    np.testing.assert_allclose(matrix[2], full[2], atol=1e-6)
    np.testing.assert_allclose(np.asarray(matrix[[4, 0]]), full[[4, 0]], atol=1e-6)
    np.testing.assert_allclose(np.asarray(matrix.T[[3]]), full.T[[3]], atol=1e-6)


def test_widths_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 4\)"):
        InnerProducts(vectors(2, 3), vectors(2, 4))


def test_ranks_are_those_of_the_scores(matrix):
    relevant = [[0], [1, 2], [3], [0, 3], [2], [1]]
    found = ranks_of(matrix, relevant)
    order = np.argsort(-np.asarray(matrix, dtype=np.float64), axis=1, kind="stable")
    expected = [list(order[row]).index(column) for row, columns in enumerate(relevant) for column in columns]
    assert found.ranks.tolist() == expected


def test_what_is_not_finite_is_found_on_either_side(matrix):
    assert first_not_finite(matrix) is None
    matrix.column_vectors[3, 0] = np.nan
    assert first_not_finite(matrix) == (0, 3)
    matrix.row_vectors[2, 1] = np.inf
    assert first_not_finite(matrix) == (2, 3)
    planted = planted_similarities()
    queries, clips = planted.scores.shape
    broken = vectors(clips)
    broken[2] = np.nan
    with pytest.raises(SimilarityError, match=r"query 'set/test/0\.wav#0', clip 'set/test/2\.wav' is nan"):
        replace(planted, scores=InnerProducts(vectors(queries), broken))


def test_the_weighted_sum_is_that_of_the_matrices():
    members = [InnerProducts(vectors(6, width, width), vectors(4, width, 50 + width)) for width in (3, 8)]
    expected = 0.5 * np.asarray(members[0]) + 3 * np.asarray(members[1])
    np.testing.assert_allclose(np.asarray(weighted_inner_products(members, [0.5, 3])), expected, atol=1e-5)


def test_mixed_members_add_up_too():
    planted = planted_similarities()
    other = as_vectors(planted)
    total = weighted_sum([planted, other], [1, 2], "sum")
    np.testing.assert_allclose(total.scores, planted.scores + 2 * np.asarray(other.scores), atol=1e-5)
    both = weighted_sum([other, as_vectors(planted, 7)], [1, 2], "sum")
    assert isinstance(both.scores, InnerProducts)


def test_a_report_from_vectors_is_that_of_their_matrix():
    kept = as_vectors(planted_similarities())
    # The grid of the exact arithmetic and float32 may order scores differently that are 1e-8 apart; these are not.
    dense = replace(kept, scores=np.asarray(kept.scores, dtype=np.float64))
    relevant = {0: [0, 2], 4: [1]}
    assert evaluate_similarities(kept, relevant=relevant) == evaluate_similarities(dense, relevant=relevant)


def test_vectors_come_back_from_disk_as_vectors(tmp_path):
    kept = as_vectors(planted_similarities())
    kept.save(tmp_path / "s")
    loaded = Similarities.load(tmp_path / "s").scores
    assert isinstance(loaded, InnerProducts)
    np.testing.assert_array_equal(loaded.row_vectors, kept.scores.row_vectors)
    np.testing.assert_array_equal(loaded.column_vectors, kept.scores.column_vectors)
