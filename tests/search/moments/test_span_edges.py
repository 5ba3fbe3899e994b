"""Edges of moments: against brute force, on planted scores, and spans that repeat one another."""

import numpy as np
import pytest

from auricle.search.moments.span_edges import best_segment, without_repeats


def by_hand(scores, peak, shortest, longest):
    found = {}
    count = len(scores)
    for first in range(count):
        for last in range(first + 1, count + 1):
            length = last - first
            if first <= peak < last and shortest <= length <= longest and length < count:
                outside = np.delete(scores, np.s_[first:last])
                contrast = scores[first:last].mean() - outside.mean()
                found[first, last] = contrast * np.sqrt(length * (count - length) / count)
    return max(found.values()), found


def test_the_segment_is_the_best_of_all():
    generator = np.random.default_rng(0)
    for _ in range(300):
        scores = generator.standard_normal(int(generator.integers(4, 25)))
        peak = int(generator.integers(len(scores)))
        shortest, longest = 2, int(generator.integers(2, 12))
        best, found = by_hand(scores, peak, shortest, longest)
        assert found[best_segment(scores, peak, shortest=shortest, longest=longest)] == pytest.approx(best)


def test_a_planted_run_is_found_to_the_frame():
    scores = np.random.default_rng(1).normal(scale=0.05, size=60)
    scores[17:29] += 1.0
    assert best_segment(scores, 20, shortest=2, longest=40) == (17, 29)


def test_a_recording_of_one_frame_is_one_segment():
    assert best_segment(np.array([0.3]), 0, shortest=2, longest=62) == (0, 1)


def test_spans_that_repeat_a_better_one_go():
    spans = [(0.0, 4.0, 0.9), (1.0, 5.0, 0.8), (3.0, 9.0, 0.7), (20.0, 21.0, 0.6)]
    assert without_repeats(spans, 3) == [spans[0], spans[2], spans[3]]
    assert without_repeats(spans, 1) == spans[:1]
