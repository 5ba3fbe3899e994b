"""Windows and segments of a stream against what slicing the whole recording gives."""

import itertools

import numpy as np
import pytest

from auricle.encoders.recordings.window_cutting import windows_and_segments, windows_reaching_back

LENGTH, TAIL = 12, 3
HOPS = (12, 6, 4, 5, 7, 11, 1)
SIZES = (1, 2, 5, 11, 12, 13, 14, 15, 23, 24, 26, 27, 36, 37, 41, 60)


def pieces_of(samples, size):
    return (samples[start : start + size] for start in range(0, len(samples), size))


def segments_of(samples, tail=TAIL):
    """The model's own cut of a clip: full segments, and a remainder that is long enough."""
    starts = range(0, len(samples), LENGTH)
    return [
        (start, samples[start : start + LENGTH])
        for start in starts
        if start == 0 or len(samples) - start >= min(LENGTH, tail)
    ]


def windows_of(samples, hop):
    """Full windows each hop, and one that reaches back to the end if enough is left over."""
    if len(samples) < LENGTH:
        return [(0, samples)]
    starts = list(range(0, len(samples) - LENGTH + 1, hop))
    left = len(samples) - (starts[-1] + LENGTH)
    if left >= max(TAIL, 1):
        starts.append(len(samples) - LENGTH)
    return [(start, samples[start : start + LENGTH]) for start in starts]


def assert_same(cuts, expected):
    assert [cut.start for cut in cuts] == [start for start, _ in expected]
    for cut, (_, samples) in zip(cuts, expected, strict=True):
        assert np.array_equal(cut.samples, samples)


@pytest.mark.parametrize("hop", HOPS)
def test_each_segment_of_the_clip_passes_once(hop):
    for size, piece in itertools.product(SIZES, (1, 5, 100)):
        samples = np.arange(size, dtype=np.float32)
        cuts = list(windows_and_segments(pieces_of(samples, piece), LENGTH, hop, TAIL))
        in_clip = sorted((cut for cut in cuts if cut.in_clip), key=lambda cut: cut.start)
        assert_same(in_clip, segments_of(samples))
        assert all(cut.is_window or cut.in_clip for cut in cuts)
        if hop < LENGTH:
            assert_same([cut for cut in cuts if cut.is_window], windows_of(samples, hop))
        else:
            assert all(cut.is_window for cut in cuts)


@pytest.mark.parametrize("hop", HOPS)
def test_windows_that_reach_back(hop):
    for size, piece in itertools.product(SIZES, (1, 5, 100)):
        samples = np.arange(size, dtype=np.float32)
        cuts = list(windows_reaching_back(pieces_of(samples, piece), LENGTH, hop, TAIL))
        assert_same(cuts, windows_of(samples, hop))
        assert all(cut.is_window and cut.in_clip for cut in cuts)


def test_without_a_shortest_tail_nothing_is_left_out_and_nothing_is_empty():
    for size in SIZES:
        samples = np.arange(size, dtype=np.float32)
        for cut in (windows_and_segments, windows_reaching_back):
            cuts = list(cut(iter([samples]), LENGTH, LENGTH, 0))
            assert all(len(one.samples) for one in cuts)
            assert cuts[-1].start + len(cuts[-1].samples) == size
        assert_same(list(windows_and_segments(iter([samples]), LENGTH, LENGTH, 0)), segments_of(samples, 1))
