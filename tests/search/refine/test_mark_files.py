"""Marks as CSV: what goes out comes in again, what cannot be used is counted with its reason."""

import csv
import shutil
from dataclasses import replace

import pytest
from older_feedback import note_feedback
from tiny_models import saved_tiny_model

from auricle.search.refine import MarkTable, SavedSearches, refine
from auricle.search.refine.mark_files import HEADER, export_marks, import_marks
from auricle.search.refine.matching import CHANGED, GONE, NO_WINDOW
from auricle.search.sound_index import SearchError, SoundIndex


@pytest.fixture
def marked(made):
    """An index with two searches and marks of both kinds."""
    sounds, index = made
    SavedSearches(index).save("dogs", "a dog barks")
    SavedSearches(index).save("rain", "=rain falls")
    table = MarkTable(index)
    for place, hit in enumerate(index.search("a dog barks")[:4]):
        table.add("dogs", hit.path, hit.start, hit.end, fits=place < 2, who="@ann", question="a dog barks")
    table.add("rain", next(iter(index.store.files())), who="bob", question="=rain falls")
    return sounds, index


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path, header, *lines):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])
    return path


def test_the_columns_are_those_that_are_documented(marked, tmp_path):
    _, index = marked
    assert export_marks(tmp_path / "marks.csv", MarkTable(index).of("dogs")) == 4
    kept = rows(tmp_path / "marks.csv")
    assert tuple(kept[0]) == HEADER
    mark = MarkTable(index).of("dogs")[0]
    assert kept[0] == {
        **{name: str(getattr(mark, name)) for name in HEADER},
        "fits": "1",
        # A spreadsheet would run it.
        "who": "'@ann",
    }


def test_all_marks_go_to_another_index_of_another_model(marked, tmp_path):
    sounds, index = marked
    export_marks(tmp_path / "marks.csv", MarkTable(index).everything())
    saved_tiny_model(tmp_path / "other", seed=1)
    # Elsewhere and under other names.
    for number, path in enumerate(sorted(path for path in sounds.rglob("*.wav"))):
        (tmp_path / "away").mkdir(exist_ok=True)
        shutil.move(path, tmp_path / "away" / f"{number}.wav")
    other = SoundIndex.create(tmp_path / "other index", str(tmp_path / "other"))
    other.update([tmp_path / "away"], progress=False)
    report = import_marks(other, tmp_path / "marks.csv")
    assert report.lines() == [
        "5 marks imported",
        "saved search 'dogs' created",
        "saved search 'rain' created",
    ]
    assert SavedSearches(other).get("rain").question == "=rain falls"
    before, after = MarkTable(index).of("dogs"), MarkTable(other).of("dogs")
    assert [replace(mark, path="") for mark in before] == [replace(mark, path="") for mark in after]
    assert {mark.path for mark in after} <= set(other.store.files())
    learned = refine(other, "dogs")
    assert (learned.fits, learned.misfits, learned.matched.foreign) == (2, 2, 4)
    assert import_marks(other, tmp_path / "marks.csv").lines() == ["0 marks imported, 5 known already"]
    assert refine(other, "dogs").remarks() == learned.remarks()


def test_marks_go_to_the_search_that_is_named(marked, tmp_path):
    _, index = marked
    table = MarkTable(index)
    export_marks(tmp_path / "dogs.csv", table.of("dogs"))
    export_marks(tmp_path / "all.csv", table.everything())
    assert import_marks(index, tmp_path / "dogs.csv", "barks").imported == 4
    assert len(table.of("barks")) == 4
    report = import_marks(index, tmp_path / "all.csv", "rain")
    assert (report.imported, report.known) == (0, 1)
    assert [reason for _, reason in report.skipped] == ["the mark belongs to the search 'dogs'"] * 4


def test_a_table_that_people_write_is_enough(marked, tmp_path):
    _, index = marked
    path = max(index.store.files(), key=lambda one: index.store.entry(one).duration)
    table = write(
        tmp_path / "own.csv",
        ["Fits", "path", "start", "end", "remark"],
        ["yes", path, "1", "2.0", "loud"],
        ["does not fit", path, "0", "1", ""],
        [],
        ["1", path, "", "", ""],
    )
    assert import_marks(index, table, "own").imported == 3
    found = refine(index, "own").matched
    assert {(float(start), bool(fits)) for start, fits in zip(found.starts, found.fits, strict=True)} >= {
        (1.0, True)
    }


def test_what_cannot_be_used_is_counted_with_its_reason(marked, tmp_path):
    _, index = marked
    path = next(iter(index.store.files()))
    table = write(
        tmp_path / "own.csv",
        ["path", "digest", "start", "end", "fits", "when"],
        [path, "", "0", "1", "1", ""],
        [path, "", "0", "1", "maybe", ""],
        ["", "", "0", "1", "1", ""],
        [path, "", "2", "1", "1", ""],
        [path, "", "zero", "1", "1", ""],
        [path, "", "0", "", "1", ""],
        [path, "", "0", "1", "1", "today"],
        [path, "", "70", "71", "1", ""],
        [path, "0" * 64, "0", "1", "1", ""],
        ["/no/such.wav", "", "0", "1", "1", ""],
        ["/no/such.wav", "1" * 64, "0", "1", "1", ""],
    )
    report = import_marks(index, table, "own")
    assert report.imported == 1
    assert dict(report.skipped) == {
        "own.csv, line 3": "fits is 'maybe', expected 1 or 0",
        "own.csv, line 4": "the row has neither a path nor a digest",
        "own.csv, line 5": "the moment 2 to 1 s must start at 0 or later and end after its start",
        "own.csv, line 6": "start is 'zero', expected seconds",
        "own.csv, line 7": "end is None, expected seconds",
        "own.csv, line 8": "the time 'today' is not ISO 8601, as 2026-03-01T12:00:00Z",
        "own.csv, line 9": NO_WINDOW,
        "own.csv, line 10": CHANGED,
        "own.csv, line 11": GONE,
        "own.csv, line 12": GONE,
    }
    assert f"skipped 2 marks: {GONE} (first: own.csv, line 11)" in report.lines()


def test_contradictions_in_a_table_are_told(marked, tmp_path):
    _, index = marked
    path = next(iter(index.store.files()))
    table = write(
        tmp_path / "own.csv",
        ["path", "start", "end", "fits", "when"],
        [path, "0", "1", "0", "2026-01-02T00:00:00+01:00"],
        [path, "0", "1", "1", "2026-01-01T23:30:00Z"],
    )
    import_marks(index, table, "own")
    learned = refine(index, "own")
    # 00:00 in the zone +01:00 is 23:00 in UTC: the second is the later one.
    assert (learned.fits, learned.misfits, learned.matched.contradictions) == (1, 0, 1)


def test_the_pages_feedback_of_another_index_is_read(marked, tmp_path):
    _, index = marked
    from auricle.search.store.index_folder import IndexFolder

    path = next(iter(index.store.files()))
    note_feedback(IndexFolder(tmp_path), "=1+1 dogs", path, fits=False)
    report = import_marks(index, tmp_path / "feedback.csv")
    assert (report.imported, report.skipped, report.created) == (1, [], [])
    assert refine(index, question="=1+1 dogs").misfits == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the first line must name the columns"),
        (b"path,start\n/a.wav,1\n", "'fits' and 'path' or 'digest' among them; found: path, start"),
        (b"p\xe4th,fits\n", "not UTF-8"),
    ],
)
def test_what_is_no_table_of_marks_is_refused_in_one_line(marked, tmp_path, content, message):
    _, index = marked
    (tmp_path / "own.csv").write_bytes(content)
    with pytest.raises(SearchError, match=message) as told:
        import_marks(index, tmp_path / "own.csv", "own")
    assert "\n" not in str(told.value)
    assert "own" not in SavedSearches(index)


def test_files_that_cannot_be_read_or_written_are_named(marked, tmp_path):
    _, index = marked
    with pytest.raises(SearchError, match=r"none\.csv: cannot read the file"):
        import_marks(index, tmp_path / "none.csv")
    with pytest.raises(SearchError, match=r"out\.csv: cannot write the file"):
        export_marks(tmp_path / "no" / "out.csv", MarkTable(index).of("dogs"))
