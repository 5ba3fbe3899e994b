"""Columns as Arrow and numpy arrays, against the same in Python objects."""

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, concatenate_datasets

from auricle.data.columns import arrow_column, first_rows, kept_rows, numbered, values_of
from auricle.data.mixing import EpochRows, leave_out_recordings
from auricle.data.schema import DataError, build_table, unique_clips, validate_table


def in_python(values):
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return [places[value] for value in values]


@pytest.mark.parametrize("kind", [str, int, float])
def test_numbers_are_those_of_the_first_occurrences_over_all_chunks(kind):
    values = [None if one == 3 else kind(one) for one in np.random.default_rng(0).integers(9, size=60)]
    column = pa.chunked_array([values[:7], values[7:7], values[7:50], values[50:]], pa.array(values).type)
    assert numbered(column).tolist() == in_python(values)
    assert first_rows(numbered(column)).tolist() == [values.index(one) for one in dict.fromkeys(values)]


def test_no_rows_have_no_numbers():
    assert numbered(pa.chunked_array([], pa.string())).tolist() == []


def test_a_column_follows_selections_and_joins():
    table = Dataset.from_dict({"a": list("uvwxyz"), "b": list(range(6))})
    joined = concatenate_datasets([table.select([4, 0, 2]), table.select([1])])
    assert arrow_column(joined, "a").to_pylist() == list("yuwv")


def rows(count, **audio):
    return [
        {
            "row_id": f"s/train/{n // 2}#{n % 2}",
            "clip_id": f"s/train/{n // 2}",
            "audio": {"path": f"/sounds/{n // 2}.wav", **audio},
            "caption": f"sound {n}",
            "source": "s",
            "split": "train",
            "license": "unknown",
            "freesound_id": str(n // 2) if n // 2 else None,
        }
        for n in range(count)
    ]


def test_unique_clips_of_shuffled_rows_are_the_first_rows():
    table = build_table(rows(20)).shuffle(seed=1)
    seen = dict.fromkeys(table["clip_id"])
    expected = [list(table["clip_id"]).index(clip) for clip in seen]
    assert unique_clips(table)["row_id"][:] == [table[place]["row_id"] for place in expected]


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("path", "", "audio.path is ''"),
        ("path", None, "audio.path is None"),
        ("offset", None, "audio.offset is None"),
        ("offset", float("nan"), "audio.offset is nan"),
        ("duration", float("inf"), "audio.duration is inf"),
        ("duration", 0.0, "audio.duration is 0.0"),
        ("duration", 2.0, "rows 6 and 7: both belong to clip 's/train/3'"),
        ("path", "/sounds/4.wav", "rows 6 and 7: both belong to clip 's/train/3'"),
    ],
)
def test_one_bad_row_among_good_ones_is_named(part, value, message):
    listed = rows(20, offset=0.0, duration=None)
    listed[7]["audio"] = {**listed[7]["audio"], part: value}
    with pytest.raises(DataError, match=message):
        build_table(listed)


def test_a_blank_caption_beyond_the_first_block_of_rows_is_named_by_its_row():
    listed = rows(10_004)
    listed[10_001]["caption"] = "\x1f "
    with pytest.raises(DataError, match="row 10001: column 'caption'"):
        build_table(listed)


def test_all_clips_good_pass_unchanged():
    table = build_table(rows(20, offset=1.5, duration=2.0))
    assert validate_table(table) is table


@pytest.mark.parametrize("as_numbers", [False, True])
def test_recordings_are_left_out_by_list_whatever_type_their_ids_have(as_numbers):
    table = build_table(rows(20))
    if as_numbers:
        ids = [None if one is None else int(one) for one in table["freesound_id"]]
        table = table.remove_columns("freesound_id").add_column("freesound_id", ids)
    good = leave_out_recordings(table, [build_table(rows(4))], {"7"})
    assert sorted(set(good["clip_id"])) == [f"s/train/{n}" for n in (0, 2, 3, 4, 5, 6, 8, 9)]


def test_rows_of_an_epoch_are_the_same_for_lists_and_for_columns():
    sources = ["a"] * 5 + ["b"] * 6 + ["a"] * 5
    weights = [1.5] * 5 + [0.5] * 6 + [1.5] * 5
    ours = EpochRows(pa.chunked_array([sources[:8], sources[8:]]), np.asarray(weights), 3)
    theirs = EpochRows(sources, weights, 3)
    assert len(ours) == len(theirs) == 18
    for epoch in range(4):
        assert ours.of_epoch(epoch).tolist() == theirs.of_epoch(epoch).tolist()


@pytest.mark.parametrize("chosen", [False, True])
def test_kept_rows_are_those_of_a_selection_and_lie_together(chosen):
    table = build_table(rows(20)).shuffle(seed=1) if chosen else build_table(rows(20))
    is_kept = np.random.default_rng(0).random(20) < 0.5
    kept = kept_rows(table, is_kept)
    expected = table.select(np.flatnonzero(is_kept))
    assert kept[:] == expected[:] and kept.features == table.features
    assert kept.data.num_rows == is_kept.sum()
    assert kept_rows(table, np.ones(20, dtype=bool)) is table
    assert kept_rows(table, np.zeros(20, dtype=bool))["row_id"][:] == []


def test_values_come_in_order_over_chunks_and_blocks(monkeypatch):
    monkeypatch.setattr("auricle.data.columns._VALUES_AT_ONCE", 3)
    column = pa.chunked_array([["a", None], [], ["b", "c", "d", "e", "f"]], pa.string())
    assert list(values_of(column)) == ["a", None, "b", "c", "d", "e", "f"]


def test_blocks_of_rows_join_to_one_table(monkeypatch):
    monkeypatch.setattr("auricle.data.schema._ROWS_AT_ONCE", 3)
    given = rows(8, offset=1, duration=2.5)
    table = build_table(given)
    assert table[:]["audio"] == [{**row["audio"], "offset": 1.0} for row in given]
    for name in ("row_id", "caption", "freesound_id"):
        assert table[name][:] == [row[name] for row in given]
