"""Bootstrap intervals: against resampling one query at a time, their coverage, and bad values."""

import numpy as np
import pytest

from auricle.evaluation.metrics.bootstrap import bootstrap_differences, bootstrap_means


def test_the_interval_is_that_of_resampled_means():
    values = np.random.default_rng(1).beta(0.5, 0.5, size=300)
    interval = bootstrap_means({"m": values}, resamples=4000)["m"]
    generator = np.random.default_rng(2)
    means = [values[generator.integers(300, size=300)].mean() for _ in range(4000)]
    low, high = np.percentile(means, [2.5, 97.5])
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(low, abs=0.004)
    assert interval.high == pytest.approx(high, abs=0.004)


def test_it_covers_the_truth_about_95_times_in_100():
    generator = np.random.default_rng(3)
    hits = 0
    for seed in range(300):
        interval = bootstrap_means({"m": generator.uniform(size=80)}, resamples=300, seed=seed)["m"]
        hits += interval.low <= 0.5 <= interval.high
    assert 270 <= hits <= 297


def test_pairing_removes_what_both_share():
    generator = np.random.default_rng(4)
    hard = generator.uniform(size=200)
    first, second = hard + 0.02, hard
    paired = bootstrap_differences({"m": first}, {"m": second})["m"]
    assert paired.low == pytest.approx(0.02) and paired.high == pytest.approx(0.02)
    alone = bootstrap_means({"m": first})["m"]
    assert alone.high - alone.low > 0.05


def test_the_seed_decides_and_pieces_do_not(monkeypatch):
    values = {"m": np.random.default_rng(5).uniform(size=50)}
    whole = bootstrap_means(values, resamples=100, seed=9)
    assert bootstrap_means(values, resamples=100, seed=9) == whole
    assert bootstrap_means(values, resamples=100, seed=8) != whole
    monkeypatch.setattr("auricle.evaluation.metrics.bootstrap._AT_ONCE", 500)
    assert bootstrap_means(values, resamples=100, seed=9) == whole


@pytest.mark.parametrize(
    ("values", "resamples", "message"),
    [
        ({"m": []}, 10, "at least one"),
        ({"a": [1.0], "b": [1.0, 2.0]}, 10, "all metrics need the same"),
        ({"m": [0.0, float("nan")]}, 10, "m of query 1 is nan"),
        ({"m": [0.0]}, 0, "resamples=0 must be at least 1"),
    ],
)
def test_bad_values_are_named(values, resamples, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_means({name: np.array(one) for name, one in values.items()}, resamples=resamples)


def test_other_queries_are_not_paired():
    with pytest.raises(ValueError, match="2 queries against 3"):
        bootstrap_differences({"m": np.zeros(2)}, {"m": np.zeros(3)})
    with pytest.raises(ValueError, match="metrics differ"):
        bootstrap_differences({"m": np.zeros(2)}, {"n": np.zeros(2)})
