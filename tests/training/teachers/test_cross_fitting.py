"""Folds are of whole clips, of equal size, independent of the order of rows; teachers of other folds are refused."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from tiny_recipes import write_captioned_folder

from auricle.data import load_captioned_folder
from auricle.files.content_digests import ContentDigests
from auricle.training.recipe.reading import RecipeError, resolve_stages
from auricle.training.recipe.schema import Recipe
from auricle.training.teachers.cross_fitting import (
    FILE,
    FoldError,
    assign_folds,
    check_cross_fit,
    fold_of_contents,
    hold_out_fold,
    read_held_out_fold,
    write_held_out_fold,
)

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


# ------------------------------------------------------------------------------------- what teachers left out


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Seven recordings, of which the last is a copy of the first under another name."""
    folder = write_captioned_folder(tmp_path_factory.mktemp("folds") / "sounds", {"train": 7})
    shutil.copy(folder / "train_000.wav", folder / "train_006.wav")
    return load_captioned_folder(folder, split="train")


@pytest.fixture(scope="module")
def halves(table):
    return [hold_out_fold(table, 2, fold, 4, ContentDigests()) for fold in (0, 1)]


def paths_of(table) -> set[str]:
    return {audio["path"].rsplit("/", 1)[-1] for audio in table["audio"]}


def test_what_one_half_leaves_out_is_what_the_other_has(table, halves):
    (first, left_out), (second, other) = halves
    assert paths_of(first) | paths_of(second) == paths_of(table) and not paths_of(first) & paths_of(second)
    assert set(left_out.held_out).isdisjoint(other.held_out)
    assert sorted([len(left_out.held_out), len(other.held_out)]) == [3, 3]
    assert left_out.assignment == other.assignment


def test_equal_recordings_share_a_fold_whatever_they_are_called(halves):
    for half, _ in halves:
        assert len({"train_000.wav", "train_006.wav"} & paths_of(half)) in (0, 2)


def test_a_row_is_given_to_the_teacher_that_did_not_see_it(table, halves):
    contents = ContentDigests().of_files(audio["path"] for audio in table["audio"])
    keys = [contents[audio["path"]] for audio in table["audio"]]
    folds = fold_of_contents([record for _, record in halves], keys, table["row_id"], "bank")
    for audio, fold in zip(table["audio"], folds, strict=True):
        name = audio["path"].rsplit("/", 1)[-1]
        assert name not in paths_of(halves[fold][0]) and name in paths_of(halves[1 - fold][0])
    with pytest.raises(FoldError, match="bank: the recording of row 'b' is in no fold"):
        fold_of_contents([record for _, record in halves], [keys[0], "0" * 64], ["a", "b"], "bank")


def test_a_model_directory_keeps_what_was_left_out(halves, tmp_path):
    assert read_held_out_fold(tmp_path) is None
    write_held_out_fold(tmp_path, halves[1][1])
    assert read_held_out_fold(tmp_path) == halves[1][1]
    (tmp_path / FILE).write_text('{"folds": 2, "fold": 5, "seed": 0, "assignment": "", "held_out": []}')
    with pytest.raises(FoldError, match=FILE):
        read_held_out_fold(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: None, "teacher b: does not say which fold it held out"),
        (
            lambda one: replace(one, folds=3),
            "teacher b: held out one of 3 folds, but distillation.cross_fit is 2",
        ),
        (lambda one: replace(one, seed=9), "teacher b: its folds are not those of teacher a"),
        (lambda one: replace(one, assignment="0" * 64), "teacher b: its folds are not those of teacher a"),
        (lambda one: replace(one, fold=0), "no teacher held out fold 1"),
    ],
)
def test_teachers_that_do_not_fit_are_refused_by_name(halves, change, message):
    records = [record for _, record in halves]
    check_cross_fit(2, records, ["teacher a", "teacher b"])
    with pytest.raises(FoldError, match=message):
        check_cross_fit(2, [records[0], change(records[1])], ["teacher a", "teacher b"])


HALF = {"hold_out_fold": {"folds": 2, "fold": 0}}


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([{"name": "a"}, {"name": "b", "data": HALF}], "the stage starts from and which has seen the fold"),
        (
            [{"name": "a", "data": HALF, "augmentation": {"mixes": "mixes"}}],
            "augmentation.mixes exclude each other",
        ),
        (
            [{"name": "a", "data": HALF, "distillation": {"teachers": ["bank"]}}],
            "distillation.teachers exclude each other",
        ),
        (
            [
                {"name": "a", "data": HALF},
                {"name": "b", "starts_from": "pretrained"},
                {"name": "c", "distillation": {"teachers": ["a", "b"], "cross_fit": 2}},
            ],
            "stage 'b' has data.hold_out_fold=None",
        ),
        (
            [{"name": "c", "distillation": {"teachers": ["one"], "cross_fit": 2}}],
            "2 folds need as many teachers or more",
        ),
        ([{"name": "a", "data": {"hold_out_fold": {"folds": 2, "fold": 2}}}], "fold 2 of 2 folds"),
    ],
)
def test_a_recipe_by_which_a_teacher_would_see_its_rows_is_refused(stages, message):
    with pytest.raises(RecipeError, match=message):
        resolve_stages(Recipe(name="folds", stages=stages))
