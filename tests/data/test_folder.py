"""A captioned folder: what its metadata may look like, and one clear error for everything that is wrong."""

import json
import logging
from pathlib import Path

import pytest
from datasets import List, Value

from auricle.data import DataError, list_folder_splits, load_captioned_folder
from auricle.data.schema import SCHEMA


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with (never decoded) files but without metadata."""
    for name in ("a.wav", "b.flac", "sub/c.ogg"):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")
    return tmp_path / "pets"


def write_csv(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    (folder / "metadata.csv").write_bytes("\n".join(lines).encode(encoding))
    return folder


def write_jsonl(folder: Path, *records: object) -> Path:
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    return folder


def message(folder: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        load_captioned_folder(folder, **options)
    text = str(caught.value)
    assert str(folder) in text and "\n" not in text
    return text


def test_csv_with_one_caption(folder):
    table = load_captioned_folder(
        write_csv(folder, "file_name,caption", "a.wav,A dog.", "sub/c.ogg, A cat. ")
    )
    assert table.features == SCHEMA
    assert table[0] == {
        "row_id": "pets/train/a.wav#0",
        "clip_id": "pets/train/a.wav",
        "audio": {"path": str(folder / "a.wav"), "offset": 0.0, "duration": None},
        "caption": "A dog.",
        "source": "pets",
        "split": "train",
        "license": "unknown",
    }
    assert table[1]["audio"]["path"] == str(folder / "sub" / "c.ogg")
    assert table[1]["caption"] == "A cat."


def test_arguments_name_source_split_and_license(folder):
    write_csv(folder, "file_name,caption", "a.wav,A dog.")
    table = load_captioned_folder(folder, source="zoo", split="test", license="CC0-1.0")
    assert table[0]["row_id"] == "zoo/test/a.wav#0"
    assert (table[0]["source"], table[0]["split"], table[0]["license"]) == ("zoo", "test", "CC0-1.0")


def test_numbered_captions_in_numerical_order(folder):
    write_csv(folder, "file_name,caption_10,caption_2,caption_1", "a.wav,ten,two,one", "b.flac,,,only one")
    table = load_captioned_folder(folder)
    assert table["caption"][:] == ["one", "two", "ten", "only one"]
    assert table["row_id"][:3] == ["pets/train/a.wav#0", "pets/train/a.wav#1", "pets/train/a.wav#2"]
    assert len(set(table["clip_id"])) == 2


def test_jsonl_with_lists_and_typed_columns(folder):
    write_jsonl(
        folder,
        {"file_name": "a.wav", "captions": ["one", "two"], "tags": ["x", "y"], "rating": 4},
        {"file_name": "b.flac", "captions": ["three"], "tags": [], "rating": None, "late": True},
    )
    table = load_captioned_folder(folder)
    assert table["caption"][:] == ["one", "two", "three"]
    assert table.features["tags"] == List(Value("string"))
    assert table["rating"][:] == [4, 4, None]
    assert table["late"][:] == [None, None, True]


def test_list_of_captions_in_a_csv(folder):
    write_csv(folder, "file_name,captions", 'a.wav,"[""one"", ""two, three""]"')
    assert load_captioned_folder(folder)["caption"][:] == ["one", "two, three"]


def test_quoted_commas_newlines_and_quotes(folder):
    write_csv(folder, "file_name,caption", 'a.wav,"A dog, then', 'a ""big"" cat."', "b.flac,Rain.")
    assert load_captioned_folder(folder)["caption"][:] == ['A dog, then\na "big" cat.', "Rain."]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_byte_order_mark_and_line_ends(folder, newline):
    text = newline.join(["file_name,caption", "a.wav,Ein schöner Hund", "", "b.flac,雨", ""])
    (folder / "metadata.csv").write_bytes(text.encode("utf-8-sig"))
    assert load_captioned_folder(folder)["caption"][:] == ["Ein schöner Hund", "雨"]


def test_byte_order_mark_in_jsonl(folder):
    record = json.dumps({"file_name": "a.wav", "caption": "A dog."})
    (folder / "metadata.jsonl").write_bytes(record.encode("utf-8-sig"))
    assert load_captioned_folder(folder)["caption"][:] == ["A dog."]


def test_windows_separators(folder):
    write_csv(folder, "file_name,caption", r"sub\c.ogg,A cat.")
    table = load_captioned_folder(folder)
    assert table[0]["clip_id"] == "pets/train/sub/c.ogg"
    assert table[0]["audio"]["path"] == str(folder / "sub" / "c.ogg")


def test_chosen_caption_column(folder):
    write_csv(folder, "file_name,text,caption", "a.wav,The text.,The caption.")
    table = load_captioned_folder(folder, caption_column="text")
    assert table["caption"][:] == ["The text."]
    assert table["metadata_caption"][:] == ["The caption."]


def test_types_of_carried_columns(folder):
    write_csv(
        folder,
        "file_name,caption,whole,real,text,code,gap,source,license",
        "a.wav,1,1,1,1,007,5,web,CC0-1.0",
        "b.flac,2,-2,2.5,x,8,,web,",
    )
    table = load_captioned_folder(folder, license="CC-BY-4.0")
    assert table["whole"][:] == [1, -2]
    assert table["real"][:] == [1.0, 2.5]
    assert table["text"][:] == ["1", "x"]
    assert table["code"][:] == ["007", "8"]
    assert table["gap"][:] == [5, None]
    assert table["caption"][:] == ["1", "2"]
    assert table["source"][:] == ["pets", "pets"] and table["metadata_source"][:] == ["web", "web"]
    assert table["license"][:] == ["CC0-1.0", "CC-BY-4.0"]


def test_blanks_around_a_split_do_not_count(folder):
    write_csv(folder, "file_name,caption,split", "a.wav,one, train ", "b.flac,two,test")
    assert list_folder_splits(folder) == ["test", "train"]
    assert load_captioned_folder(folder, split="train")["caption"][:] == ["one"]


def test_split_column_selects_rows(folder):
    write_csv(folder, "file_name,caption,split", "a.wav,one,train", "b.flac,two,test", "sub/c.ogg,three,test")
    table = load_captioned_folder(folder, split="test")
    assert table["caption"][:] == ["two", "three"]
    assert set(table["split"]) == {"test"}
    text = message(folder, split="validation")
    assert "'validation'" in text and "['test', 'train']" in text


def test_no_such_folder(tmp_path):
    assert "directory not found" in message(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    assert "not a directory" in message(tmp_path / "file")


def test_neither_or_both_metadata_files(folder):
    (folder / "captions.tsv").touch()
    text = message(folder)
    assert "neither metadata.csv nor metadata.jsonl" in text and "captions.tsv" in text
    write_csv(folder, "file_name,caption", "a.wav,A dog.")
    write_jsonl(folder, {"file_name": "a.wav", "caption": "A dog."})
    assert "both" in message(folder)


def test_no_file_name_column(folder):
    text = message(write_csv(folder, "filename,caption", "a.wav,A dog."))
    assert "no column 'file_name'" in text and "rename the column 'filename' to 'file_name'" in text


def test_no_caption_column(folder):
    text = message(write_csv(folder, "file_name,Captoin,rating", "a.wav,A dog.,3"))
    assert "['file_name', 'Captoin', 'rating']" in text and "rename the column 'Captoin' to 'caption'" in text
    assert "data.folder.caption_column" in text
    text = message(folder, caption_column="captoin_")
    assert "no column 'captoin_'" in text and "did you mean 'Captoin'?" in text


def test_captions_in_two_forms(folder):
    text = message(write_csv(folder, "file_name,caption,caption_1", "a.wav,one,two"))
    assert "['caption', 'caption_1']" in text and "caption_column" in text


def test_empty_captions_name_the_line(folder):
    assert "line 4: caption empty" in message(
        write_csv(folder, "file_name,caption", 'a.wav,"one', 'two"', "b.flac,  ")
    )
    assert "line 2: caption_1 and caption_2 empty" in message(
        write_csv(folder, "file_name,caption_1,caption_2", "a.wav,,")
    )


@pytest.mark.parametrize(
    ("captions", "fault"),
    [
        ([], "captions empty"),
        (["one", " "], "captions[1] is empty"),
        (["one", 2], "captions[1] is 2"),
        (None, "empty"),
    ],
)
def test_bad_lists_of_captions(folder, captions, fault):
    text = message(write_jsonl(folder, {"file_name": "a.wav", "captions": captions}))
    assert "line 1" in text and fault in text


def test_caption_that_is_no_text(folder):
    assert "caption is 7" in message(write_jsonl(folder, {"file_name": "a.wav", "caption": 7}))


def test_unquoted_list_in_a_csv(folder):
    assert "JSON list" in message(write_csv(folder, "file_name,captions", "a.wav,a dog"))


def test_duplicate_file_names_name_both_lines(folder):
    text = message(write_csv(folder, "file_name,caption", r"sub\c.ogg,one", "a.wav,two", "./sub/c.ogg,three"))
    assert "lines 2 and 4" in text


@pytest.mark.parametrize(
    "name", ["../a.wav", "sub/../../a.wav", "/etc/passwd", "C:\\\\a.wav", "..\\\\a.wav", ".."]
)
def test_paths_out_of_the_folder(folder, name):
    text = message(write_jsonl(folder, {"file_name": name, "caption": "A dog."}))
    assert "line 1" in text and "is outside the folder" in text


@pytest.mark.parametrize("value", [None, "", "  ", 7])
def test_no_file_name(folder, value):
    text = message(write_jsonl(folder, {"file_name": value, "caption": "A dog."}))
    assert f"line 1: file_name is {value!r}" in text


def test_files_that_do_not_exist(folder, caplog):
    lines = [f"lost{number}.wav,A dog." for number in range(7)]
    write_csv(folder, "file_name,caption", *lines, "a.wav,A cat.")
    text = message(folder)
    assert "7 of 8 files" in text and "'lost0.wav'" in text and "'lost4.wav', ..." in text
    assert "lost5" not in text
    with caplog.at_level(logging.WARNING):
        table = load_captioned_folder(folder, missing="skip")
    assert table["caption"][:] == ["A cat."]
    assert "7 of 8 files" in caplog.text


def test_skipping_leaves_something(folder):
    write_csv(folder, "file_name,caption", "lost.wav,A dog.")
    assert "1 of 1 files" in message(folder, missing="skip")


def test_a_directory_is_not_a_file(folder):
    assert "'sub'" in message(write_csv(folder, "file_name,caption", "sub,A dog."))


def test_unknown_way_with_missing_files(folder):
    with pytest.raises(DataError, match="'ignore'"):
        load_captioned_folder(folder, missing="ignore")


def test_not_utf8(folder):
    text = message(
        write_csv(folder, "file_name,caption", "a.wav,A dog.", "b.flac,Ein schöner Hund", encoding="latin-1")
    )
    assert "line 3" in text and "0xf6" in text and "UTF-8" in text


def test_wrong_number_of_cells(folder):
    text = message(write_csv(folder, "file_name,caption", "a.wav,A dog, barking."))
    assert "line 2: has 3 cells, but the header has 2" in text and "quotes" in text


def test_unclosed_quote(folder):
    assert "line 2: not valid CSV" in message(write_csv(folder, "file_name,caption", 'a.wav,"A dog.'))


def test_repeated_column(folder):
    assert "['caption']" in message(write_csv(folder, "file_name,caption,caption", "a.wav,one,two"))


def test_bad_json(folder):
    (folder / "metadata.jsonl").write_text('{"file_name": "a.wav", "caption": "A dog."}\n{"file_name": \n')
    assert "line 2: not valid JSON" in message(folder)
    (folder / "metadata.jsonl").write_text('\n["a.wav", "A dog."]\n')
    assert "line 2: must be a JSON object" in message(folder)


def test_no_rows(folder):
    assert "no rows" in message(write_csv(folder, "file_name,caption"))
    assert "no column 'file_name'" in message(write_csv(folder, ""))


def test_column_of_mixed_types(folder):
    write_jsonl(
        folder,
        {"file_name": "a.wav", "caption": "one", "rating": 1},
        {"file_name": "b.flac", "caption": "two", "rating": "good"},
    )
    assert "'rating'" in message(folder)
