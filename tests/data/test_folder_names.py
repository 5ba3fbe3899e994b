"""A captioned folder's names and rows: the rule by which files are found, and a report of all that is not used."""

import logging
import unicodedata
from pathlib import Path

import pytest

from auricle.data import DataError, load_captioned_folder
from auricle.data.sources import list_folder_clips, load_clotho
from auricle.data.sources.clotho import list_clotho_clips

STORED = unicodedata.normalize("NFD", "café.wav")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files (never decoded) with names that people have."""
    folder = tmp_path / "names"
    for name in (STORED, " leading space.wav", "plain.wav", "sub/deep.wav", "sub/._deep.wav", ".hidden.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"sound")
    return folder


def write(folder: Path, *lines: str) -> Path:
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def stored(table) -> list[str]:
    return [Path(audio["path"]).name for audio in table["audio"][:]]


def test_names_are_found_by_one_rule_and_keep_the_ids_they_are_written_with(folder, caplog):
    lines = [
        "File_Name,Caption,LICENSE",
        "café.wav,one,CC0",
        " leading space.wav,two,CC0",
        "PLAIN.WAV,three,CC0",
    ]
    write(folder, *lines, "sub\\deep.wav ,four,CC0")
    with caplog.at_level(logging.WARNING):
        table = load_captioned_folder(folder)
    assert stored(table) == [STORED, " leading space.wav", "plain.wav", "deep.wav"]
    assert table["clip_id"][:] == [
        f"names/train/{name}"
        for name in ("café.wav", " leading space.wav", "PLAIN.WAV", "sub/deep.wav")
    ]  # fmt: skip
    assert set(table["license"]) == {"CC0"}
    assert [record.getMessage().partition(", ")[2] for record in caplog.records] == [
        "line 4: 'PLAIN.WAV' is taken for 'plain.wav', which differs in upper and lower case",
        "line 5: 'sub\\\\deep.wav ' is taken for 'sub/deep.wav', without the blanks at its ends",
    ]
    listing = list_folder_clips(folder)
    assert not listing.missing and not listing.unlisted and len(listing.rows) == 2


def test_what_lies_behind_a_link_is_found_as_it_is_written(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far.wav").write_bytes(b"sound")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    table = load_captioned_folder(write(folder, "file_name,caption", "link/far.wav,one"))
    assert stored(table) == ["far.wav"]


def test_a_check_tells_of_every_row_and_training_stops_at_the_first(folder):
    write(
        folder,
        "file_name,caption",
        "café.wav,one",
        'plain.wav,"two',
        "sub/deep.wav,three,more",
        "gone.wav,four",
        f"{STORED},five",
        "../up.wav,six",
        " leading space.wav,",
        ",seven",
    )
    listing = list_folder_clips(folder)
    assert [clip.name for clip in listing.clips] == [STORED] and listing.missing == ["gone.wav"]
    assert [(row.line, row.used) for row in listing.rows] == [
        (2, False), (3, False), (4, False), (7, False), (8, False), (9, False),
    ]  # fmt: skip
    reasons = [
        "; keep one row per file; several captions belong in its columns caption_1, caption_2",
        "double quote",
        "3 cells",
        "outside",
        "caption empty",
        "file_name is",
    ]
    assert all(reason in row.text for reason, row in zip(reasons, listing.rows, strict=True))
    with pytest.raises(
        DataError, match=r"metadata.csv, line 3: not valid CSV .*\(2 more rows are not valid\)$"
    ):
        load_captioned_folder(folder)


def test_a_check_goes_on_where_there_is_no_caption(folder):
    listing = list_folder_clips(write(folder, "file_name,License", "café.wav,CC0", "gone.wav,CC0"))
    assert [clip.license for clip in listing.clips] == ["CC0"] and listing.missing == ["gone.wav"]
    assert [(row.line, row.used) for row in listing.rows] == [
        (1, False)
    ] and "no column 'caption'" in listing.rows[0].text


def test_two_files_that_differ_in_case_alone(folder):
    (folder / "Plain.wav").write_bytes(b"sound")
    table = load_captioned_folder(write(folder, "file_name,caption", "Plain.wav,one", "plain.wav,two"))
    assert stored(table) == ["Plain.wav", "plain.wav"]
    with pytest.raises(
        DataError, match="'PLAIN.WAV' fits '.lain.wav', '.lain.wav' equally well, and none exactly"
    ):
        load_captioned_folder(write(folder, "file_name,caption", "PLAIN.WAV,one"))


def test_a_caption_column_is_named_in_any_case(folder):
    write(folder, "file_name,Text", "plain.wav,one")
    assert load_captioned_folder(folder, caption_column="text")["caption"][:] == ["one"]


def test_clotho_s_names_are_compared_by_the_same_rule(tmp_path):
    folder = tmp_path / "clotho"
    (folder / "development").mkdir(parents=True)
    for name in (STORED, "Rain.wav"):
        (folder / "development" / name).write_bytes(b"sound")
    captions = ",".join(f"caption_{number}" for number in range(1, 6))
    rows = [f"{name},a,b,c,d,e" for name in ("café.wav", "Rain.wav", "rain.wav")]
    (folder / "clotho_captions_development.csv").write_text(
        "\n".join([f"file_name,{captions}", *rows]), "utf-8"
    )
    (folder / "clotho_metadata_development.csv").write_text(
        f"file_name,sound_id,license\n{STORED},7,CC0\n", "utf-8"
    )
    listing = list_clotho_clips(folder, split="train")
    # "rain.wav" is not "Rain.wav", which another row names.
    assert [clip.name for clip in listing.clips] == ["café.wav", "Rain.wav"] and listing.missing == [
        "rain.wav"
    ]
    assert listing.clips[0].license == "CC0" and not listing.unlisted and not listing.rows
    assert len(load_clotho(folder, split="train", missing="skip")) == 10
