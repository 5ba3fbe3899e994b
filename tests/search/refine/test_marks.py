"""The table of marks: nothing is lost, the later mark counts, marks go with contents and times."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from older_feedback import note_feedback
from tiny_models import write_sound

from auricle.search.refine import MarkTable, SavedSearches, refine
from auricle.search.refine.mark_table import TABLE, read_feedback
from auricle.search.refine.marks import Mark, as_utc
from auricle.search.refine.matching import CHANGED, GONE, NO_WINDOW, match_marks, match_window
from auricle.search.sound_index import SearchError, SoundIndex


@pytest.fixture
def dogs(made):
    """An index with a saved search, and its answers."""
    sounds, index = made
    SavedSearches(index).save("dogs", "a dog barks")
    return sounds, index, index.search("a dog barks")


def marked(index, name="dogs"):
    """By path and start whether windows are marked as fitting."""
    matched = refine(index, name).matched
    return {
        (path, float(start)): bool(fits)
        for paths, start, fits in zip(matched.paths, matched.starts, matched.fits, strict=True)
        for path in paths
    }


def test_a_mark_says_who_when_and_of_which_index(dogs):
    _, index, hits = dogs
    mark = MarkTable(index).add("dogs", hits[0].path, hits[0].start, hits[0].end, fits=False, who="ann")
    (kept,) = MarkTable(SoundIndex(index.directory)).of("dogs")
    assert kept == mark
    assert (kept.who, kept.fits, kept.search) == ("ann", False, "dogs")
    assert kept.fingerprint == index.store.record["fingerprint"]
    assert kept.digest == index.store.files()[hits[0].path]["digest"]
    assert as_utc(kept.when) == kept.when
    assert MarkTable(index).of("cats") == MarkTable(index).of("")
    assert len(MarkTable(index).of("cats")) == 0


def test_the_later_mark_counts_and_contradictions_are_told(dogs):
    _, index, hits = dogs
    table, moment = MarkTable(index), (hits[0].path, hits[0].start, hits[0].end)
    table.add("dogs", *moment)
    table.add("dogs", *moment, fits=False)
    table.add("dogs", hits[1].path, hits[1].start, hits[1].end)
    assert marked(index) == {moment[:2]: False, (hits[1].path, hits[1].start): True}
    assert table.of("dogs").contradictions == 1
    (told,) = refine(index, "dogs").remarks()
    assert told.startswith("1 window is marked both as fitting and as not fitting")
    table.remove("dogs", *moment)
    assert marked(index) == {(hits[1].path, hits[1].start): True}


def test_two_moments_of_one_window_are_one_mark(dogs):
    _, index, hits = dogs
    table, hit = MarkTable(index), hits[0]
    table.add("dogs", hit.path, hit.start, hit.end)
    table.add("dogs", hit.path, hit.start + 0.1, hit.end, fits=False)
    assert marked(index) == {(hit.path, hit.start): False}
    assert refine(index, "dogs").matched.contradictions == 1


def test_marks_survive_moved_renamed_and_copied_files(dogs):
    sounds, index, hits = dogs
    hit = hits[0]
    MarkTable(index).add("dogs", hit.path, hit.start, hit.end)
    before = refine(index, "dogs")
    moved = sounds / "elsewhere" / "renamed.wav"
    moved.parent.mkdir()
    shutil.move(hit.path, moved)
    shutil.copy(moved, sounds / "copy.wav")
    index.update([sounds], progress=False)
    after = refine(index, "dogs")
    assert marked(index) == {(str(moved), hit.start): True, (str(sounds / "copy.wav"), hit.start): True}
    assert np.array_equal(before.scorer.direction, after.scorer.direction)
    assert after.remarks() == []
    # Neither the file nor its copy is asked about again.
    left = {(one.path, one.start) for one in after.least_sure(100)}
    assert not left & marked(index).keys()


def test_marks_go_with_an_index_of_other_windows(dogs, model, tmp_path):
    sounds, index, hits = dogs
    longest = max(hits, key=lambda hit: hit.duration)
    MarkTable(index).add("dogs", longest.path, 1.0, 2.0)
    finer = SoundIndex.create(tmp_path / "finer", model, hop_seconds=0.5)
    finer.update([sounds], progress=False)
    shutil.copy(index.directory / TABLE, tmp_path / "finer" / TABLE)
    SavedSearches(finer).save("dogs", "a dog barks")
    assert marked(finer) == {(longest.path, 1.0): True}


def test_marks_without_a_window_are_counted_with_the_reason(dogs):
    sounds, index, hits = dogs
    table = MarkTable(index)
    for hit in hits[:3]:
        table.add("dogs", hit.path, hit.start, hit.end)
    table.extend([replace(table.of("dogs")[0], start=500.0, end=501.0)])
    (sounds.joinpath(hits[1].path)).unlink()
    write_sound(sounds.joinpath(hits[2].path), 1.0, seed=99)
    index.update([sounds], progress=False)
    learned = refine(index, "dogs")
    assert sorted(reason for _, reason in learned.matched.missing) == sorted([GONE, CHANGED, NO_WINDOW])
    assert learned.fits == 1
    assert any("1 mark is not used: the file is not in the index" in one for one in learned.remarks())


@pytest.mark.parametrize(
    ("moment", "place"),
    [
        ((5.0, 10.0), 1),
        ((5.02, 9.97), 1),
        ((6.0, 7.0), 1),
        ((0.0, 20.0), 0),
        ((7.4, 12.4), 1),
        ((7.6, 12.6), 2),
        ((19.0, 24.0), None),
        ((40.0, 41.0), None),
    ],
)
def test_a_moment_is_the_window_that_it_shares_most_with(moment, place):
    starts, ends = np.array([0.0, 5.0, 10.0]), np.array([5.0, 10.0, 15.0])
    assert match_window(starts, ends, *moment) == place


def test_no_windows_match_nothing():
    assert match_window(np.zeros(0), np.zeros(0), 0.0, 1.0) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": ""}, "name of a search"),
        ({"search": "a\nb"}, "control character"),
        ({"path": "/no/such.wav"}, "not in the index"),
        ({"start": 2.0, "end": 1.0}, "start at 0 or later"),
        ({"start": 2.0}, "end is None"),
        ({"start": -1.0, "end": 1.0}, "start at 0 or later"),
        ({"start": 600.0, "end": 601.0}, r"starts at 600 s, but the file ends at \d+\.\d\d s"),
        ({"start": float("nan"), "end": 1.0}, "expected seconds"),
        ({"fits": 1}, "True or False"),
    ],
)
def test_a_mark_that_is_none_says_why(dogs, options, message):
    _, index, hits = dogs
    arguments = {"search": "dogs", "path": hits[0].path, **options}
    with pytest.raises(SearchError, match=message):
        MarkTable(index).add(**arguments)
    assert not (index.directory / TABLE).exists()


def test_marks_of_a_question_count_once_it_has_a_name(made):
    _, index = made
    hits = index.search("rain falls")
    MarkTable(index).add("", hits[0].path, hits[0].start, hits[0].end, question="rain falls")
    assert refine(index, question="rain falls").fits == 1
    SavedSearches(index).save("rain", "rain falls")
    SavedSearches(index).save("wind", "wind blows")
    assert (refine(index, "rain").fits, refine(index, "wind").fits) == (1, 0)


def test_what_the_page_noted_before_is_read(made):
    _, index = made
    hits = index.search("rain falls")
    folder = index.store.folder
    note_feedback(folder, "rain falls", hits[0].path, fits=True)
    note_feedback(folder, "rain falls", hits[1].path, fits=False)
    note_feedback(folder, "something else", hits[2].path, fits=True)
    with open(index.directory / "feedback.csv", "ab") as file:
        file.write(b"yesterday,rain falls,/a.wav,1\r\nonly,three,cells\r\n")
    SavedSearches(index).save("rain", "rain falls")
    learned = refine(index, "rain")
    # At the file's best moment, which was shown.
    assert marked(index, "rain") == {
        (hits[0].path, hits[0].start): True,
        (hits[1].path, hits[1].start): False,
    }
    assert learned.unread == (
        "feedback.csv, row 5: the time 'yesterday' is not ISO 8601, as 2026-03-01T12:00:00Z",
        "feedback.csv, row 6: has 3 cells, expected 4",
    )
    # A later mark of the same window counts more, and can be taken back.
    MarkTable(index).add("rain", hits[0].path, hits[0].start, hits[0].end, fits=False)
    assert marked(index, "rain")[hits[0].path, hits[0].start] is False
    MarkTable(index).remove("rain", hits[0].path, hits[0].start, hits[0].end)
    assert marked(index, "rain") == {(hits[1].path, hits[1].start): False}


def test_cells_of_feedback_that_look_like_formulas_are_read_as_they_were(tmp_path):
    from auricle.search.store.index_folder import IndexFolder

    note_feedback(IndexFolder(tmp_path), "=SUM(A1)", "+a.wav", fits=True)
    note_feedback(IndexFolder(tmp_path), "'quoted'", "/b.wav", fits=True)
    (one, two), faults = read_feedback((tmp_path / "feedback.csv").read_bytes())
    assert (one.question, one.path, two.question, faults) == ("=SUM(A1)", "+a.wav", "'quoted'", [])


def test_damaged_lines_are_left_out_and_told(dogs):
    _, index, hits = dogs
    table = MarkTable(index)
    table.add("dogs", hits[0].path, hits[0].start, hits[0].end)
    with open(index.directory / TABLE, "ab") as file:
        file.write(b'{"path": "/a.wav", "fits": "yes"}\n[]\n\xff\xfe\n{"pa')
    table.add("dogs", hits[1].path, hits[1].start, hits[1].end)
    kept = table.of("dogs")
    assert len(kept) == 2
    assert [reason.split(": ")[0] for reason in kept.unread] == [f"{TABLE}, line {n}" for n in (3, 4, 5, 6)]
    assert "fits is 'yes'" in kept.unread[0]
    assert "4 lines of marks could not be read" in " ".join(refine(index, "dogs").remarks())


def test_a_table_of_a_later_version_is_refused_in_one_line(dogs):
    _, index, _ = dogs
    (index.directory / TABLE).write_text(json.dumps({"format": "auricle marks", "version": 2}) + "\n")
    with pytest.raises(SearchError, match=r"marks\.jsonl has version 2.*upgrade auricle"):
        MarkTable(index).of("dogs")


def test_no_mark_of_many_threads_and_programs_is_lost(dogs):
    _, index, hits = dogs
    hit = hits[0]
    program = (
        "import sys; from auricle.search.sound_index import SoundIndex; from auricle.search.refine import MarkTable\n"
        "t = MarkTable(SoundIndex(sys.argv[1]))\n"
        "for n in range(20): t.add(f'{sys.argv[2]} {n}', sys.argv[3])"
    )
    command = [sys.executable, "-c", program, str(index.directory)]
    other = subprocess.Popen([*command, "program", hit.path])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: MarkTable(index).add(f"thread {number}", hit.path), range(40)))
    assert other.wait() == 0
    everything = MarkTable(index).everything()
    assert len(everything) == 60
    assert everything.unread == ()


def test_deleting_and_saving_searches_loses_nothing_that_others_write(dogs):
    """Both write their file anew, beside threads that add to it."""
    _, index, hits = dogs
    path = hits[0].path

    def work(number):
        searches, table = SavedSearches(index), MarkTable(index)
        searches.save(f"kept {number}")
        table.add(f"kept {number}", path)
        searches.save(f"dropped {number}")
        table.add(f"dropped {number}", path)
        return searches.delete(f"dropped {number}")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(12))) == [1] * 12
    kept = {f"kept {number}" for number in range(12)}
    assert set(SavedSearches(index).names()) == {*kept, "dogs"}
    assert {mark.search for mark in MarkTable(index).everything()} == kept


def test_marks_of_an_object_store_are_kept(made):
    """Through the code of object stores, on this machine's disk."""
    _, index = made
    from auricle.search.store.index_folder import IndexFolder

    table = MarkTable(index)
    table._folder = IndexFolder(f"file://{index.directory}")
    path = next(iter(index.store.files()))
    for number in range(3):
        table.add(f"search {number}", path)
    assert len(table.everything()) == 3


def test_an_unwritable_table_is_told_in_one_line(dogs, monkeypatch):
    _, index, hits = dogs
    (index.directory / TABLE).mkdir()
    with pytest.raises(SearchError, match="marks cannot be written"):
        MarkTable(index).add("dogs", hits[0].path)


def test_a_mark_of_a_moment_that_is_not_said_is_the_best_one(dogs):
    _, index, _ = dogs
    path = max(index.store.files(), key=lambda one: index.store.entry(one).duration)
    entry, query = index.store.entry(path), SavedSearches(index).get("dogs").vectors[0]
    mark = Mark(path, entry.digest)
    best = int(np.argmax(entry.vectors @ query))
    assert match_marks(index.store, [mark], query).starts.tolist() == [entry.starts[best]]
    central = int(np.argmax(entry.vectors @ entry.vector))
    assert match_marks(index.store, [mark]).starts.tolist() == [entry.starts[central]]
