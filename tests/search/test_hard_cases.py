"""What disks, file names, metadata files and askers can hold that is not as it should be."""

import csv
import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_libraries import contents, interrupted, library, same
from tiny_models import SAMPLING_RATE, sound, write_sound
from tiny_recipes import environment

from auricle.search.errors import SearchError
from auricle.search.exports import export_hits
from auricle.search.query.hits import Hit
from auricle.search.sound_index import SoundIndex
from auricle.search.store.index_store import Store
from auricle.search.update.walking import find_files

pytest.importorskip("lancedb")
WAV = frozenset({".wav"})


def run(*arguments, code=0, **variables):
    command = [
        os.fsencode(sys.executable),
        b"-m",
        b"auricle",
        *map(os.fsencode, map(str_or_bytes, arguments)),
    ]
    done = subprocess.run(command, capture_output=True, env=environment(**variables), timeout=120)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert b"Traceback" not in done.stderr
    return done


def str_or_bytes(argument):
    return argument if isinstance(argument, bytes) else str(argument)


# ------------------------------------------------------------------------------------- sounds


def test_samples_too_large_for_the_model_are_the_file_s_fault(made):
    sounds, index = made
    loud = (1e30 * sound(1.0, seed=1)).astype(np.float32)
    soundfile.write(sounds / "huge.wav", loud, SAMPLING_RATE, subtype="FLOAT")
    write_sound(sounds / "zoo.wav", 1.0, seed=2)
    report = index.update([sounds], progress=False)
    assert report.added == 1 and len(report.faults) == 1 and "too large" in report.faults[0][1]
    assert report.faults[0][0] == str(sounds / "huge.wav")
    assert all(np.isfinite(held.vectors).all() for _, held in contents(index).values())


# ------------------------------------------------------------------------------ damaged indexes


def test_a_damaged_table_is_made_anew_from_the_snapshot(made):
    sounds, index = made
    before = contents(index)
    for path in (index.directory / "sounds.lance" / "data").iterdir():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert len(SoundIndex(index.directory).search("a dog", top=20)) == 6
    write_sound(sounds / "new.wav", 1.0, seed=3)
    again = SoundIndex(index.directory)
    assert again.update([sounds], progress=False).added == 1
    after = contents(SoundIndex(index.directory))
    assert same(before, {path: after[path] for path in before}) and len(after) == 7


def test_a_snapshot_with_changed_bytes_is_left_aside(made):
    _, index = made
    snapshot = index.directory / "snapshot.arrow"
    expected, whole = index.search("a dog", top=6), bytearray(snapshot.read_bytes())
    # The texts of a column are no UTF-8 any more.
    place = whole.index(b"it's.wav")
    snapshot.write_bytes(whole[:place] + b"\xff\xfe\xff\xfe" + whole[place + 4 :])
    assert SoundIndex(index.directory).search("a dog", top=6) == expected


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04nothing", np.full((48, 12), np.nan, np.float32), np.full((48, 12), "x")]
)
def test_damaged_background_vectors_are_made_anew(made, content):
    _, index = made
    expected = index.search("a dog")
    (path,) = index.directory.glob("background-*.npy")
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    assert SoundIndex(index.directory).search("a dog") == expected


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ('{"format": "auricle index", "version": 2}', "is damaged (model is None)"),
        ('{"format": "auricle index", "version": 1}', "has another format or version"),
        ("[1]", "has another format or version"),
        ('{"format": ', "is damaged"),
    ],
)
def test_a_record_that_is_none_is_told(made, record, message):
    _, index = made
    (index.directory / "index.json").write_text(record)
    with pytest.raises(SearchError) as told:
        SoundIndex(index.directory)
    assert message in str(told.value) and str(told.value).endswith("make a new index.")


def test_a_damaged_waiting_file_leaves_with_the_next_update(made):
    sounds, index = made
    write_sound(sounds / "new.wav", 1.0, seed=400)
    interrupted(index, sounds, after=0)
    folder = index.directory / "pending"
    folder.mkdir(exist_ok=True)
    (folder / f"{'0' * 32}.arrow").write_bytes(b"ARROW1\0\0half")
    SoundIndex(index.directory).update([sounds], progress=False)
    assert not list(folder.glob("*.arrow")) and Store(index.directory).finished


# ------------------------------------------------------------------------------------ metadata


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"file_name": "e.wav", "title": "\\ud83d"}', "line 2: contains half of a character"),
        ('{"file_name": "e.wav", "x": ' + "[" * 100_000, "too deep"),
        ('{"file_name": "e.wav", ', "line 2: not valid JSON"),
    ],
)
def test_a_metadata_file_that_cannot_be_read_takes_nothing_away(made, line, reason):
    sounds, index = made
    good = json.dumps({"file_name": "rain/a b.wav", "license": "CC0", "tags": "wet"})
    (sounds / "metadata.jsonl").write_text(f"{good}\n")
    assert index.update([sounds], progress=False).described == 1
    (sounds / "metadata.jsonl").write_text(f"{json.dumps({'file_name': 'nobody.wav'})}\n{line}\n{good}\n")
    write_sound(sounds / "new.wav", 1.0, seed=5)
    report = index.update([sounds], progress=False)
    assert (report.added, report.described) == (1, 0)
    assert {path for path, _ in report.faults} == {str(sounds / "metadata.jsonl")}
    first, second = (told for _, told in report.faults)
    assert (
        "line 1: there is no file 'nobody.wav'" in first
        and second.startswith("line 2: ")
        and reason in second
    )
    (hit,) = index.search("a dog", license="CC0")
    assert hit.path == str(sounds / "rain" / "a b.wav") and "wet" in hit.tags


def test_a_part_of_a_library_keeps_what_the_whole_says_of_it(made):
    sounds, index = made
    (sounds / "metadata.csv").write_text(
        "file_name,license,tags\nrain/a b.wav,CC0,wet\nrain/new.wav,CC0,wet\n"
    )
    index.update([sounds], progress=False)
    write_sound(sounds / "rain" / "new.wav", 1.0, seed=6)
    report = index.update([sounds / "rain"], progress=False)
    assert (report.added, report.described, report.unchanged) == (1, 0, 2)
    hits = index.search("a dog", license="CC0")
    assert {Path(hit.path).name for hit in hits} == {"a b.wav", "new.wav"}
    assert {hit.tags for hit in hits} == {("sounds", "rain", "wet")}


def test_metadata_are_found_by_their_own_names_alone(made):
    sounds, index = made
    (sounds / "metadata.jsonl").write_text(json.dumps({"file_name": "e.wav", 'a"x': "v", "y": 'b", "x": "v'}))
    index.update([sounds], progress=False)
    assert index.search("dog", metadata={"x": "v"}) == []
    assert len(index.search("dog", metadata={'a"x': "v", "y": 'b", "x": "v'})) == 1


# ------------------------------------------------------------------------------------- folders


def test_a_renamed_library_is_followed(made, tmp_path):
    sounds, index = made
    before = contents(index)
    renamed = sounds.rename(tmp_path / "renamed")
    report = index.update([renamed], progress=False)
    assert (report.moved, report.added, report.removed, report.windows) == (6, 0, 0, 0) and len(index) == 6
    after = {path.replace(str(renamed), str(sounds)): held for path, held in contents(index).items()}
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[path][1].vectors, before[path][1].vectors) for path in before)


def test_what_a_gone_folder_held_is_taken_out_when_that_is_asked_for(made, tmp_path):
    _, index = made
    other = library(tmp_path / "other", 2)
    index.update(other, progress=False)
    other.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        index.update(other, progress=False)
    assert len(index) == 8
    assert index.update(other, prune=True, progress=False).removed == 2 and len(index) == 6


def test_a_link_does_not_take_the_folder_s_own_place(tmp_path):
    write_sound(tmp_path / "root" / "z" / "real" / "x.wav", 0.5, seed=1)
    write_sound(tmp_path / "elsewhere" / "y.wav", 0.5, seed=2)
    (tmp_path / "root" / "a").symlink_to(tmp_path / "root" / "z" / "real")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "z" / "up").symlink_to(tmp_path)
    # What is hidden is found by its link alone.
    write_sound(tmp_path / "root" / ".store" / "kept" / "w.wav", 0.5, seed=3)
    (tmp_path / "root" / "c").symlink_to(tmp_path / "root" / ".store" / "kept")
    files, faults = find_files([tmp_path / "root"], WAV)
    found = sorted(str(Path(file.path).relative_to(tmp_path / "root")) for file in files)
    assert found == ["b/y.wav", "c/w.wav", "z/real/x.wav"]
    assert not faults


def test_one_folder_may_be_given_by_itself(made):
    sounds, index = made
    assert index.update(str(sounds), progress=False).unchanged == 6


# ----------------------------------------------------------------------------------- questions


def test_questions_that_are_none_are_refused_in_words(made, tmp_path):
    sounds, index = made
    for ask, message in (
        (lambda: index.search("dog", top=0), "top=0: must be 1 or more"),
        (lambda: index.search("dog", min_score=float("nan")), "min_score=nan"),
        (lambda: index.search("dog", min_duration=float("nan")), "min_duration=nan"),
        (lambda: index.search("dog", metadata="a=b"), "must be a mapping"),
        (lambda: index.search("dog", metadata={"year": 2021}), "2021: must be a text"),
        (lambda: index.search("dog", tag="\ud83d"), "not valid text"),
        (lambda: index.search("d\udcffog"), "not valid text"),
        (lambda: index.search("dog", file=tmp_path / "nowhere.wav"), "is not in the index"),
        (lambda: index.similar(sounds / "e.wav", start=float("nan")), "the part must begin"),
        (lambda: SoundIndex(index.directory, text_tower=tmp_path), "not written by"),
    ):
        with pytest.raises(SearchError, match=message):
            ask()
    assert index.search("dog", negative="rain", max_duration=float("inf"))
    assert index.similar(sounds / "e.wav", end=float("inf")) == index.similar(sounds / "e.wav")


def test_a_large_index_takes_any_number_of_answers_and_any_length(model, tmp_path):
    index = SoundIndex.create(tmp_path / "index", model, exact_windows=0)
    index.update(library(tmp_path / "sounds", 5), progress=False)
    assert index.store.approximate
    assert len(index.search("dog", top=10**9, max_duration=float("inf"), min_duration=-float("inf"))) == 5
    assert index.search("dog", min_duration=float("inf")) == []


# ------------------------------------------------------------------------------ what is printed


@pytest.mark.slow
def test_names_are_printed_on_one_line_and_command_no_terminal(made):
    sounds, index = made
    write_sound(sounds / "zzz" / "two\nlines \x1b[31mred.wav", 1.0, seed=8)
    (sounds / "zzz" / "bad\n  1. 9.999.wav").write_text("no sound")
    run("index", sounds, "--index", index.directory, "--no-progress")
    done = run("search", "dog", "--index", index.directory, "--tag", "zzz")
    assert done.stdout.count(b"\n") == 1 and b"\x1b" not in done.stdout and b"two\\nlines" in done.stdout
    done = run("index", sounds, "--index", index.directory, "--no-progress")
    assert done.stderr.count(b"\n") == 1 and b"bad\\n" in done.stderr


@pytest.mark.slow
def test_any_encoding_and_a_reader_that_has_seen_enough(made):
    _, index = made
    where = ("--index", index.directory)
    done = run("search", "dog", *where, PYTHONIOENCODING="latin-1")
    assert b"bark \xe9?.wav" in done.stdout
    hits = json.loads(run("search", "dog", *where, "--json", PYTHONIOENCODING="ascii").stdout)
    assert any(hit["path"].endswith("bark é🐕.wav") for hit in hits)
    assert b"not valid text" in run("search", b"ra\xffin", *where, code=2).stderr
    command = f"{sys.executable} -m auricle search dog --index '{index.directory}' --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment())
    assert done.stdout == "[" and not done.stderr


@pytest.mark.parametrize("name", ["out.csv", "out.json", "out.m3u", "out.cue"])
def test_an_export_into_no_folder_names_the_folder(tmp_path, name):
    with pytest.raises(SearchError, match=f"{name}: the folder .*gone does not exist"):
        export_hits(tmp_path / "gone" / name, [])


def test_names_that_other_programs_stumble_over_are_exported(made, tmp_path):
    sounds, index = made
    long = "ü" * 120 + ".wav"
    hits = [
        Hit(
            str(sounds / name),
            0.0,
            1.0,
            0.5,
            0.5,
            None,
            1.0,
            ("=tag",),
            "-1",
            {"@note": "=1+1", "level": "-3"},
        )
        for name in ("two\nlines.wav", long, os.fsdecode(b"latin-\xe9.wav"))
    ]
    export_hits(tmp_path / "hits.m3u", hits)
    lines = (tmp_path / "hits.m3u").read_bytes().split(b"\n")
    entries = [line for line in lines if line and not line.startswith(b"#")]
    assert len(entries) == 3 and len(lines) == 1 + 4 * 3 + 1
    assert entries[0].startswith(b"file:///") and entries[2].endswith(b"latin-%E9.wav")
    export_hits(tmp_path / "hits.csv", hits)
    with open(tmp_path / "hits.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [hit.path for hit in hits]
    assert (rows[0]["tags"], rows[0]["'@note"], rows[0]["level"]) == ("'=tag", "'=1+1", "-3")
    assert rows[0]["cosine"] == "0.5"
    export_hits(tmp_path / "hits.json", hits)
    assert [row["path"] for row in json.loads((tmp_path / "hits.json").read_text())] == [
        hit.path for hit in hits
    ]
    export_hits(tmp_path / "links", hits)
    assert sorted(os.readlink(link) for link in (tmp_path / "links").glob("[0-9]*")) == sorted(
        hit.path for hit in hits
    )
    # The links are no sounds of their own.
    (tmp_path / "links").rename(sounds / "links")
    assert index.update([sounds], progress=False).unchanged == 6
    index.export(tmp_path / "ALL.NPZ")
    assert len(np.load(tmp_path / "ALL.NPZ")["path"]) == 6


def test_a_wrong_folder_makes_no_index(model, tmp_path):
    done = run("index", tmp_path / "nope", "--model", model, "--index", tmp_path / "index", code=2)
    assert b"no such file or folder" in done.stderr and not (tmp_path / "index").exists()


def test_a_root_that_is_no_text_is_named(model, tmp_path):
    folder = os.fsencode(tmp_path) + b"/latin-\xe9"
    os.mkdir(folder)
    with wave.open(os.fsdecode(folder + b"/a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(8000))
    done = run("index", folder, "--model", model, "--index", tmp_path / "index", code=2)
    assert b"no sound file" in done.stderr and b"not valid UTF-8" in done.stderr
