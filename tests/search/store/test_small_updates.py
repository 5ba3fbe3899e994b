"""A few changed files of a small index: they wait beside the table, and the snapshot has them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sound_libraries import contents, interrupted, same
from tiny_models import write_sound
from tiny_recipes import environment

from auricle.search.sound_index import SoundIndex
from auricle.search.store import index_store, small_updates
from auricle.search.store.index_store import Store
from auricle.search.store.pending import PendingFiles

pytest.importorskip("lancedb")


def waiting(index: SoundIndex) -> int:
    return len(PendingFiles(Path(index.directory) / "pending"))


@pytest.fixture
def updated(made):
    """An index of seven files; one was changed and one added after the rest."""
    sounds, index = made
    write_sound(sounds / "e.wav", 2.5, seed=300)
    write_sound(sounds / "new.wav", 1.5, seed=301)
    report = index.update([sounds], progress=False)
    assert (report.added, report.changed) == (1, 1)
    return sounds, index


@pytest.fixture
def expected(updated, model, tmp_path):
    fresh = SoundIndex.create(tmp_path / "fresh", model)
    fresh.update([updated[0]], progress=False)
    return contents(fresh)


def test_a_small_update_does_not_import_the_database(made):
    sounds, index = made
    write_sound(sounds / "e.wav", 2.5, seed=300)
    code = (
        "import sys; from auricle.search import SoundIndex\n"
        f"index = SoundIndex({str(index.directory)!r})\n"
        f"assert index.update([{str(sounds)!r}], progress=False).changed == 1\n"
        "assert index.store.finished and len(index.search('a dog', top=9)) == 6\n"
        "assert not {'lancedb', 'lance'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())
    assert waiting(index) == 1


def test_the_snapshot_has_what_waits(updated, expected):
    _, index = updated
    store = Store(index.directory)
    assert waiting(index) == 2 and store.finished and not store.approximate
    assert same(contents(index), expected)
    rows, beside = store._snapshot_and_waiting()
    # Nothing is put together at every query.
    assert beside is None and len(rows) == len(store.rows())
    assert {hit.path for hit in index.search("a dog", top=9)} == expected.keys()


def test_without_a_snapshot_the_table_and_what_waits_answer(updated, expected):
    sounds, index = updated
    (index.directory / "snapshot.arrow").unlink()
    assert same(contents(index), expected) and not Store(index.directory).finished
    assert SoundIndex(index.directory).update([sounds], progress=False).unchanged == 7
    assert waiting(index) == 0 and Store(index.directory).finished and same(contents(index), expected)


def test_what_waits_goes_into_the_table_with_others(updated, expected, monkeypatch):
    sounds, index = updated
    for module in (index_store, small_updates):
        monkeypatch.setattr(module, "FILES_A_COMMIT", 3)
    write_sound(sounds / "third.wav", 1.0, seed=302)
    assert index.update([sounds], progress=False).added == 1
    assert waiting(index) == 0
    (index.directory / "snapshot.arrow").unlink()
    found = contents(index)
    assert len(found) == 8 and same({path: found[path] for path in expected}, expected)


def test_a_removed_file_takes_what_waits_into_the_table(updated, expected):
    sounds, index = updated
    (sounds / "new.wav").unlink()
    assert index.update([sounds], progress=False).removed == 1
    assert waiting(index) == 0
    (index.directory / "snapshot.arrow").unlink()
    del expected[str(sounds / "new.wav")]
    assert same(contents(index), expected)


def test_a_file_that_changes_again_stands_for_what_waited(updated):
    sounds, index = updated
    before = index.store.entry(str(sounds / "e.wav"))
    path = write_sound(sounds / "e.wav", 3.5, seed=303)
    write_sound(sounds / "zoo.wav", 1.0, seed=304)
    interrupted(index, sounds, after=1)
    store = Store(index.directory)
    assert not store.finished and len(store.files()) == 7
    assert store.entry(str(path)).duration == 3.5
    assert not np.array_equal(store.entry(str(path)).vector, before.vector)
    assert SoundIndex(index.directory).update([sounds], progress=False).added == 1
    assert Store(index.directory).finished and waiting(index) == 3


def test_an_index_that_outgrows_its_snapshot_goes_into_the_table(model, made, tmp_path):
    sounds, _ = made
    index = SoundIndex.create(tmp_path / "small", model, exact_windows=40)
    index.update([sounds], progress=False)
    assert not index.store.approximate
    write_sound(sounds / "long.wav", 60.0, seed=305)
    assert index.update([sounds], progress=False).added == 1
    assert waiting(index) == 0 and Store(index.directory).approximate
    assert str(sounds / "long.wav") in {hit.path for hit in index.search("a dog", top=9)}


@pytest.mark.parametrize("damage", ["emptied", "emptied, same time", "one deleted", "folder deleted"])
@pytest.mark.parametrize("then", ["nothing", "another folder changes", "a file goes"])
def test_lost_waiting_files_are_taken_from_the_snapshot(made, model, tmp_path, damage, then):
    """The rows are nowhere else: a commit without them would lose sounds that the update calls unchanged."""
    sounds, index = made
    other = tmp_path / "other"
    for number in range(3):
        write_sound(other / f"{number}.wav", 1.0, seed=400 + number)
    index.update([other], progress=False)
    write_sound(sounds / "e.wav", 2.5, seed=300)
    write_sound(sounds / "new.wav", 1.5, seed=301)
    index.update([sounds], progress=False)
    places = sorted((Path(index.directory) / "pending").glob("*.arrow"))
    assert len(places) >= 2
    for place in places[:1] if damage == "one deleted" else places:
        times = place.stat()
        if damage.startswith("emptied"):
            place.write_bytes(b"")
        else:
            place.unlink()
        if damage.endswith("same time"):
            os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    if then == "another folder changes":
        write_sound(other / "0.wav", 2.0, seed=500)
    elif then == "a file goes":
        (other / "0.wav").unlink()
    again = SoundIndex(index.directory)
    again.update([other], progress=False)
    assert again.store.finished
    fresh = SoundIndex.create(tmp_path / "fresh", model)
    fresh.update([sounds, other], progress=False)
    assert same(contents(again), contents(fresh))
    (Path(index.directory) / "snapshot.arrow").unlink()
    assert same(contents(SoundIndex(index.directory)), contents(fresh))
