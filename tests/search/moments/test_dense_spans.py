"""Dense search: planted scores and sounds, edges between scores, and the threshold that common questions give."""

import numpy as np
import pytest

from auricle.encoders.recordings.short_windows import ShortWindows
from auricle.search.moments.dense_spans import best_scores, chance_score, rank_dense_spans
from auricle.search.moments.score_curve import contrast_vector, find_spans, smoothed


def found(scores, **options):
    how = {"hop_seconds": 1.0, "duration": float(len(scores)), "top": 10, **options}
    return find_spans(np.asarray(scores, dtype=float), **how)


def test_edges_lie_where_the_curve_crosses_the_level():
    (span,) = found([0, 0, 0, 1, 1, 1, 0, 0, 0], level=0.5)
    # Scores stand at the middle of their second; half of the way down lies half a second on.
    assert (span.start, span.end, span.first, span.last) == (3.0, 6.0, 3, 5)
    (steep,) = found([0, 0, 0, 1, 1, 1, 0, 0, 0], level=0.25)
    assert (steep.start, steep.end) == pytest.approx((2.75, 6.25))


def test_spans_reach_the_ends_of_the_recording():
    first, second = found([1, 1, 0, 0, 0, 0, 0, 0, 2, 2, 2], duration=10.3, level=0.5)
    assert (first.start, first.end) == (pytest.approx(8.0), 10.3)
    assert (second.start, second.end) == (0.0, pytest.approx(2.0))


def test_every_span_is_a_whole_run_above_its_own_level():
    generator = np.random.default_rng(0)
    for _ in range(200):
        scores = generator.standard_normal(int(generator.integers(2, 40))).cumsum()
        spans, height = found(scores, top=100), scores - np.median(scores)
        taken = np.zeros(len(scores), dtype=bool)
        for span in sorted(spans, key=lambda one: -one.peak):
            inside, floor = np.arange(span.first, span.last + 1), 0.45 * (span.peak - np.median(scores))
            assert not taken[inside].any() and (height[inside] >= floor - 1e-12).all()
            for beside in (span.first - 1, span.last + 1):
                assert not 0 <= beside < len(scores) or taken[beside] or height[beside] < floor
            taken[inside] = True
            assert span.strength == pytest.approx(height[inside].sum() / (len(inside) + 2))
            assert 0 <= span.start < span.end <= len(scores)
            assert span.end - span.start >= min(1.0, len(scores)) - 1e-9
        assert [span.strength for span in spans] == sorted((span.strength for span in spans), reverse=True)
        # Whatever lies above the median belongs to a span.
        assert taken[height > 0].all()


def test_a_span_of_one_score_is_held_back():
    long, short = found([0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1.2, 0, 0], level=0.5)
    assert long.first == 1 and short.first == 10 and short.peak > long.peak


def test_a_long_stretch_comes_behind_short_spans_but_is_kept():
    scores = np.zeros(100)
    scores[10:40], scores[60:64] = 1.0, 0.6
    short, long = find_spans(scores, hop_seconds=1.0, duration=100.0, top=5)[:2]
    assert (round(short.start), round(short.end)) == (60, 64)
    assert (round(long.start), round(long.end)) == (10, 40)
    assert long.strength < short.strength


@pytest.mark.parametrize("scores", [[], [1.0, np.nan], [np.inf]])
def test_scores_that_are_no_numbers_are_refused(scores):
    with pytest.raises(ValueError, match="finite numbers, at least one"):
        found(scores)


def test_a_flat_curve_is_one_span():
    (span,) = found([0.3] * 4)
    assert (span.start, span.end) == (0.0, 4.0)


def test_smoothing_keeps_the_mean_of_a_constant_and_spreads_a_peak():
    assert smoothed(np.full(5, 2.0)).tolist() == [2.0] * 5
    assert smoothed(np.array([0, 0, 4, 0, 0.0])).tolist() == [0, 1, 2, 1, 0]
    assert smoothed(np.array([3.0])).tolist() == [3.0]


def recording(length=60):
    """Background that fits nothing, question 0 at 20 to 25 s, question 1 at 40 to 48 s."""
    generator = np.random.default_rng(1)
    texts = np.eye(12, dtype=np.float32)
    sounds = generator.standard_normal((length, 12)) * 0.05
    sounds[20:25, 0] += 1.0
    sounds[40:48, 1] += 1.0
    sounds /= np.linalg.norm(sounds, axis=1, keepdims=True) + 0.5
    return ShortWindows(sounds.astype(np.float32), 1.0, float(length)), texts


def test_planted_moments_are_found_and_told_apart():
    sounds, texts = recording()
    for question, start, end in ((0, 20, 25), (1, 40, 48)):
        (best, *_) = rank_dense_spans(sounds, "a.wav", texts[question], texts, top=5)
        assert (best.start, best.end) == pytest.approx((start, end), abs=0.6)
        inside = sounds.vectors[round(best.start + 0.4) : round(best.end - 0.4)]
        assert best.cosine == pytest.approx(float((inside @ texts[question]).mean()), abs=0.05)
        # Only the other planted question may have a better moment; a tie with itself counts half.
        assert best.percentile >= 100 * 10.5 / 12 and best.duration == 60.0


def test_nothing_is_said_where_nothing_is():
    sounds, texts = recording()
    assert rank_dense_spans(sounds, "a.wav", texts[5], texts, top=5)
    assert rank_dense_spans(sounds, "a.wav", texts[5], texts, top=5, min_percentile=90) == []
    kept = rank_dense_spans(sounds, "a.wav", texts[0], texts, top=5, min_percentile=90)
    assert [(round(hit.start), round(hit.end)) for hit in kept] == [(20, 25)]


def test_the_chance_score_is_a_quantile_of_the_questions_best_scores():
    sounds, texts = recording()
    best = [smoothed(sounds.vectors @ contrast_vector(text, texts)).max() for text in texts]
    assert best_scores(sounds.vectors, texts) == pytest.approx(best)
    assert chance_score(np.array(best), 80) == pytest.approx(np.quantile(best, 0.8))
    assert (
        chance_score(np.array(best), 0) == chance_score(best_scores(sounds.vectors, texts[:0]), 80) == -np.inf
    )


@pytest.mark.parametrize("least", [30, 50, 80])
def test_the_percentile_of_a_moment_is_the_number_that_decides(least):
    """Shares of 12 queries are steps of 8.3 %; between two of them the threshold is interpolated."""
    sounds, texts = recording()
    for text in texts:
        shown = {
            (hit.start, hit.end): hit.percentile
            for hit in rank_dense_spans(sounds, "a.wav", text, texts, top=99)
        }
        kept = {
            (hit.start, hit.end)
            for hit in rank_dense_spans(sounds, "a.wav", text, texts, top=99, min_percentile=least)
        }
        assert all(shown[span] > least - 100 / 12 for span in kept)
        assert all(percentile < least + 100 / 12 for span, percentile in shown.items() if span not in kept)
