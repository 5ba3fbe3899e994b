"""An index that somebody changes while others have it open, and one that was left half-way."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile
from sound_libraries import contents, interrupted, library, same
from tiny_models import SAMPLING_RATE, saved_tiny_model, sound, write_sound
from tiny_recipes import environment

from auricle.search.errors import SearchError
from auricle.search.query.index_contents import CurrentContents
from auricle.search.sound_index import SoundIndex
from auricle.search.store.vector_index import NAME

pytest.importorskip("lancedb")
MODES = {"exact": 250_000, "approximate": 10}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    saved_tiny_model(folder, projection_dim=16)
    return str(folder)


@pytest.fixture(params=MODES)
def made(request, model, tmp_path):
    sounds = library(tmp_path / "sounds", 20)
    index = SoundIndex.create(tmp_path / "index", model, exact_windows=MODES[request.param])
    index.update([sounds], progress=False)
    assert index.store.approximate == (request.param == "approximate")
    return sounds, index


# ---------------------------------------------------------------------------- files that wait


def test_filters_hold_for_files_that_wait(made):
    sounds, index = made
    for number in range(4):
        write_sound(sounds / "new" / f"{number}.wav", 3.0 + number, seed=100 + number)
    interrupted(index, sounds, after=3)
    reader = SoundIndex(index.directory)
    assert reader.store.waiting() is not None and len(reader) == 23
    new = {str(sounds / "new" / f"{number}.wav") for number in range(3)}
    for conditions, wanted in (
        ({"tag": "new"}, new),
        ({"glob": "*/new/[01].wav"}, {path for path in new if not path.endswith("2.wav")}),
        ({"min_duration": 4.0}, {path for path in new if not path.endswith("0.wav")}),
        ({"file": sounds / "new" / "1.wav"}, {str(sounds / "new" / "1.wav")}),
        ({"license": "CC0"}, set()),
    ):
        assert {hit.path for hit in reader.search("a dog", top=40, **conditions)} == wanted, conditions
    assert not new & {hit.path for hit in reader.search("a dog", top=40, tag="more")}
    assert {hit.path for hit in reader.search("a dog", top=40)} >= new


def test_files_that_wait_take_no_answer_away(made):
    sounds, index = made
    question = {"top": 40, "min_score": -1.0}
    expected = {hit.path for hit in index.search("a dog", **question)}
    # One that is embedded anew leaves the table's answer, and is far from the question.
    changed = write_sound(sounds / "more" / "007.wav", 12.0, seed=500)
    write_sound(sounds / "zoo.wav", 1.0, seed=501)
    interrupted(index, sounds, after=1)
    reader = SoundIndex(index.directory)
    assert {hit.path for hit in reader.search("a dog", **question)} == expected
    hit = next(hit for hit in reader.search("a dog", **question) if hit.path == str(changed))
    assert hit.duration == 12.0
    least = sorted(hit.cosine for hit in reader.search("a dog", **question))[12]
    assert len(reader.search("a dog", top=40, min_score=least)) == 8


def test_a_file_that_waits_far_away_does_not_end_the_search(model, tmp_path):
    """The nearest rows are all of one recording: those of other files are behind them."""
    sounds = library(tmp_path / "sounds", 12)
    first = sound(1.0, seed=50)
    soundfile.write(sounds / "long.wav", np.tile(first, 300), SAMPLING_RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "asked.wav", first, SAMPLING_RATE, subtype="FLOAT")
    index = SoundIndex.create(tmp_path / "index", model, exact_windows=10)
    index.update([sounds], progress=False)
    hits = index.similar(tmp_path / "asked.wav", top=20)
    assert len(hits) == 13 and hits[0].path == str(sounds / "long.wav")
    least = hits[6].cosine
    question = {"top": 9, "min_score": least - 1e-6}
    expected = index.similar(tmp_path / "asked.wav", **question)
    assert len(expected) == 7
    vector = index._encoder.embed_part(tmp_path / "asked.wav", 0.0, None).vector
    for seed in range(100, 200):
        far = write_sound(tmp_path / "far.wav", 0.5, seed=seed)
        if (index._encoder.embed_part(far, 0.0, None).vectors @ vector).max() < least - 0.001:
            break
    far.rename(sounds / "far.wav")
    write_sound(sounds / "zoo.wav", 0.5, seed=99)
    interrupted(index, sounds, after=1)
    reader = SoundIndex(index.directory)
    assert reader.store.waiting() is not None
    assert reader.similar(tmp_path / "asked.wav", **question) == expected


# --------------------------------------------------------------------- others who change it


def test_an_open_index_sees_what_another_process_does(made, model):
    sounds, index = made
    assert len(index.search("a dog", top=40)) == 20
    new = write_sound(sounds / "rain" / "new.wav", 1.0, seed=900)
    (sounds / "e.wav").unlink()
    command = [sys.executable, "-m", "auricle", "index", str(sounds), "--index", str(index.directory)]
    subprocess.run([*command, "--no-progress"], check=True, env=environment(), capture_output=True)
    found = {hit.path for hit in index.search("a dog", top=40)}
    assert len(found) == 20 and str(new) in found and str(sounds / "e.wav") not in found
    assert len(index) == 20 and {hit.path for hit in index.similar(new, top=40)} == found - {str(new)}


def test_two_open_indexes_may_write_in_turn(made, model, tmp_path):
    sounds, one = made
    two = SoundIndex(one.directory)
    two.embed_texts(["rain"])
    for turn, index in enumerate((one, two, one, two)):
        write_sound(sounds / "turns.wav", 1.0 + turn, seed=700 + turn)
        write_sound(sounds / f"turn{turn}.wav", 1.0, seed=800 + turn)
        report = index.update([sounds], progress=False)
        assert (report.added, report.changed) == ((2, 0) if turn == 0 else (1, 1)) and not report.faults
        rows = index.store.rows(["path", "window"]).to_pylist()
        assert len({(row["path"], row["window"]) for row in rows}) == len(rows)
    fresh = SoundIndex.create(tmp_path / "fresh", model)
    fresh.update([sounds], progress=False)
    assert same(contents(one), contents(fresh)) and len(one) == len(two) == 25


def test_a_question_beside_a_writer_misses_no_file(made):
    """Files go from beside the table into it while somebody asks again and again."""
    sounds, index = made
    reader, found, done = SoundIndex(index.directory), [], threading.Event()

    def ask() -> None:
        while not done.is_set():
            reader._contents = CurrentContents(reader.store)
            found.append(len({hit.path for hit in reader.search("a dog", top=60)}))

    asking = threading.Thread(target=ask)
    reader.embed_texts(["a dog"])
    asking.start()
    for turn in range(4):
        for number in range(3):
            write_sound(sounds / f"{turn}-{number}.wav", 0.5, seed=1000 + 10 * turn + number)
        index.update([sounds], progress=False)
    done.set()
    asking.join()
    assert len(found) > 4 and min(found) >= 20 and found == sorted(found)


def test_a_large_index_is_not_read_anew_at_every_question(made, model):
    sounds, index = made
    held = CurrentContents(index.store)
    first = held.get()
    assert len(first.files["path"]) == 20 and held.get() is first
    first.seconds = 1000.0
    write_sound(sounds / "new.wav", 1.0, seed=950)
    index.update([sounds], progress=False)
    assert held.get() is first
    first.seconds = 0.0
    assert len(held.get().files["path"]) == 21
    held.forget()
    assert held.get() is not first


# ------------------------------------------------------------------------- left half-way


def test_an_approximate_index_whose_training_was_killed_is_made_by_the_next_update(model, tmp_path):
    sounds = library(tmp_path / "sounds", 20)
    index = SoundIndex.create(tmp_path / "index", model, exact_windows=10)

    class Killed(BaseException):
        pass

    class Engine:
        def refresh(self, *arguments, **options):
            raise Killed

    index.store.engine = Engine()
    with pytest.raises(Killed):
        index.update([sounds], progress=False)
    again = SoundIndex(index.directory)
    assert again.store.approximate and not again.store.finished and len(again.search("a dog", top=40)) == 20
    assert again.update([sounds], progress=False).unchanged == 20
    assert any(held.name == NAME for held in again.store.table.list_indices()) and again.store.finished


def test_what_an_interrupted_start_left_is_in_nobodys_way(model, tmp_path):
    sounds, place = library(tmp_path / "sounds", 3), tmp_path / "index"
    SoundIndex.create(place, model)
    (place / "index.json").unlink()
    index = SoundIndex.create(place, model)
    assert index.update([sounds], progress=False).added == 3
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(SearchError, match="the folder contains other files"):
        SoundIndex.create(tmp_path / "other", model)


def test_a_hop_that_would_leave_sound_out_makes_no_index(model, tmp_path):
    for hop in (1.5, 0.0, -1.0):
        with pytest.raises(SearchError, match=r"must be above 0 and at most a window, 1 s"):
            SoundIndex.create(tmp_path / "index", model, hop_seconds=hop)
    assert not (tmp_path / "index").exists()
    index = SoundIndex.create(tmp_path / "index", model, hop_seconds=0.5, exact_windows=7)
    assert index.store.record["hop_seconds"] == 0.5
    sounds = library(tmp_path / "sounds", 1)
    with pytest.raises(SearchError, match="at most a window"):
        index.moments(sounds / "rain" / "a b.wav", "a dog", hop_seconds=1.5)
    with pytest.raises(SearchError, match=r"another exact windows \(7, now 8\)"):
        SoundIndex.create(tmp_path / "index", model, hop_seconds=0.5, exact_windows=8)


# --------------------------------------------------------------------- what cannot be read


def test_a_bad_file_is_told_again_and_costs_no_model(made):
    sounds, index = made
    (sounds / "bad.flac").write_bytes(b"fLaC no sound")
    assert [path for path, _ in index.update([sounds], progress=False).faults] == [str(sounds / "bad.flac")]

    def none(name):
        raise AssertionError("the model is not needed")

    again = SoundIndex(index.directory, loader=none)
    report = again.update([sounds], progress=False)
    assert report.unchanged == 20 and [path for path, _ in report.faults] == [str(sounds / "bad.flac")]
    # Mended, it is taken; broken again, it leaves.
    source = (sounds / "e.wav").read_bytes()
    (sounds / "bad.flac").write_bytes(source)
    report = index.update([sounds], progress=False)
    assert report.added == 1 and not report.faults
    (sounds / "bad.flac").write_bytes(b"RIFF half of a sound")
    report = index.update([sounds], progress=False)
    assert len(report.faults) == 1 and len(index) == 20
    (sounds / "bad.flac").unlink()
    assert not index.update([sounds], progress=False).faults
    assert json.loads((index.directory / "faults.json").read_text())["faults"] == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up rights")
def test_a_file_that_may_not_be_read_for_now_stays(made):
    sounds, index = made
    path = sounds / "e.wav"
    before = contents(index)
    os.utime(path, (5, 5))
    path.chmod(0)
    code = (
        "import sys; from auricle.search import SoundIndex\n"
        "report = SoundIndex(sys.argv[1]).update([sys.argv[2]], progress=False)\n"
        "print(report.unchanged, report.removed, report.faults)"
    )
    bound = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    command = [*bound, sys.executable, "-c", code, str(index.directory), str(sounds)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.startswith("19 0 [") and "ermission denied" in done.stdout
    assert same(contents(SoundIndex(index.directory)), before)
    path.chmod(0o644)
    assert index.update([sounds], progress=False).unchanged == 20
