"""The table of captioned sound: building, validating, one row a clip."""

import os

import pytest
from datasets import Audio, Value

from auricle.data import CaptionedClip, DataError, build_table, unique_clips, validate_table
from auricle.data.schema import SCHEMA


def clip(name: str = "a.wav", captions: tuple[str, ...] = ("A dog.", "A bark."), **options) -> CaptionedClip:
    return CaptionedClip("pets", "train", name, f"/sounds/{name}", captions, **options)


def changed(rows: list[dict], index: int, **values) -> list[dict]:
    return [{**row, **values} if number == index else row for number, row in enumerate(rows)]


def test_rows_of_a_clip():
    table = build_table(clip(license="CC0-1.0", offset=1.5, duration=2.0).rows())
    assert table.features == SCHEMA
    assert table[1] == {
        "row_id": "pets/train/a.wav#1",
        "clip_id": "pets/train/a.wav",
        "audio": {"path": "/sounds/a.wav", "offset": 1.5, "duration": 2.0},
        "caption": "A bark.",
        "source": "pets",
        "split": "train",
        "license": "CC0-1.0",
    }


def test_defaults():
    rows = clip().rows()
    rows[0]["audio"] = {"path": "/sounds/a.wav"}
    table = build_table(rows)
    assert (
        table[0]["audio"] == table[1]["audio"] == {"path": "/sounds/a.wav", "offset": 0.0, "duration": None}
    )
    assert table[0]["license"] == "unknown"


def test_paths_become_absolute():
    (row,) = CaptionedClip("s", "train", "a.wav", "sounds/a.wav", ("A dog.",)).rows()
    assert row["audio"]["path"] == os.path.join(os.getcwd(), "sounds", "a.wav")


def test_audio_is_no_media_feature():
    table = build_table(clip().rows())
    assert not any(isinstance(feature, Audio) for feature in table.features.values())
    assert isinstance(table[0]["audio"], dict)


def test_further_columns_are_carried_through():
    rows = clip(extra={"tags": ["dog"], "rating": 3, "note": None}).rows()
    table = build_table(rows)
    assert table[0]["tags"] == ["dog"] and table[1]["rating"] == 3 and table[0]["note"] is None


def test_further_columns_may_be_typed():
    table = build_table(clip(extra={"rating": 3}).rows(), {"rating": Value("float32")})
    assert table.features["rating"] == Value("float32")


def test_table_without_rows():
    assert len(build_table([])) == 0


def test_rows_with_different_columns():
    rows = clip().rows()
    del rows[1]["license"]
    rows[1]["licence"] = "CC0-1.0"
    with pytest.raises(
        DataError, match=r"row 1: missing columns \['license'\], unexpected columns \['licence'\]"
    ):
        build_table(rows)


def test_mixed_types_in_a_further_column():
    rows = clip(extra={"rating": 1}).rows()
    rows[1]["rating"] = "good"
    with pytest.raises(DataError, match="'rating'"):
        build_table(rows)


def test_wrong_type_in_the_schema():
    with pytest.raises(DataError, match="wrong type"):
        build_table(changed(clip().rows(), 0, audio={"path": "/a.wav", "offset": "soon"}))


@pytest.mark.parametrize("value", ["", "  \n", None])
def test_blank_caption(value):
    with pytest.raises(DataError, match="row 1: column 'caption'"):
        build_table(changed(clip().rows(), 1, caption=value))


def test_row_ids_are_unique():
    with pytest.raises(DataError, match="rows 0 and 1: both have the row_id"):
        build_table(changed(clip().rows(), 1, row_id="pets/train/a.wav#0"))


@pytest.mark.parametrize(
    ("audio", "fault"),
    [
        ({"path": ""}, "audio.path"),
        ({"path": None}, "audio.path"),
        ({"path": "/a.wav", "offset": -1.0}, "audio.offset is -1.0"),
        ({"path": "/a.wav", "offset": None}, "audio.offset is None"),
        ({"path": "/a.wav", "offset": float("nan")}, "audio.offset is nan"),
        ({"path": "/a.wav", "duration": 0.0}, "audio.duration is 0.0"),
    ],
)
def test_sounds_that_cannot_be(audio, fault):
    with pytest.raises(DataError, match="row 0") as caught:
        build_table(changed(clip().rows(), 0, audio=audio))
    assert fault in str(caught.value)


def test_one_clip_is_one_sound():
    with pytest.raises(DataError, match="rows 0 and 1: both belong to clip"):
        build_table(changed(clip().rows(), 1, audio={"path": "/sounds/b.wav"}))


def test_missing_and_mistyped_columns():
    table = build_table(clip().rows())
    with pytest.raises(DataError, match="no column 'license'"):
        validate_table(table.remove_columns("license"))
    with pytest.raises(DataError, match="column 'caption' has type"):
        validate_table(table.remove_columns("caption").add_column("caption", [1, 2]))


def test_unique_clips_keep_their_order():
    rows = clip("b.wav").rows() + clip("a.wav").rows()
    rows = [rows[0], rows[2], rows[1], rows[3]]
    assert unique_clips(build_table(rows))["row_id"][:] == ["pets/train/b.wav#0", "pets/train/a.wav#0"]
