"""Combined scores, percentiles, fused ranks, names and merged spans, by hand and by brute force."""

import itertools
import json

import numpy as np
import pytest

from auricle.search.query.names import NameIndex, labels, name_scores, words_of
from auricle.search.query.ranking import combine_scores, fuse_ranks, merge_spans, percentile_of


def test_unwanted_sentences_take_half_of_the_worst():
    wanted = np.array([0.5, 0.5, 0.5])
    unwanted = [np.array([0.4, -0.9, 0.0]), np.array([0.2, -0.1, 0.6])]
    assert combine_scores(wanted, unwanted).tolist() == pytest.approx([0.3, 0.5, 0.2])
    assert combine_scores(wanted, []) is wanted


def test_a_percentile_is_a_share():
    background = np.array([0.1, 0.2, 0.3, 0.4])
    assert percentile_of(0.25, background) == 50.0
    assert percentile_of(0.2, background) == 37.5
    assert percentile_of(0.9, background) == 100.0 and percentile_of(0.2, np.zeros(0)) == 0.0


def test_fused_ranks_are_sums_of_reciprocals():
    fused = fuse_ranks([np.array([0.9, 0.1, 0.5]), np.array([-np.inf, 1.0, 0.5])])
    assert fused.tolist() == pytest.approx([1 / 61, 1 / 63 + 1 / 61, 1 / 62 + 1 / 62])


def test_equal_scores_share_the_best_rank():
    fused = fuse_ranks([np.array([0.5, 0.9, 0.5, 0.1])])
    assert fused.tolist() == pytest.approx([1 / 62, 1 / 61, 1 / 62, 1 / 64])


def test_names_are_taken_apart():
    scores = name_scores("dogs bark", ["DogBark_02", "loud_dog", "rain"])
    assert scores.tolist() == [1.0, 0.5, -np.inf]
    assert words_of("Take 03 of the BigDogs_barkX2.wav") == {
        "take",
        "3",
        "big",
        "dog",
        "bark",
        "x",
        "2",
        "wav",
    }


def test_numbers_tell_names_apart_and_stop_words_do_not():
    scores = name_scores("take 3 of a song", ["take_03", "take_04", "a song", "in the middle of it"])
    assert scores.tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 3, -np.inf])
    assert name_scores("is it the", ["it is"]).tolist() == [-np.inf]


def test_the_words_of_names_find_what_looking_at_each_name_finds():
    generator = np.random.default_rng(0)
    words = ["dog", "rain", "bell", "car", "7", "12"]
    names = ["_".join(generator.choice(words, generator.integers(1, 5))) for _ in range(200)]
    index = NameIndex(names)
    for query in ("dog", "a rain and bell", "car 7", "nothing", "12 dogs"):
        wanted = words_of(query)
        held = np.array([len(wanted & words_of(name)) for name in names])
        expected = np.where(held > 0, held / len(wanted), -np.inf)
        assert index.scores(query).tolist() == expected.tolist()
    rows = {"path": np.array(["/s/a_1.wav"] * 2, object), "tags": np.array([None] * 2, object)}
    rows["tags"][:] = [("wet", "loud"), ()]
    told = {"year": "2021", "title": 'The "Brook"', "description": "at night"}
    rows["metadata"] = np.array(["{}", json.dumps(told)], object)
    assert labels(rows) == ["wet loud a_1", 'a_1 The "Brook" at night']


def test_spans_grow_over_windows_that_overlap_and_score_alike():
    starts = np.arange(0, 50, 5.0)
    ends = starts + 10
    scores = np.array([0.1, 0.1, 0.5, 0.52, 0.1, 0.1, 0.3, 0.1, 0.1, 0.4])
    spans = merge_spans(starts, ends, scores, top=3, threshold=0.05, shortest=1.0)
    assert spans == [(10.0, 25.0, 0.52), (45.0, 55.0, 0.4), (30.0, 40.0, 0.3)]


def test_a_span_holds_the_better_neighbour_of_its_best_window():
    starts = np.arange(0, 40, 5.0)
    ends = starts + 10
    scores = np.array([0.1, 0.2, 0.5, 0.3, 0.1, 0.15, 0.4, 0.38])
    spans = merge_spans(starts, ends, scores, top=2, threshold=0.03)
    assert spans == [(10.0, 25.0, 0.5), (30.0, 45.0, 0.4)]
    # With windows closer together it takes as many as it needs, and then those that score alike.
    starts = np.arange(0, 40, 2.5)
    scores = np.full(16, 0.1)
    scores[4:8] = [0.48, 0.5, 0.3, 0.2]
    assert merge_spans(starts, starts + 10, scores, top=1, threshold=0.03) == [(10.0, 25.0, 0.5)]
    scores[7] = 0.49
    assert merge_spans(starts, starts + 10, scores, top=1, threshold=0.03) == [(10.0, 27.5, 0.5)]
    # A recording of one window has no neighbour.
    assert merge_spans(np.zeros(1), np.array([3.0]), np.array([0.2]), top=3, threshold=0.03) == [
        (0.0, 3.0, 0.2)
    ]


def test_spans_do_not_overlap_and_come_in_order():
    generator = np.random.default_rng(0)
    for _ in range(50):
        starts = np.arange(30) * 2.5
        ends = starts + 10
        spans = merge_spans(starts, ends, generator.uniform(-1, 1, 30), top=30, threshold=0.2)
        assert [score for *_, score in spans] == sorted((score for *_, score in spans), reverse=True)
        ordered = sorted(spans)
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(ordered))


def test_windows_that_do_not_overlap_stay_apart():
    starts = np.array([0.0, 10.0])
    assert merge_spans(starts, starts + 10, np.array([0.5, 0.5]), top=5, threshold=1.0) == [
        (0.0, 10.0, 0.5),
        (10.0, 20.0, 0.5),
    ]
