"""Clotho's files in the layouts that people have, and what is wrong with them."""

import logging
import os
from pathlib import Path

import pytest
from miniature_clotho import write_miniature_clotho

from auricle.data import DataError, is_clotho, list_clotho_splits, load_clotho, unique_clips

SHARED = os.environ.get("AURICLE_DATA_DIR")


@pytest.fixture
def clotho(tmp_path):
    return write_miniature_clotho(tmp_path / "clotho", {"train": 3, "validation": 2, "test": 2}, seconds=0.1)


def captions_file(folder, split="development"):
    return folder / f"clotho_captions_{split}.csv"


def test_all_splits_come_out_in_the_schema(clotho):
    assert is_clotho(clotho) and not is_clotho(clotho / "development")
    assert list_clotho_splits(clotho) == ["train", "validation", "test"]
    tables = {split: load_clotho(clotho, split=split) for split in list_clotho_splits(clotho)}
    assert {split: len(table) for split, table in tables.items()} == {
        "train": 15,
        "validation": 10,
        "test": 10,
    }
    row = tables["test"][5]
    assert row["row_id"] == "clotho/test/train recording 1.wav#0"
    assert row["clip_id"] == "clotho/test/train recording 1.wav"
    assert row["audio"]["path"] == str(clotho / "evaluation" / "train recording 1.wav")
    assert row["caption"] == "A dog is heard in the distance."
    assert (row["source"], row["split"]) == ("clotho", "test")
    assert row["license"] == "http://creativecommons.org/licenses/by/3.0/"
    assert row["freesound_id"] == "1006"


def test_one_file_name_in_two_splits_is_two_clips(clotho):
    ids = [set(load_clotho(clotho, split=split)["row_id"]) for split in ("train", "validation", "test")]
    assert not (ids[0] & ids[1] or ids[1] & ids[2] or ids[0] & ids[2])


@pytest.mark.parametrize(
    "layout",
    [
        {"csv_folder": "clotho_csv_files", "audio_folder": "clotho_audio_files/{}"},
        {"audio_folder": "audio/{}"},
        {"audio_folder": "clotho_audio_{}/{}"},
    ],
)
def test_layouts_that_people_have(tmp_path, layout):
    folder = write_miniature_clotho(tmp_path / "c", seconds=0.1, **layout)
    assert list_clotho_splits(folder) == ["train", "validation", "test"]
    for split in list_clotho_splits(folder):
        assert all(Path(audio["path"]).is_file() for audio in load_clotho(folder, split=split)["audio"])


def test_without_metadata_ids_are_null(tmp_path):
    folder = write_miniature_clotho(tmp_path / "c", metadata=False, seconds=0.1)
    table = load_clotho(folder, split="train")
    assert set(table["freesound_id"]) == {None} and set(table["license"]) == {"unknown"}


def test_a_byte_order_mark_and_quoted_newlines_are_read(clotho):
    path = captions_file(clotho)
    text = path.read_text().replace("the sound of a dog close by", '"a dog,\nclose by"')
    path.write_bytes("\ufeff".encode() + text.encode())
    assert "a dog,\nclose by" in load_clotho(clotho, split="train")["caption"]


def test_missing_clips_are_named_or_left_out(clotho, caplog):
    (clotho / "development" / "train recording 1.wav").unlink()
    with pytest.raises(DataError, match=r"1 of 3 clips are not in .*development: 'train recording 1\.wav'"):
        load_clotho(clotho, split="train")
    with caplog.at_level(logging.WARNING):
        table = load_clotho(clotho, split="train", missing="skip")
    assert len(unique_clips(table)) == 2
    assert "1 of 3 clips are not in" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("caption_3", "caption_drei", r"clotho_captions_development\.csv: no column 'caption_3'"),
        ("the sound of a dog close by", " ", r"line 2: column 'caption_3' is empty"),
        (
            "river recording 2.wav",
            "dog recording 0.wav",
            r"line 4: duplicate file_name 'dog recording 0\.wav'; it is also in line 2",
        ),
        ("dog recording 0.wav", "", r"line 2: column 'file_name' is empty"),
    ],
)
def test_wrong_caption_files_are_explained(clotho, old, new, message):
    path = captions_file(clotho)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        load_clotho(clotho, split="train")


def test_captions_in_another_encoding_are_refused(clotho):
    captions_file(clotho).write_bytes(captions_file(clotho).read_bytes().replace(b"dog is", b"d\xf6g is"))
    with pytest.raises(DataError, match="not valid text in utf-8-sig"):
        load_clotho(clotho, split="train")


def test_what_is_not_there_is_named(clotho, tmp_path):
    with pytest.raises(DataError, match="no split 'dev'; the splits are"):
        load_clotho(clotho, split="dev")
    captions_file(clotho).unlink()
    with pytest.raises(DataError, match=r"clotho_captions_development\.csv not found; searched in"):
        load_clotho(clotho, split="train")
    for clip in (clotho / "evaluation").iterdir():
        clip.unlink()
    with pytest.raises(DataError, match="no folder with the clips of split 'test'"):
        load_clotho(clotho, split="test")


@pytest.mark.skipif(SHARED is None, reason="AURICLE_DATA_DIR names no directory with Clotho's files")
def test_the_real_files_load():
    table = load_clotho(Path(SHARED) / "clotho", split="test", missing="skip")
    assert len(unique_clips(table)) == 7 and len(table) == 35
