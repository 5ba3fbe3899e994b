"""Folds are of whole clips, of equal size, and do not depend on the order of rows."""

import numpy as np
import pytest

from auricle.training.teachers.cross_fitting import FoldError, assign_folds

CLIPS = [f"clip-{number}" for number in range(11) for _ in range(1 + number % 3)]


def test_rows_of_a_clip_share_a_fold_and_folds_are_of_equal_size():
    folds = assign_folds(CLIPS, 3, seed=1)
    of_clip = {
        clip: {int(fold) for name, fold in zip(CLIPS, folds, strict=True) if name == clip} for clip in CLIPS
    }
    assert all(len(found) == 1 for found in of_clip.values())
    sizes = np.bincount([found.pop() for found in of_clip.values()], minlength=3)
    assert sorted(sizes) == [3, 4, 4]


def test_the_order_of_rows_does_not_matter_and_the_seed_does():
    order = np.random.default_rng(0).permutation(len(CLIPS))
    folds = assign_folds(CLIPS, 2, seed=5)
    assert (assign_folds([CLIPS[row] for row in order], 2, seed=5) == folds[order]).all()
    assert (assign_folds(CLIPS, 2, seed=6) != folds).any()


@pytest.mark.parametrize("folds", [0, 1, 12])
def test_an_impossible_number_of_folds_is_refused_by_name(folds):
    with pytest.raises(FoldError, match=f"{folds} folds of 11 different clips"):
        assign_folds(CLIPS, folds)
