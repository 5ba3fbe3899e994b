"""Marks: none is lost, whoever sets them at once, and no spreadsheet runs them."""

import csv
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from auricle.files.spreadsheet_cells import harmless_cell
from auricle.search.page.feedback import note_feedback
from auricle.search.store.index_folder import IndexFolder

pytest.importorskip("lancedb")


def rows(folder) -> list[dict[str, str]]:
    with open(folder / "feedback.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_marks_are_kept(tmp_path, scheme):
    folder = IndexFolder(f"{scheme}{tmp_path}")
    note_feedback(folder, 'a "dog", barks', "/sounds/a,b.wav", fits=True)
    note_feedback(folder, "rain\nand \udc80", "/sounds/é.wav", fits=False)
    assert [(row["sentence"], row["path"], row["fits"]) for row in rows(tmp_path)] == [
        ('a "dog", barks', "/sounds/a,b.wav", "1"),
        ("rain\nand \\udc80", "/sounds/é.wav", "0"),
    ]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_marks_set_at_once_are_all_kept(tmp_path, scheme):
    with ThreadPoolExecutor(16) as pool:
        marks = [
            # A folder each, as the pages of several processes have.
            pool.submit(note_feedback, IndexFolder(f"{scheme}{tmp_path}"), f"{number}", "/a.wav", fits=True)
            for number in range(200)
        ]
    assert not [mark.exception() for mark in marks if mark.exception()]
    assert sorted(int(row["sentence"]) for row in rows(tmp_path)) == list(range(200))
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")] == []


def test_first_marks_set_at_once_begin_the_file_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        for turn in range(150):
            place, together = tmp_path / str(turn), Barrier(8)
            place.mkdir()

            def mark(number: int, place=place, together=together) -> None:
                together.wait()
                note_feedback(IndexFolder(place), str(number), "/a.wav", fits=True)

            list(pool.map(mark, range(8)))
            assert sorted(row["sentence"] for row in rows(place)) == list("01234567")


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_a_spreadsheet_runs_no_mark(tmp_path, begin):
    formula = f'{begin}HYPERLINK("http://evil.example")'
    note_feedback(IndexFolder(tmp_path), formula, f"{begin}a.wav", fits=True)
    row = rows(tmp_path)[0]
    assert (row["sentence"], row["path"]) == (f"'{formula}", f"'{begin}a.wav")
    assert harmless_cell(formula) == f"'{formula}"


def test_other_cells_stay_as_they_are():
    for text in ("", "rain = wet", "'quoted'", "/sounds/a.wav", "5", " =1"):
        assert harmless_cell(text) == text
