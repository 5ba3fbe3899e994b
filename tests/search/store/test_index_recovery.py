"""What an index has after it was interrupted, and what files beside its table are for."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sound_libraries import contents, interrupted, same
from tiny_models import write_sound
from tiny_recipes import environment

from auricle.search.errors import SearchError
from auricle.search.sound_index import SoundIndex
from auricle.search.store.index_store import Store

pytest.importorskip("lancedb")


def test_an_interrupted_update_can_be_asked_and_goes_on(made, model, tmp_path):
    sounds, index = made
    for number in range(5):
        write_sound(sounds / f"new{number}.wav", 1.0, seed=100 + number)
    write_sound(sounds / "e.wav", 1.0, seed=200)
    interrupted(index, sounds, after=3)
    again = SoundIndex(index.directory)
    waiting = list((index.directory / "pending").glob("*.arrow"))
    assert len(waiting) == 3 and len({hit.path for hit in again.search("a dog", top=20)}) == len(again)
    assert not again.store.finished
    report = again.update([sounds], progress=False)
    assert report.unchanged + report.added + report.changed == 11
    assert report.added + report.changed == 3
    assert again.store.finished
    fresh = SoundIndex.create(tmp_path / "fresh", model)
    fresh.update([sounds], progress=False)
    assert same(contents(again), contents(fresh))


def test_a_changed_file_that_waits_stands_for_the_old_one(made):
    sounds, index = made
    path = write_sound(sounds / "e.wav", 2.5, seed=300)
    write_sound(sounds / "zoo.wav", 1.0, seed=301)
    before = index.store.entry(str(path))
    interrupted(index, sounds, after=1)
    store = Store(index.directory)
    assert not np.array_equal(store.entry(str(path)).vector, before.vector)
    assert store.entry(str(path)).duration == 2.5
    assert len(store.files()) == 6
    assert store.rows().column("window").to_pylist().count(-1) == 6


def test_what_a_power_cut_left_of_a_waiting_file_is_embedded_again(made):
    sounds, index = made
    write_sound(sounds / "new.wav", 1.0, seed=400)
    interrupted(index, sounds, after=0)
    (index.directory / "pending").mkdir(exist_ok=True)
    (index.directory / "pending" / f"{'0' * 32}.arrow").write_bytes(b"ARROW1\0\0half")
    again = SoundIndex(index.directory)
    assert len(again) == 6
    assert again.update([sounds], progress=False).added == 1 and len(again) == 7
    assert again.update([sounds], progress=False).unchanged == 7


def test_a_damaged_or_missing_snapshot_is_made_anew(made):
    sounds, index = made
    expected = index.search("a dog", top=6)
    snapshot = index.directory / "snapshot.arrow"
    for damage in (lambda: snapshot.write_bytes(snapshot.read_bytes()[:100]), snapshot.unlink):
        damage()
        assert SoundIndex(index.directory).search("a dog", top=6) == expected
        assert SoundIndex(index.directory).update([sounds], progress=False).unchanged == 6
        assert Store(index.directory).finished


def test_a_table_that_was_deleted_is_made_anew_from_the_snapshot(made):
    sounds, index = made
    expected, before = index.search("a dog", top=6), contents(index)
    shutil.rmtree(index.directory / "sounds.lance")
    again = SoundIndex(index.directory)
    assert again.search("a dog", top=6) == expected
    assert again.update([sounds], progress=False).unchanged == 6
    (index.directory / "snapshot.arrow").unlink()
    assert same(contents(SoundIndex(index.directory)), before)
    # Without either there is nothing to go on with.
    shutil.rmtree(index.directory / "sounds.lance")
    with pytest.raises(SearchError, match=r"sounds\.lance is missing, and it has no complete snapshot"):
        SoundIndex(index.directory)


@pytest.mark.parametrize("part", ["vectors", "texts", "checksum"])
def test_a_snapshot_whose_bytes_changed_is_not_believed(made, part):
    sounds, index = made
    path, expected = index.directory / "snapshot.arrow", index.search("a dog", top=6)
    whole = path.read_bytes()
    vectors = index.store.entry(str(sounds / "e.wav")).vectors.astype(np.float16).tobytes()
    place = {
        "vectors": whole.index(vectors) + 3,
        "texts": whole.index(b"e.wav"),
        "checksum": whole.index(b"auricle.crc32") + 1,
    }[part]
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
    again = SoundIndex(index.directory)
    assert again.search("a dog", top=6) == expected
    # A snapshot without its checksum is one of an earlier version.
    assert again.store.finished == (part == "checksum")
    assert again.update([sounds], progress=False).unchanged == 6
    assert Store(index.directory).finished and SoundIndex(index.directory).search("a dog", top=6) == expected


def test_a_snapshot_of_an_earlier_version_answers(made):
    from pyarrow import ipc

    _, index = made
    path, expected = index.directory / "snapshot.arrow", index.search("a dog", top=6)
    rows, earlier = index.store.rows(), index.directory / "earlier.arrow"
    with ipc.new_file(str(earlier), rows.schema) as writer:
        writer.write_table(rows)
    earlier.replace(path)
    again = SoundIndex(index.directory)
    assert again.store.finished and again.search("a dog", top=6) == expected


def test_an_index_is_closed_and_told(made):
    sounds, index = made
    with SoundIndex(index.directory) as opened:
        hits = opened.search("a dog")
        told = repr(opened)
        assert str(index.directory) in told and "6 files" in told and opened.store.record["model"] in told
    assert "closed" in repr(opened)
    for ask in (lambda: opened.search("a dog"), lambda: opened.similar(hits[0].path), lambda: len(opened)):
        with pytest.raises(SearchError, match="is closed"):
            ask()
    with pytest.raises(SearchError, match="is closed"):
        opened.update([sounds], progress=False)
    opened.close()
    shutil.rmtree(index.directory)
    assert "cannot be read" in repr(index) or "6 files" in repr(index)


def test_asking_needs_no_database_while_there_is_a_snapshot(made):
    _, index = made
    code = (
        "import sys; from auricle.search import SoundIndex\n"
        f"index = SoundIndex({str(index.directory)!r})\n"
        "assert len(index) == 6 and index.tags\n"
        "assert not {'lancedb', 'lance', 'torch'} & set(sys.modules)\n"
        "index.store.table\n"
        "assert 'lancedb' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def test_two_processes_do_not_write_at_once(made):
    from filelock import FileLock

    sounds, index = made
    with (
        FileLock(index.directory / "index.lock"),
        pytest.raises(SearchError, match="another process is writing this index"),
    ):
        index.update([sounds], progress=False)
    assert index.update([sounds], progress=False).unchanged == 6


# ------------------------------------------------------------------------------------- exports


def test_links_and_tables_of_files(made, tmp_path):
    sounds, index = made
    hits = index.search("a dog", top=3)
    index.export(tmp_path / "links", hits=hits)
    links = sorted((tmp_path / "links").glob("[0-9]*"))
    assert [link.name for link in links] == [
        f"{place} {Path(hit.path).name}" for place, hit in enumerate(hits, 1)
    ]
    assert [os.readlink(link) for link in links] == [hit.path for hit in hits]
    with pytest.raises(SearchError, match="already exists"):
        index.export(tmp_path / "links")
    index.export(tmp_path / "files.csv")
    with open(tmp_path / "files.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == sorted(map(str, sounds.rglob("*.wav")))
    assert {row["tags"] for row in rows} == {"sounds", "sounds;rain", "sounds;dogs", "sounds;more"}
    index.export(tmp_path / "hits.csv", hits=hits)
    with open(tmp_path / "hits.csv", newline="", encoding="utf-8") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [hit.path for hit in hits]
    for name, what in (("a.doc", None), ("a.parquet", hits)):
        with pytest.raises(SearchError, match="the extension must be"):
            index.export(tmp_path / name, hits=what)


def test_an_index_can_be_moved_and_copied(made, tmp_path):
    _, index = made
    expected = index.search("a dog", top=6)
    shutil.copytree(index.directory, tmp_path / "elsewhere")
    assert SoundIndex(tmp_path / "elsewhere").search("a dog", top=6) == expected
