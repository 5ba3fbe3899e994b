"""Several data sets as one: joined tables, recordings left out, and which rows an epoch sees."""

import logging
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from auricle.data import CaptionedClip, DataError, build_table
from auricle.data.mixing import (
    WEIGHT_COLUMN,
    EpochRows,
    join_tables,
    leave_out_recordings,
    read_excluded_ids,
    weighted,
)


def table(source, clips=2, split="train", ids=None, **extra):
    rows = []
    for number in range(clips):
        more = {name: value[number] if isinstance(value, list) else value for name, value in extra.items()}
        more |= {name: values[number] for name, values in (ids or {}).items()}
        clip = CaptionedClip(
            source, split, f"{number}.wav", f"/{source}/{number}.wav", ["a dog", "rain"], extra=more
        )
        rows += clip.rows()
    return build_table(rows)


def test_joined_tables_keep_ids_and_what_all_have():
    one = table("one", ids={"freesound_id": ["7", "8"]}, kind="a", only_here=1)
    two = table("two", ids={"youtube_id": ["x", "y"]}, kind="b")
    joined = join_tables([one, two])
    assert joined["source"] == ["one"] * 4 + ["two"] * 4
    assert joined["freesound_id"] == ["7", "7", "8", "8"] + [None] * 4
    assert joined["youtube_id"] == [None] * 4 + ["x", "x", "y", "y"]
    assert joined["kind"] == ["a"] * 4 + ["b"] * 4
    assert "only_here" not in joined.column_names
    assert join_tables([one]) is one


def test_one_data_set_twice_is_refused():
    with pytest.raises(DataError, match=r"row 'one/train/0\.wav#0' occurs in two datasets"):
        join_tables([table("one"), table("one")])


def test_recordings_that_are_evaluated_are_left_out(caplog):
    train = table("one", 4, ids={"freesound_id": ["1", "2", "3", None], "youtube_id": [None, None, "v", "w"]})
    test = table("two", 2, "test", ids={"freesound_id": ["2", None]})
    validation = table("three", 1, "validation", ids={"youtube_id": ["w"]})
    with caplog.at_level(logging.WARNING):
        good = leave_out_recordings(train, [test, validation], {"3", "99"})
    assert set(good["clip_id"]) == {"one/train/0.wav"}
    assert "skipped 3 of 4 training clips" in caplog.text
    assert leave_out_recordings(train, [table("four", 1, "test")]) is train
    with pytest.raises(DataError, match="no training clips remain"):
        leave_out_recordings(table("one", 1, ids={"freesound_id": ["1"]}), [], {"1"})


def test_excluded_ids_are_read(tmp_path):
    path = tmp_path / "excluded.csv"
    path.write_bytes(b"\xef\xbb\xbfsound_id,why\r\n354184,test\r\n 7 ,\r\n")
    assert read_excluded_ids(path) == {"354184", "7"}


def test_lines_without_an_id_are_passed_over_counted_and_logged(tmp_path, caplog):
    path = tmp_path / "excluded.csv"
    path.write_text("sound_id\n354184\nNot found\n7\n\u0663\n")
    with caplog.at_level(logging.WARNING):
        assert read_excluded_ids(path) == {"354184", "7"}
    assert "skipped 2 of 4 lines without an id; the first is line 3: 'Not found'" in caplog.text


@pytest.mark.skipif("AURICLE_DATA_DIR" not in os.environ, reason="needs AURICLE_DATA_DIR")
def test_the_published_list_is_read(caplog):
    path = Path(os.environ["AURICLE_DATA_DIR"]) / "dcase2025_excluded_freesound_ids.csv"
    with caplog.at_level(logging.WARNING):
        found = read_excluded_ids(path)
    lines = path.read_text().split("\n")[1:]
    assert found == {line.strip() for line in lines if line.strip().isdecimal()} and len(found) > 3000
    assert "line 1013: 'Not found'" in caplog.text


def test_rows_of_splits_that_a_recipe_names_stay_whatever_the_list_says():
    """Retraining on the whole development set: the list holds its validation and test recordings."""
    ids = {"freesound_id": ["1", "2"]}
    train = join_tables(
        [
            table("clotho", 2, ids=ids),
            table("clotho", 2, "validation", ids={"freesound_id": ["3", "4"]}),
            table("clotho", 2, "test", ids={"freesound_id": ["5", "6"]}),
            table("wavcaps", 2, ids={"freesound_id": ["3", "7"]}),
        ]
    )
    whole = leave_out_recordings(train, [], {"3", "4", "5", "6"})
    # WavCaps is an other data set: there the list holds.
    assert sorted(set(train["clip_id"]) - set(whole["clip_id"])) == ["wavcaps/train/0.wav"]
    # What is evaluated is left out wherever it lies.
    evaluated = table("other", 1, "test", ids={"freesound_id": ["4"]})
    kept = set(leave_out_recordings(train, [evaluated])["clip_id"])
    assert "clotho/validation/1.wav" not in kept and "clotho/validation/0.wav" in kept


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\n7\n", r"no column 'sound_id'; the columns are \['id'\]"),
        ("sound_id\nNot found\n\n", "the file has no ids"),
        ("sound_id\n", "the file has no ids"),
        (None, "cannot read the file as CSV"),
    ],
)
def test_wrong_lists_of_ids_are_explained(tmp_path, text, message):
    path = tmp_path / "excluded.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_excluded_ids(path)


def test_without_weights_an_epoch_is_the_table():
    rows = EpochRows(["a"] * 3 + ["b"] * 2, None, seed=0)
    assert len(rows) == 5
    assert all(rows.of_epoch(epoch).tolist() == [0, 1, 2, 3, 4] for epoch in range(3))


def test_weights_are_kept_by_every_epoch_and_rows_are_seen_equally_often():
    joined = join_tables([weighted(table("a", 5), 2.5), table("b", 4), weighted(table("c", 10), 0.3)])
    rows = EpochRows(list(joined["source"]), list(joined[WEIGHT_COLUMN]), seed=3)
    assert len(rows) == 25 + 8 + 6
    sources = np.asarray(joined["source"])
    seen: Counter = Counter()
    for epoch in range(10):
        chosen = rows.of_epoch(epoch)
        assert Counter(sources[chosen]) == {"a": 25, "b": 8, "c": 6}
        seen.update(chosen.tolist())
    # Ten epochs of weight 0.3 see each row three times, of 2.5 each row 25 times.
    assert {seen[row] for row in np.flatnonzero(sources == "c")} == {3}
    assert {seen[row] for row in np.flatnonzero(sources == "a")} == {25}
    assert {seen[row] for row in np.flatnonzero(sources == "b")} == {10}


def test_epochs_differ_and_repeat_exactly():
    def of(seed, epoch):
        return EpochRows(["a"] * 20, [0.5] * 20, seed).of_epoch(epoch).tolist()

    assert of(0, 4) == of(0, 4)
    assert of(0, 4) != of(0, 5) and of(0, 4) != of(1, 4)
    assert sorted(of(0, 0) + of(0, 1)) == list(range(20))


def test_weights_that_cannot_be_are_refused():
    with pytest.raises(DataError, match=r"a weight of 0\.1 selects no row of 'a' per epoch; it has 4 rows"):
        EpochRows(["a"] * 4, [0.1] * 4, 0)
    with pytest.raises(DataError, match="the weight of a dataset is 0, but must be above 0"):
        weighted(table("a"), 0)
