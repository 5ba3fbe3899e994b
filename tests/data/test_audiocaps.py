"""AudioCaps' files in the layouts and under the names that downloaders leave, and what is wrong with them."""

import pytest
from miniature_sources import write_miniature_audiocaps, youtube_id

from auricle.data import DataError, load_audiocaps, source_of
from auricle.data.sources import is_audiocaps, list_audiocaps_clips, list_audiocaps_splits


@pytest.fixture
def audiocaps(tmp_path):
    return write_miniature_audiocaps(tmp_path / "audiocaps", {"train": 3, "validation": 2, "test": 1})


def test_training_clips_have_one_caption_and_the_others_five(audiocaps):
    assert is_audiocaps(audiocaps) and source_of(audiocaps).name == "audiocaps"
    assert list_audiocaps_splits(audiocaps) == ["train", "validation", "test"]
    tables = {split: load_audiocaps(audiocaps, split=split) for split in list_audiocaps_splits(audiocaps)}
    assert {split: len(table) for split, table in tables.items()} == {"train": 3, "validation": 10, "test": 5}
    row = tables["validation"][6]
    assert row["clip_id"] == f"audiocaps/validation/{youtube_id(4)}_30"
    assert row["row_id"] == row["clip_id"] + "#1"
    assert row["caption"] == "A man speaks, then a bell rings 1 times and clip 5 ends"
    assert row["audio"]["path"] == str(audiocaps / "val" / f"{youtube_id(4)}_30.wav")
    assert (row["youtube_id"], row["freesound_id"], row["split"]) == (youtube_id(4), None, "validation")


@pytest.mark.parametrize(
    "name_of",
    [
        lambda video, start, number: f"{video}.wav",
        lambda video, start, number: f"Y{video}.wav",
        lambda video, start, number: f"{number}.wav",
        lambda video, start, number: f"{video}_{start}_{start + 10}.wav",
        lambda video, start, number: f"{video}_{start:06d}.wav",
        lambda video, start, number: f"{video}_{1000 * start}_{1000 * start + 10000}.wav",
        lambda video, start, number: f"Y{video}_{start}.000_{start + 10}.000.wav",
    ],
)
def test_names_that_downloaders_give(tmp_path, name_of):
    folder = write_miniature_audiocaps(tmp_path, {"train": 3}, name_of=name_of)
    listing = list_audiocaps_clips(folder, split="train")
    assert len(listing.clips) == 3 and not listing.missing and not listing.unlisted
    assert [clip.path.name for clip in listing.clips] == [
        name_of(youtube_id(number), 30 * number, number) for number in range(3)
    ]


@pytest.mark.parametrize(
    "layout",
    [
        {"csv_folder": "dataset", "audio_folder": "audio/{}"},
        {"csv_folder": "csv_files_v1", "audio_folder": "audio_32000Hz/{}"},
        {"audio_folder": "audio"},
    ],
)
def test_layouts_that_people_have(tmp_path, layout):
    folder = write_miniature_audiocaps(tmp_path, **layout)
    assert {split: len(load_audiocaps(folder, split=split)) for split in list_audiocaps_splits(folder)} == {
        "train": 2,
        "validation": 10,
        "test": 10,
    }


def test_clips_that_are_gone_are_named_or_left_out(audiocaps):
    name = f"{youtube_id(1)}_30"
    (audiocaps / "train" / f"{name}.wav").unlink()
    (audiocaps / "train" / "holiday.wav").write_bytes(b"")
    listing = list_audiocaps_clips(audiocaps, split="train")
    assert listing.missing == [name] and [path.name for path in listing.unlisted] == ["holiday.wav"]
    with pytest.raises(
        DataError, match=rf"1 of 3 clips are not in .*train: '{name}'\. Add the missing files"
    ):
        load_audiocaps(audiocaps, split="train")
    assert len(load_audiocaps(audiocaps, split="train", missing="skip")) == 2


def replace_in(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("audiocap_id,", "id,", r"train\.csv: no column 'audiocap_id'; the columns are \['id', "),
        (",30,", ",soon,", r"train\.csv, line 3: start_time is 'soon', but must be seconds"),
        (",30,", ",-1,", r"line 3: start_time is '-1'"),
        ("\n1,", "\n0,", r"line 3: duplicate audiocap_id '0'; it is also in line 2"),
        (
            '"A man speaks, then a bell rings 0 times and clip 2 ends"',
            '""',
            "line 3: column 'caption' is empty",
        ),
    ],
)
def test_wrong_files_are_explained(audiocaps, old, new, message):
    replace_in(audiocaps / "train.csv", old, new)
    with pytest.raises(DataError, match=message):
        load_audiocaps(audiocaps, split="train")


def test_what_spreadsheets_do_to_a_file_is_read(audiocaps):
    path = audiocaps / "train.csv"
    text = path.read_text().replace("clip 1 ends", 'clip 1 ""ends""\nin a new line')
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    captions = load_audiocaps(audiocaps, split="train")["caption"]
    assert captions[0].startswith('A man speaks, then a bell rings 0 times and clip 1 "ends"')
    assert len(captions) == 3


def test_other_directories_are_not_audiocaps(tmp_path):
    (tmp_path / "train.csv").write_text("file_name,caption\na.wav,a dog\n")
    assert not is_audiocaps(tmp_path) and source_of(tmp_path) is None
    with pytest.raises(DataError, match=r"val\.csv of AudioCaps not found; searched in"):
        load_audiocaps(tmp_path, split="validation")
    with pytest.raises(DataError, match="AudioCaps has no split 'dev'"):
        load_audiocaps(tmp_path, split="dev")
    write_miniature_audiocaps(tmp_path / "a", {"train": 1})
    (tmp_path / "a" / "train").rename(tmp_path / "a" / "elsewhere")
    with pytest.raises(DataError, match="no folder with audio files of split 'train'; searched in"):
        load_audiocaps(tmp_path / "a", split="train")
