"""Classifiers on vectors, against spelled-out definitions and other ways to the same minimum."""

import numpy as np
import pytest
from scipy.optimize import minimize

from auricle.search.refine.classifiers import (
    PROBE_MARKS,
    LinearScorer,
    fit_probe,
    fit_scorer,
    least_sure_order,
    midpoint,
    random_rows,
    rocchio,
    unit,
    uses_probe,
)


def unit_rows(count, width=8, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_rocchio_is_its_formula():
    query, vectors = unit_rows(1, seed=1)[0], unit_rows(7, seed=2)
    fits = np.array([1, 0, 1, 1, 0, 0, 0], dtype=bool)
    expected = np.zeros(8)
    for place in range(8):
        wanted = [float(row[place]) for row, one in zip(vectors, fits, strict=True) if one]
        others = [float(row[place]) for row, one in zip(vectors, fits, strict=True) if not one]
        expected[place] = query[place] + sum(wanted) / len(wanted) - 0.5 * sum(others) / len(others)
    expected /= np.sqrt((expected**2).sum())
    np.testing.assert_allclose(rocchio(query, vectors, fits), expected, atol=1e-6)


@pytest.mark.parametrize("fits", [[True], [False]])
def test_rocchio_moves_from_the_first_mark(fits):
    query, vectors = unit_rows(1, seed=1)[0], unit_rows(1, seed=3)
    moved = rocchio(query, vectors, np.array(fits))
    nearer = float(moved @ vectors[0]) > float(query @ vectors[0])
    assert nearer == fits[0]
    assert np.linalg.norm(moved) == pytest.approx(1, abs=1e-6)


def test_rocchio_without_a_question_is_the_mean_of_what_fits():
    vectors = unit_rows(3, seed=4)
    expected = vectors.mean(axis=0) / np.linalg.norm(vectors.mean(axis=0))
    np.testing.assert_allclose(rocchio(None, vectors, np.ones(3, dtype=bool)), expected, atol=1e-6)
    assert not rocchio(None, vectors[:0], np.ones(0, dtype=bool)).any()


def probe_loss(parameters, vectors, fits, weak, c, weak_weight):
    weights, offset = parameters[:-1], parameters[-1]
    loss = 0.5 * float(weights @ weights) / c
    rows = [(row, 1.0 if one else -1.0, 1.0) for row, one in zip(vectors, fits, strict=True)]
    rows += [(row, -1.0, weak_weight) for row in weak]
    for row, sign, weight in rows:
        loss += weight * np.log1p(np.exp(-sign * (weights @ row + offset)))
    return loss


def test_the_probe_is_at_the_minimum_of_its_loss():
    vectors, weak = unit_rows(24, width=4, seed=5), unit_rows(30, width=4, seed=6)
    fits = vectors[:, 0] + 0.3 * vectors[:, 1] > 0
    probe = fit_probe(vectors, fits, weak, regularization=3.0, weak_weight=0.05)
    own = np.append(probe.direction.astype(np.float64) * probe.scale, probe.offset)
    found = minimize(
        probe_loss, np.zeros(5), args=(vectors, fits, weak, 3.0, 0.05), method="BFGS", options={"gtol": 1e-8}
    )
    np.testing.assert_allclose(own, found.x, atol=2e-3)
    # Weights count: without them, and with other ones, the minimum lies elsewhere.
    for other in (0.0, 1.0):
        args = (vectors, fits, weak, 3.0, other)
        assert not np.allclose(own, minimize(probe_loss, np.zeros(5), args=args).x, atol=2e-2)


def test_the_probe_is_the_same_every_time():
    vectors, weak = unit_rows(24, seed=5), unit_rows(30, seed=6)
    fits = vectors[:, 0] > 0
    one, two = (fit_probe(vectors, fits, weak) for _ in range(2))
    assert np.array_equal(one.direction, two.direction)
    assert (one.scale, one.offset) == (two.scale, two.offset)


def test_scores_of_a_probe_are_probabilities_and_lead_back_to_cosines():
    probe = LinearScorer(unit_rows(1)[0], scale=7.0, offset=-1.0, method="probe")
    cosines = np.array([-1.0, 0.0, 1 / 7, 0.9])
    scores = probe.score(cosines)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-(7 * cosines - 1))))
    assert scores[2] == pytest.approx(0.5)
    for cosine, score in zip(cosines, scores, strict=True):
        assert probe.cosine_at(float(score)) == pytest.approx(cosine)
    assert probe.cosine_at(1.0) == np.inf
    assert probe.cosine_at(0.0) == -np.inf
    assert LinearScorer(unit_rows(1)[0]).cosine_at(0.3) == pytest.approx(0.3)


def test_what_ranks_depends_on_the_marks():
    vectors, weak, query = unit_rows(40, seed=7), unit_rows(50, seed=8), unit_rows(1, seed=9)[0]
    fits = np.arange(40) % 3 == 0

    def method(count, question=query):
        return fit_scorer(question, vectors[:count], fits[:count], weak).method

    assert method(0) == "question"
    assert method(1) == method(PROBE_MARKS - 1) == "rocchio"
    assert method(PROBE_MARKS) == method(PROBE_MARKS, None) == "probe"
    few = np.arange(40) < 2
    assert not uses_probe(few)
    assert fit_scorer(query, vectors, few, weak).method == "rocchio"
    # Without anything that does not fit there is nothing to tell apart.
    assert fit_scorer(query, vectors, np.ones(40, dtype=bool), weak[:0]).method == "rocchio"
    with pytest.raises(ValueError, match="neither a query nor a mark"):
        fit_scorer(None, vectors[:0], fits[:0], weak)


def test_the_boundary_lies_between_what_fits_and_what_does_not():
    scores, fits = np.array([0.8, 0.6, 0.1]), np.array([True, True, False])
    background = np.array([0.0, 0.2, 0.4])
    assert midpoint(scores, fits, background) == pytest.approx((0.7 + 0.1) / 2)
    assert midpoint(scores[:2], fits[:2], background) == pytest.approx((0.7 + 0.2) / 2)
    assert midpoint(scores[2:], fits[2:], background) == pytest.approx((0.4 + 0.1) / 2)


def test_the_least_sure_come_first_and_one_of_each_file_before_a_second():
    random = np.random.default_rng(3)
    raw, files = random.normal(size=60), random.integers(0, 7, size=60)
    raw[10] = raw[20]
    order = least_sure_order(raw, 0.25, files)
    # Spelled out: in every turn the nearest to the boundary that each file has left, then sorted.
    left, expected = set(range(60)), []
    while left:
        turn = []
        for file in set(files[sorted(left)]):
            turn.append(
                min((row for row in left if files[row] == file), key=lambda row: (abs(raw[row] - 0.25), row))
            )
        expected += sorted(turn, key=lambda row: (abs(raw[row] - 0.25), row))
        left -= set(turn)
    assert order.tolist() == expected


def test_random_rows_are_drawn_once_and_the_same_again():
    drawn = random_rows(1000, 100, excluded=range(500))
    assert len(set(drawn.tolist())) == 100
    assert drawn.min() >= 500
    assert (np.diff(drawn) > 0).all()
    assert np.array_equal(drawn, random_rows(1000, 100, excluded=range(500)))
    assert not np.array_equal(drawn, random_rows(1000, 100, excluded=range(500), seed=1))
    assert random_rows(5, 100, excluded=[1]).tolist() == [0, 2, 3, 4]


def test_unit_keeps_zeros():
    assert not unit(np.zeros(4)).any()
    assert np.linalg.norm(unit(np.array([3.0, 4.0]))) == pytest.approx(1)
