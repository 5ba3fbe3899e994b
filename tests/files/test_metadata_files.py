"""Metadata files beside sounds: every row is used or reported with its line."""

import re

import pytest

from auricle.files.file_names import NameTable
from auricle.files.metadata_files import MetadataFileError, read_metadata_file, with_meanings
from auricle.files.metadata_matching import match_rows

MEANINGS = re.compile("file_name|license|tags")


def read(tmp_path, content, name="metadata.csv"):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_metadata_file(tmp_path / name, MEANINGS)


def rows(table):
    return {row.line: (row.name, row.values.get("license")) for row in table.rows}


def told(table):
    return [(fault.line, fault.used, fault.name) for fault in table.faults]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_what_spreadsheets_write(tmp_path, delimiter, newline, mark):
    lines = ["File_Name,License,Note", 'a.wav,CC0,"one; two, three\tfour"', "", ",,", "é.wav,CC-BY,", ""]
    text = newline.join(line.replace(",", delimiter) if '"' not in line else line for line in lines)
    text = text.replace("a.wav,CC0,", f"a.wav{delimiter}CC0{delimiter}")
    table = read(tmp_path, mark + text.encode())
    assert table.columns == ["file_name", "license", "Note"] and not table.faults
    assert rows(table) == {2: ("a.wav", "CC0"), 5: ("é.wav", "CC-BY")}
    assert table.rows[0].values["Note"] == "one; two, three\tfour"


def test_a_delimiter_that_is_told_and_columns_without_a_name(tmp_path):
    assert rows(read(tmp_path, "sep=;\nfile_name;license\na.wav;CC0\n")) == {3: ("a.wav", "CC0")}
    table = read(tmp_path, "file_name,license,,\na.wav,CC0,,\nb.wav,CC0,,,,\n")
    assert table.columns == ["file_name", "license"] and len(table.rows) == 2 and not table.faults


def test_an_unclosed_quote_costs_its_own_row_alone(tmp_path):
    lines = [
        "file_name,license",
        'a.wav,"CC0',
        "b.wav,CC1",
        'c.wav,"CC2"',
        "d.wav,CC3",
        'e.wav,"CC4',
        "f.wav,CC5",
    ]
    table = read(tmp_path, "\n".join(lines))
    assert rows(table) == {3: ("b.wav", "CC1"), 4: ("c.wav", "CC2"), 5: ("d.wav", "CC3"), 7: ("f.wav", "CC5")}
    assert told(table) == [(2, False, "a.wav"), (6, False, "e.wav")]
    assert all("double quote is not closed" in fault.text for fault in table.faults)
    # A quote that is closed may hold lines.
    table = read(tmp_path, 'file_name,license\na.wav,"CC0\nor CC1"\nb.wav,CC2\n')
    assert rows(table) == {2: ("a.wav", "CC0\nor CC1"), 4: ("b.wav", "CC2")} and not table.faults


def test_a_file_of_unclosed_quotes_takes_no_time(tmp_path):
    # Each failure would read on to the end, were the next quote not the end of it.
    table = read(tmp_path, "file_name,license\n" + "".join(f'{n}.wav,"CC0\n' for n in range(20_000)))
    assert len(table.faults) == 20_000 and not table.rows
    table = read(tmp_path, "file_name,license\n" + '"' + "x.wav,CC0\n" * 30_000)
    assert (
        len(table.faults) == 1
        and len(table.rows) == 29_999
        and "perhaps a double quote" in table.faults[0].text
    )


def test_commas_too_many_and_too_few(tmp_path):
    table = read(tmp_path, "file_name,license,place\na.wav,CC0,wood, at night\nb.wav,CC0\n,CC0,x\n")
    assert rows(table) == {3: ("b.wav", "CC0")} and table.rows[0].values["place"] == ""
    assert told(table) == [(2, False, "a.wav"), (3, True, None), (4, False, None)]
    assert [fault.text for fault in table.faults] == [
        "line 2: has 4 cells, but the header has 3 (put text with commas in double quotes)",
        "line 3: has 2 cells, but the header has 3; the others are empty",
        "line 4: file_name is '', but must be the path of an audio file",
    ]


def test_json_lines_that_are_no_rows(tmp_path):
    lines = [
        '{"File_Name": "a.wav", "License": "CC0"}',
        '{"file_name": "b.wav", "x": 1, "x": 2}',
        '{"file_name": "c.wav", ',
        '["d.wav"]',
        '{"name": "e.wav"}',
        '{"file_name": "f.wav", "title": "\\ud83d"}',
        '{"file_name": "g.wav", "x": ' + "[" * 100_000,
        '{"file_name": "h.wav", "x": {"y": 1}}',
    ]
    table = read(tmp_path, "\r\n".join(lines), "metadata.jsonl")
    assert rows(table) == {1: ("a.wav", "CC0"), 8: ("h.wav", None)}
    reasons = [
        "occur more than once",
        "not valid JSON",
        "must be a JSON object",
        "file_name is None",
        "half of",
        "deep",
    ]
    assert [fault.line for fault in table.faults] == [2, 3, 4, 5, 6, 7]
    assert all(reason in fault.text for reason, fault in zip(reasons, table.faults, strict=True))
    assert table.faults[0].name == "b.wav"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            "file_name,license\na.wav,CC0\r\ncafé.wav,CC0\n".encode("latin-1"),
            "line 3: not valid UTF-8 (byte 0xe9)",
        ),
        ("file_name,license\n".encode("utf-16"), "UTF-16; save the file as UTF-8"),
        (b'"file_name,license\na.wav,CC0\n', "line 1: not valid CSV (a double quote is not closed)"),
    ],
)
def test_a_file_of_which_nothing_can_be_used(tmp_path, content, reason):
    with pytest.raises(MetadataFileError, match=re.escape(reason)):
        read(tmp_path, content)


def test_columns_with_a_meaning():
    assert with_meanings(["FILE_NAME", "Tags", "Place"], MEANINGS) == ["file_name", "tags", "Place"]
    assert with_meanings(["License", "license"], MEANINGS) == ["License", "license"]
    assert with_meanings(["LICENSE", "License"], MEANINGS) == ["license", "License"]


def test_a_repeated_column_is_told(tmp_path):
    table = read(tmp_path, "file_name,note,note\na.wav,one,two\n")
    assert table.rows[0].values["note"] == "two" and told(table) == [(1, True, None)]


def test_every_row_speaks_of_a_file_or_is_told(tmp_path):
    names = ["a.wav", "b.wav", "b.WAV", "e\u0301.wav", "f.wav"]
    written = ["a.wav", "A.WAV", "B.wav", "é.wav", "é.wav", "none.wav", "none.wav", " f.wav"]
    table = read(
        tmp_path, "file_name,license\n" + "".join(f"{name},{n}\n" for n, name in enumerate(written, 2))
    )
    matched = match_rows(table, NameTable(names))
    assert {name: row.line for name, row in matched.by_name.items()} == {
        "a.wav": 2,
        "e\u0301.wav": 6,
        "f.wav": 9,
    }
    assert [row.line for row in matched.unmatched] == [8]
    # The row whose name fits best counts, and of equal ones the last.
    assert [fault.line for fault in matched.repeated] == [3, 5, 7]
    assert "lines 2 and 3 name the same file, 'A.WAV'; line 2 counts" in matched.repeated[0].text
    ((unclear, candidates),) = matched.unclear
    assert unclear.line == 4 and candidates == ("b.wav", "b.WAV") and not unclear.used
    assert [(fault.line, fault.used) for fault in matched.loose] == [(9, True)]
    lines = {row.line for row in matched.by_name.values()} | {row.line for row in matched.unmatched}
    lines |= {fault.line for fault in (*matched.repeated, unclear)}
    assert lines == set(range(2, 10))
