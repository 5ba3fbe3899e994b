"""Moment measures: against brute force in exact fractions, case by case, and bad values."""

from fractions import Fraction

import numpy as np
import pytest

from auricle.evaluation.metrics.moment_metrics import (
    IOU_THRESHOLDS,
    average_precision,
    moment_metrics,
    query_moment_values,
    temporal_iou,
)


def exact_iou(one, other) -> Fraction:
    (a, b), (c, d) = [tuple(Fraction(value) for value in span) for span in (one, other)]
    shared = max(Fraction(0), min(b, d) - max(a, c))
    return shared / ((b - a) + (d - c) - shared)


def brute_force_precision(predicted, true, threshold: float) -> Fraction:
    """The mean over true moments of the best precision at which so many of them are found."""
    taken, found, precisions = set(), 0, []
    for place, span in enumerate(predicted, start=1):
        ious = [(float(exact_iou(span, moment)), index) for index, moment in enumerate(true)]
        for iou, index in sorted(ious, reverse=True):
            if iou < threshold:
                break
            if index not in taken:
                taken.add(index)
                found += 1
                break
        precisions.append((found, Fraction(found, place)))
    total = Fraction(0)
    for wanted in range(1, len(true) + 1):
        total += max((precision for count, precision in precisions if count >= wanted), default=Fraction(0))
    return total / len(true)


def random_spans(generator, count: int, *, grid: float, longest: int) -> list[tuple[float, float]]:
    starts = generator.integers(0, 40, size=count) * grid
    return [(float(start), float(start + grid * generator.integers(1, longest))) for start in starts]


@pytest.mark.parametrize(
    ("cases", "seed"), [(500, 1), pytest.param(10_000, 0, marks=pytest.mark.slow)], ids=["500", "10_000"]
)
def test_every_measure_equals_brute_force(cases, seed):
    generator = np.random.default_rng(seed)
    predicted, true = [], []
    for case in range(cases):
        # A coarse grid makes ties, touching spans and IoUs that equal a threshold common.
        grid = (1.0, 0.5, 0.25)[case % 3]
        predicted.append(random_spans(generator, int(generator.integers(0, 14)), grid=grid, longest=12))
        true.append(random_spans(generator, int(generator.integers(1, 6)), grid=grid, longest=12))
    values = query_moment_values(predicted, true)
    for case, (spans, moments) in enumerate(zip(predicted, true, strict=True)):
        best = max((float(exact_iou(spans[0], moment)) for moment in moments), default=0.0) if spans else 0.0
        assert values["mIoU"][case] == pytest.approx(best, abs=1e-12)
        assert values["R1@0.5"][case] == (best >= 0.5)
        assert values["R1@0.7"][case] == (best >= 0.7)
        precisions = [float(brute_force_precision(spans[:10], moments, limit)) for limit in IOU_THRESHOLDS]
        assert values["mAP"][case] == pytest.approx(np.mean(precisions), abs=1e-12)
        assert values["mAP@0.5"][case] == pytest.approx(precisions[0], abs=1e-12)
        assert values["mAP@0.75"][case] == pytest.approx(precisions[5], abs=1e-12)


def test_one_true_moment():
    values = query_moment_values([[(0, 6), (0, 10)]], [[(0, 10)]])
    assert values["R1@0.5"][0] == 1 and values["R1@0.7"][0] == 0
    assert values["mIoU"][0] == pytest.approx(0.6)
    # The first prediction matches at .5, .55 and .6; the second alone at the seven higher thresholds.
    assert values["mAP"][0] == pytest.approx((3 * 1 + 7 * 0.5) / 10)


def test_of_several_true_moments_the_best_counts_for_r1_and_all_for_precision():
    true = [[(0, 4), (10, 14), (20, 24)]]
    values = query_moment_values([[(20, 24), (0, 4), (50, 60)]], true)
    assert values["R1@0.7"][0] == 1 and values["mIoU"][0] == 1
    assert values["mAP"][0] == pytest.approx(2 / 3)


def test_a_true_moment_is_found_once():
    assert average_precision([(0, 4), (0, 4)], [(0, 4), (8, 12)], [0.5])[0] == pytest.approx(0.5)
    assert average_precision([(0, 4), (0, 4), (8, 12)], [(0, 4), (8, 12)], [0.5])[0] == pytest.approx(
        (1 + 2 / 3) / 2
    )


def test_of_equal_overlaps_the_true_moment_listed_last_is_claimed_first():
    # Both true moments overlap the first prediction alike; the second prediction fits the last one only.
    assert average_precision([(2, 6), (4, 7)], [(1, 5), (3, 7)], [0.6])[0] == pytest.approx(0.5)
    assert average_precision([(2, 6), (4, 7)], [(3, 7), (1, 5)], [0.6])[0] == pytest.approx(1.0)


def test_no_prediction_scores_nothing():
    metrics = moment_metrics([[], [(0, 1)]], [[(0, 1)], [(0, 1)]])
    assert metrics == {
        "R1@0.5": 0.5,
        "R1@0.7": 0.5,
        "mAP": 0.5,
        "mAP@0.5": 0.5,
        "mAP@0.75": 0.5,
        "mIoU": 0.5,
    }


def test_spans_that_touch_do_not_overlap():
    assert temporal_iou([(0, 5)], [(5, 10), (4, 10)]).tolist() == [[0.0, 0.1]]
    assert moment_metrics([[(0, 5)]], [[(5, 10)]])["mIoU"] == 0


def test_predictions_behind_the_tenth_do_not_count():
    wrong = [(50.0 + place, 51.0 + place) for place in range(10)]
    assert moment_metrics([[*wrong, (0, 4)]], [[(0, 4)]])["mAP"] == 0
    assert moment_metrics([[*wrong[:9], (0, 4)]], [[(0, 4)]])["mAP"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("predicted", "true", "message"),
    [
        ([[(4, 4)]], [[(0, 1)]], r"query 0: the span \[4, 4\] does not end after it starts"),
        ([[(0, 1)]], [[(3, 1)]], r"query 0: the span \[3, 1\] does not end"),
        ([[(0, float("nan"))]], [[(0, 1)]], "is not finite"),
        ([[(0, 1)]], [[]], "query 0: a query has no true moment"),
        ([], [[(0, 1)]], "predictions of 0 queries against 1"),
        ([], [], "no queries"),
    ],
)
def test_bad_spans_are_named(predicted, true, message):
    with pytest.raises(ValueError, match=message):
        query_moment_values(predicted, true)
