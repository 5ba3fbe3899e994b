"""Annotations of perch-hoplite's own databases as marks, and back; with that library where it is installed."""

import builtins
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.search.errors import SearchError
from auricle.search.refine import MarkTable, SavedSearches, refine
from auricle.search.refine.hoplite_labels import (
    AMBIGUOUS,
    UNCERTAIN,
    UNKNOWN,
    export_annotations,
    import_annotations,
)


@pytest.fixture
def hoplite():
    """Its implementation on a disk."""
    return pytest.importorskip("perch_hoplite.db.sqlite_usearch_impl")


def opened(hoplite, place, width=None):
    config = None if width is None else hoplite.get_default_usearch_config(width)
    return hoplite.SQLiteUSearchDB.create(str(place), usearch_cfg=config)


def annotations(hoplite, place):
    database = opened(hoplite, place)
    names = {row.id: row.filename for row in database.get_all_recordings()}
    return sorted(
        (names[row.recording_id], *row.offsets, row.label, int(row.label_type), row.provenance)
        for row in database.get_all_annotations()
    )


def test_annotations_are_marks(made, hoplite, tmp_path):
    from perch_hoplite.db.datatypes import LabelType

    sounds, index = made
    (sounds / "more" / "e.wav").parent.mkdir(exist_ok=True)
    shutil.copy(sounds / "rain" / "a b.wav", sounds / "more" / "e.wav")
    index.update([sounds], progress=False)
    database = opened(hoplite, tmp_path / "db", 1280)
    longest = database.insert_recording("rain/it's.wav")
    bark = database.insert_recording("bark é🐕.wav")
    rows = [
        (longest, [0.0, 1.0], "dog", LabelType.POSITIVE, "ann"),
        (bark, [0.0, 1.0], "dog", LabelType.NEGATIVE, "bob"),
        (bark, [0.0, 1.0], "dog", LabelType.UNCERTAIN, "bob"),
        (bark, [0.0, 1.0], "cat", LabelType.POSITIVE, "bob"),
        (bark, [500.0, 501.0], "dog", LabelType.POSITIVE, "bob"),
        (database.insert_recording("e.wav"), [0.0, 1.0], "dog", LabelType.POSITIVE, "bob"),
        (database.insert_recording("gone.wav"), [0.0, 1.0], "dog", LabelType.POSITIVE, "bob"),
    ]
    for row in rows:
        database.insert_annotation(*row)
    # Its reader wants the index of vectors, too.
    database.insert_window(longest, [0.0, 5.0], np.zeros(1280, dtype=np.float16))
    database.commit()
    report = import_annotations(index, tmp_path / "db", "dog", "dogs")
    assert (report.imported, report.created) == (2, ["dogs"])
    reasons = sorted(reason for _, reason in report.skipped)
    assert reasons == sorted([UNCERTAIN, AMBIGUOUS, UNKNOWN, "the index has no window at that moment"])
    kept = {mark.path: (mark.fits, mark.who) for mark in MarkTable(index).of("dogs")}
    assert kept == {
        str(sounds / "rain" / "it's.wav"): (True, "ann"),
        str(sounds / "dogs" / "bark é🐕.wav"): (False, "bob"),
    }
    again = import_annotations(index, tmp_path / "db", "dog", "dogs")
    assert (again.imported, again.known) == (0, 2)
    with pytest.raises(SearchError, match="no annotation with the label 'cow'; its labels are: 'cat', 'dog'"):
        import_annotations(index, tmp_path / "db", "cow", "cows")


def test_marks_are_annotations(made, hoplite, tmp_path):
    _, index = made
    SavedSearches(index).save("dogs", "a dog barks")
    hits = index.search("a dog barks")
    for place, hit in enumerate(hits[:3]):
        MarkTable(index).add("dogs", hit.path, hit.start, hit.end, fits=place < 2, who="ann")
    report = export_annotations(index, "dogs", tmp_path / "db", "dog")
    assert report.lines() == ["3 marks exported"]
    expected = sorted(
        (hit.path, hit.start, hit.end, "dog", int(place < 2), "ann") for place, hit in enumerate(hits[:3])
    )
    assert annotations(hoplite, tmp_path / "db") == expected
    # Its vectors are the index's.
    database = opened(hoplite, tmp_path / "db")
    windows = {row.id: row for row in database.get_all_windows()}
    assert len(windows) == 3
    names = {row.id: row.filename for row in database.get_all_recordings()}
    for number, window in windows.items():
        entry = index.store.entry(names[window.recording_id])
        place = int(np.argmin(np.abs(entry.starts - window.offsets[0])))
        np.testing.assert_array_equal(database.get_embedding(number), entry.vectors[place].astype(np.float16))
    del database
    assert export_annotations(index, "dogs", tmp_path / "db", "dog").lines() == [
        "0 marks exported, 3 known already"
    ]
    # And back, into another search.
    assert import_annotations(index, tmp_path / "db", "dog", "back").imported == 3
    assert refine(index, "back").marks_by_window() == refine(index, "dogs").marks_by_window()


def test_a_database_of_another_model_gets_annotations_alone(made, hoplite, tmp_path):
    _, index = made
    SavedSearches(index).save("dogs", "a dog barks")
    hit = index.search("a dog barks")[0]
    MarkTable(index).add("dogs", hit.path, hit.start, hit.end, who="")
    database = opened(hoplite, tmp_path / "db", 1280)
    name = "/".join(hit.path.split("/")[-2:])
    recording = database.insert_recording(name)
    database.insert_window(recording, [0.0, 5.0], np.zeros(1280, dtype=np.float16))
    database.commit()
    del database
    assert export_annotations(index, "dogs", tmp_path / "db", "dog").imported == 1
    assert annotations(hoplite, tmp_path / "db") == [(name, hit.start, hit.end, "dog", 1, "auricle")]
    assert len(opened(hoplite, tmp_path / "db").get_all_windows()) == 1


def test_what_is_no_database_is_told_in_one_line(made, tmp_path):
    _, index = made
    with pytest.raises(SearchError, match=r"not a perch-hoplite database \(no hoplite\.sqlite\)"):
        import_annotations(index, tmp_path, "dog", "dogs")


def test_a_damaged_database_is_told_in_one_line(made, hoplite, tmp_path):
    _, index = made
    (tmp_path / "hoplite.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(SearchError, match="cannot be used") as told:
        import_annotations(index, tmp_path, "dog", "dogs")
    assert "\n" not in str(told.value)


def test_without_the_library_the_command_says_what_to_install(made, tmp_path, monkeypatch):
    _, index = made
    plain = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("perch_hoplite"):
            raise ImportError(name)
        return plain(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / "hoplite.sqlite").touch()
    command = ["refine", "dogs", "--import-hoplite", str(tmp_path), "--index", str(index.directory)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "pip install 'auricle[hoplite]'" in done.output
    assert len(done.output.strip().splitlines()) == 1
