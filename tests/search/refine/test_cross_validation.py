"""Thresholds and their precision, by cross-validation grouped by file."""

import numpy as np
import pytest

from auricle.search.errors import SearchError
from auricle.search.refine.classifiers import fit_probe
from auricle.search.refine.cross_validation import (
    check_enough,
    choose_threshold,
    estimate,
    fold_of_marks,
    held_out_scores,
    wilson,
)


def marks(count, *, width=8, noise=0.0, files=20, seed=0):
    """Unit vectors, whether they fit, and their files; what fits lies on one side, but for some noise."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    fits = vectors[:, 0] > 0
    fits ^= random.random(count) < noise
    groups = [f"{number}" for number in random.integers(0, files, size=count)]
    return vectors.astype(np.float32), fits, groups


WEAK = marks(100, seed=9)[0]


def test_all_marks_of_a_file_are_in_one_fold():
    _, fits, groups = marks(60)
    folds = fold_of_marks(fits, groups)
    assert set(folds) == {0, 1, 2, 3, 4}
    for group in set(groups):
        assert len({fold for fold, own in zip(folds, groups, strict=True) if own == group}) == 1
    assert np.array_equal(folds, fold_of_marks(fits, groups))


def test_each_mark_is_judged_by_a_probe_that_did_not_see_its_file():
    vectors, fits, groups = marks(60)
    folds = fold_of_marks(fits, groups)
    scores = held_out_scores(vectors, fits, WEAK, folds)
    for place in range(60):
        others = [other for other in range(60) if folds[other] != folds[place]]
        probe = fit_probe(vectors[others], fits[others], WEAK)
        assert scores[place] == pytest.approx(float(probe.score(vectors[place] @ probe.direction)), abs=1e-6)


def brute_threshold(scores, fits, wanted):
    shares = {}
    for limit in set(scores):
        above = [one for score, one in zip(scores, fits, strict=True) if score >= limit]
        shares[limit] = sum(above) / len(above)
    good = [limit for limit, share in shares.items() if share >= wanted]
    if good:
        return min(good), True
    best = max(shares.values())
    return min(limit for limit, share in shares.items() if share == best), False


@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.9, 1.0])
def test_the_threshold_is_the_lowest_that_reaches_the_precision(wanted):
    random = np.random.default_rng(1)
    for _ in range(200):
        # Few values: marks share scores.
        scores = random.integers(0, 6, size=12) / 6
        fits = random.random(12) < scores
        assert choose_threshold(scores, fits, wanted) == brute_threshold(scores, fits, wanted)


def test_the_interval_is_wilsons():
    # Shares at which the observed one is 1.96 standard deviations away.
    for hits, count in ((8, 10), (0, 7), (30, 31)):
        for share in wilson(hits, count):
            spread = np.sqrt(share * (1 - share) / count)
            assert abs(hits / count - share) == pytest.approx(1.959964 * spread, abs=1e-9)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_an_estimate_of_marks_that_can_be_told_apart():
    vectors, fits, groups = marks(80)
    found = estimate(vectors, fits, WEAK, groups)
    assert found.precision > 0.85
    assert found.recall > 0.5
    assert found.low <= found.precision <= found.high
    assert (found.marks, found.fits, found.files, found.reached) == (
        80,
        int(fits.sum()),
        len(set(groups)),
        True,
    )
    assert "cross-validation over 80 marks" in found.line()


def test_an_estimate_of_marks_that_say_nothing_is_no_better_than_chance():
    """Chosen and judged on the same marks, a threshold would look far better than it is."""
    found = []
    for seed in range(8):
        vectors, _, groups = marks(60, width=40, seed=seed)
        fits = np.random.default_rng(seed + 100).random(60) < 0.5
        found.append(estimate(vectors, fits, WEAK[:, :1].repeat(40, axis=1), groups))
    assert np.mean([one.precision for one in found]) < 0.62


def test_copies_in_several_folds_would_flatter():
    """Each file has many marks of one random kind: only by its own marks could a file be told."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(16, 32))
    groups = [str(number % 16) for number in range(128)]
    vectors = np.array([centres[int(group)] for group in groups]) + 0.05 * random.normal(size=(128, 32))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    kinds = random.permutation(16) < 8
    fits = np.array([kinds[int(group)] for group in groups])
    honest = held_out_scores(vectors, fits, WEAK[:, :1].repeat(32, axis=1), fold_of_marks(fits, groups))
    own = [str(number) for number in range(128)]
    flattered = held_out_scores(vectors, fits, WEAK[:, :1].repeat(32, axis=1), fold_of_marks(fits, own))
    right = [float(((scores > 0.5) == fits).mean()) for scores in (honest, flattered)]
    assert right[1] > 0.95
    assert right[0] < 0.8


@pytest.mark.parametrize(
    ("fits", "groups"),
    [
        ([True] * 10 + [False] * 9, [str(number) for number in range(19)]),
        ([True] * 4 + [False] * 30, [str(number) for number in range(34)]),
        ([True] * 30 + [False] * 4, [str(number) for number in range(34)]),
        ([True] * 20 + [False] * 20, ["a"] * 10 + ["b"] * 10 + [str(number) for number in range(20)]),
    ],
)
def test_too_few_marks_are_refused_with_their_numbers(fits, groups):
    with pytest.raises(SearchError, match="too few marks to estimate a threshold") as told:
        check_enough(np.array(fits), groups)
    assert f"{sum(fits)} fit" in str(told.value)
    check_enough(np.array([True] * 10 + [False] * 10), [str(number) for number in range(20)])


def test_a_given_threshold_is_judged_as_it_is():
    vectors, fits, groups = marks(80, noise=0.2)
    scores = held_out_scores(vectors, fits, WEAK, fold_of_marks(fits, groups))
    found = estimate(vectors, fits, WEAK, groups, threshold=0.4)
    above = scores >= 0.4
    assert found.precision == pytest.approx((above & fits).sum() / above.sum())
    assert (found.threshold, found.wanted, found.above) == (0.4, None, int(above.sum()))


def test_a_precision_out_of_reach_is_said():
    vectors, _, groups = marks(60, seed=3)
    fits = np.random.default_rng(3).random(60) < 0.3
    folds = fold_of_marks(fits, groups)
    scores = held_out_scores(vectors, fits, WEAK, folds)
    found = estimate(vectors, fits, WEAK, groups, wanted=1.0)
    assert choose_threshold(scores, fits, 1.0)[1] is False
    assert found.reached is False
    assert "no threshold reaches the wanted 1.00" in found.line()
