"""Frames added to an index that was made without them, in place, and taken away again."""

import json
import shutil

import numpy as np
import pytest
from sound_libraries import library
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.encoders.recordings import short_windows
from auricle.search.index_encoder import IndexEncoder
from auricle.search.sound_index import SearchError, SoundIndex
from auricle.search.store import index_record
from auricle.search.store.index_folder import IndexFolder
from auricle.search.store.kept_frames import KeptFrames
from auricle.search.update.frame_choice import choose_frames


@pytest.fixture
def without(model, tmp_path):
    pytest.importorskip("lancedb")
    sounds = library(tmp_path / "sounds", 4)
    SoundIndex.create(tmp_path / "index", model).update([sounds], progress=False)
    return sounds, tmp_path / "index"


def frames_of(index):
    folder = index / "frames"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else None


def command(sounds, index, *options):
    return CliRunner().invoke(app, ["index", str(sounds), "--index", str(index), "--no-progress", *options])


def answers(index, question="a dog barks"):
    return [(hit.path, hit.start, hit.cosine) for hit in SoundIndex(index).search(question, top=4)]


def test_frames_are_added_in_place_and_nothing_else_is_embedded(without, model, monkeypatch):
    sounds, index = without
    before = answers(index)
    written, embed_files = json.loads((index / "index.json").read_text()), IndexEncoder.embed_files

    def no_windows(self, paths, cluster=None):
        assert list(paths) == [], "windows are embedded again"
        yield from ()

    with monkeypatch.context() as patch:
        patch.setattr(IndexEncoder, "embed_files", no_windows)
        made = command(sounds, index, "--frames", "int8")
    assert IndexEncoder.embed_files is embed_files
    assert made.exit_code == 0, made.output
    told, report = made.output.index("frames as int8"), made.output.index("frames of 4 more files")
    assert told < report and "in 4 files" in made.output
    assert answers(index) == before
    record = json.loads((index / "index.json").read_text())
    assert record["settings"].pop("frames") == "int8" and record == written
    # They are what an index has that was made with frames.
    anew = index.with_name("anew")
    assert command(sounds, anew, "--model", model, "--frames", "int8").exit_code == 0
    assert frames_of(anew) == frames_of(index) and len(frames_of(index)) == 4
    path = sorted(sounds.rglob("*.wav"))[0]
    with monkeypatch.context() as patch:
        patch.setattr(IndexEncoder, "short_windows_of", None)
        assert SoundIndex(index).moments(path, "a dog barks", min_percentile=0)


def test_frames_are_taken_away(without):
    sounds, index = without
    before = (index / "index.json").read_bytes()
    assert command(sounds, index, "--frames", "float16").exit_code == 0
    assert command(sounds, index, "--frames", "none").exit_code == 0
    assert frames_of(index) is None and (index / "index.json").read_bytes() == before
    assert command(sounds, index, "--frames", "int8").exit_code == 0
    assert len(frames_of(index)) == 4


def test_killed_midway_it_goes_on(without, monkeypatch):
    sounds, index = without
    before, count = answers(index), 0

    def killed(*arguments, **options):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return embedded(*arguments, **options)

    embedded = short_windows.stream_short_windows
    with monkeypatch.context() as patch:
        patch.setattr(short_windows, "stream_short_windows", killed)
        choose_frames(index, "float16")
        with pytest.raises(KeyboardInterrupt):
            SoundIndex(index).update([sounds], progress=False)
    done = frames_of(index)
    assert len(done) == 2 and all(name.endswith(".arrow") for name in done)
    assert answers(index) == before
    for path in sorted(sounds.rglob("*.wav")):
        assert SoundIndex(index).moments(path, "a dog barks", min_percentile=0)
    # Without --frames: the choice is kept.
    report = SoundIndex(index).update([sounds], progress=False)
    assert (report.with_frames, report.without_frames, report.windows) == (2, 0, 0)
    assert len(frames_of(index)) == 4 and done.items() <= frames_of(index).items()
    assert SoundIndex(index).update([sounds], progress=False).with_frames == 0


def test_a_file_of_frames_that_is_gone_is_made_again(without):
    sounds, index = without
    assert command(sounds, index, "--frames", "int8").exit_code == 0
    whole = frames_of(index)
    next((index / "frames").iterdir()).unlink()
    assert SoundIndex(index).update([sounds], progress=False).with_frames == 1
    assert frames_of(index) == whole


def test_damaged_files_of_frames_are_found_and_made_again(without):
    sounds, index = without
    assert command(sounds, index, "--frames", "int8").exit_code == 0
    whole = frames_of(index)
    cut, emptied, swapped = sorted((index / "frames").iterdir())[:3]
    cut.write_bytes(cut.read_bytes()[:-100])
    emptied.write_bytes(bytes(emptied.stat().st_size))
    other = KeptFrames(IndexFolder(index), "int8", json.loads((index / "index.json").read_text())["width"])
    other.write(swapped.stem, [np.eye(other.width, dtype=np.float32)] * 9, 1.0)
    made = command(sounds, index, "--json", str(index.with_name("report.json")))
    assert made.exit_code == 0, made.output
    report = json.loads(index.with_name("report.json").read_text())
    assert (report["remade_frames"], report["with_frames"], report["without_frames"]) == (3, 0, 0)
    told = [remark["reason"] for remark in report["remarks"]]
    assert len(told) == 3 and all("its frames were damaged and are made again: " in one for one in told)
    assert sum("the file cannot be read: " in one for one in told) == 2
    assert sum("frames, and the sound has" in one for one in told) == 1
    assert frames_of(index) == whole
    cut.write_bytes(b"")
    assert "damaged frames of 1 files made again" in command(sounds, index).output
    again = SoundIndex(index).update([sounds], progress=False)
    assert again.remade_frames == 0 and again.remarks == []


def test_damaged_frames_of_a_sound_that_is_away_are_reported(without):
    sounds, index = without
    assert command(sounds, index, "--frames", "int8").exit_code == 0
    for path in (index / "frames").iterdir():
        path.write_bytes(b"")
    away, *others = sorted(sounds.rglob("*.wav"))
    away.rename(away.with_suffix(".away"))
    report = SoundIndex(index).update([others[-1]], progress=False)
    assert (report.remade_frames, report.without_frames) == (3, 1)
    assert [path for path, reason in report.faults if "its frames are damaged" in reason] == [str(away)]


def test_files_that_are_away_keep_their_entries_and_are_counted(without):
    sounds, index = without
    away = sorted(sounds.rglob("*.wav"))[0]
    other = sorted(sounds.rglob("*.wav"))[-1]
    away.rename(away.with_suffix(".away"))
    choose_frames(index, "int8")
    report = SoundIndex(index).update([other], progress=False)
    assert (report.with_frames, report.without_frames, report.removed) == (3, 1, 0)
    assert "frames of 3 more files; 1 without frames" in report.line()


def test_older_programs_refuse_by_the_name_of_the_setting(without, monkeypatch):
    _, index = without
    choose_frames(index, "int8")
    older = {name: value for name, value in index_record.SETTINGS.items() if name != "frames"}
    with monkeypatch.context() as patch:
        patch.setattr(index_record, "SETTINGS", older)
        with pytest.raises(SearchError, match="has the setting 'frames', which this program does not know"):
            SoundIndex(index)
    choose_frames(index, "none")
    monkeypatch.setattr(index_record, "SETTINGS", older)
    assert len(SoundIndex(index)) == 4


def test_what_cannot_be_chosen(without, tmp_path):
    sounds, index = without
    with pytest.raises(
        SearchError, match="frames 'int4': an index keeps them as float16 or int8; none takes"
    ):
        choose_frames(index, "int4")
    with pytest.raises(SearchError, match="not an index"):
        choose_frames(tmp_path / "nothing", "int8")
    assert command(sounds, index, "--frames", "int8").exit_code == 0
    held = frames_of(index)
    other = command(sounds, index, "--frames", "float16")
    assert other.exit_code == 2 and "keeps frames as int8, not as float16; --frames none" in other.output
    assert frames_of(index) == held
    shutil.rmtree(index / "frames")
    choose_frames(index, "none")
