"""A library without sounds: what may be indexed from the page, by whom, and what is told."""

import os
import threading
import time
from pathlib import Path

import pytest
from tiny_models import saved_tiny_model, write_sound

pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from auricle.cli.first_index import holds_recordings, index_of, new_index
from auricle.search.errors import SearchError
from auricle.search.page.first_run import Library, NewIndex, Progress, checked_folder, welcome
from auricle.search.sound_index import SoundIndex


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("first")
    saved_tiny_model(root / "model")
    for number in range(3):
        write_sound(root / "sounds" / f"{number}.wav", 1.0, seed=number)
    (root / "sounds" / "broken.wav").write_text("no sound")
    return root


def new(root: Path, place: Path) -> NewIndex:
    return NewIndex(str(place), lambda model: SoundIndex.create(place, model), model=str(root / "model"))


def finished(library: Library) -> Progress:
    end = time.monotonic() + 60
    while library.progress.running:
        assert time.monotonic() < end
        time.sleep(0.02)
    return library.progress


def test_a_folder_is_indexed_and_the_progress_told(made, tmp_path):
    library = Library(None, new(made, tmp_path / "index"))
    assert library.takes_folder and library.found is None and str(tmp_path / "index") in welcome(library)
    with pytest.raises(SearchError, match="There is no index yet"):
        _ = library.index
    shares, tell = [], library._tell
    library._tell = lambda bar: (tell(bar), shares.append(library.progress.share))
    library.start(str(made / "sounds"), str(made / "model"))
    with pytest.raises(SearchError, match="being indexed already"):
        library.start(str(made / "sounds"), str(made / "model"))
    told = finished(library)
    assert told.told == "3 files are indexed. 1 not read: broken.wav: is no sound file that can be read." or (
        told.told.startswith("3 files are indexed. 1 not read: broken.wav: ")
    )
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) >= 4
    assert len(library.index.search("a dog barks")) == 3
    # From now on the page makes no other folder heard.
    assert not library.takes_folder
    with pytest.raises(SearchError, match="add recordings with auricle index FOLDER"):
        library.start(str(made))


def test_what_was_stopped_or_failed_can_be_begun_again(made, tmp_path):
    library = Library(None, new(made, tmp_path / "index"))
    library.start(str(made / "sounds"), str(tmp_path / "no model"))
    told = finished(library)
    assert str(tmp_path / "no model") in told.error and "\n" not in told.error
    assert '<p class="error">' in told.html() and library.takes_folder

    first = threading.Event()
    tell = library._tell
    library._tell = lambda bar: (tell(bar), library.stop(), first.set())
    library.start(str(made / "sounds"), str(made / "model"))
    assert first.wait(60)
    assert finished(library).error == "Stopped. The recordings indexed so far can be searched."
    assert library.takes_folder and len(library.index) < 3
    library._tell = tell
    library.start(str(made / "sounds"))
    finished(library)
    assert len(library.index) == 3 and not library.takes_folder


def test_an_empty_index_says_how_to_add_and_others_may_not(made, tmp_path):
    index = SoundIndex.create(tmp_path / "index", str(made / "model"))
    library = Library(index)
    assert library.takes_folder
    assert f"auricle index FOLDER --index {tmp_path / 'index'}" in welcome(library)
    elsewhere = Library(index, local=False)
    assert not elsewhere.takes_folder
    with pytest.raises(SearchError):
        elsewhere.start(str(made / "sounds"))
    library.start(str(made / "sounds"))
    finished(library)
    assert len(index) == 3


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "Enter a folder"),
        ("  ", "Enter a folder"),
        ("sounds", "enter the full path"),
        ("../sounds", "enter the full path"),
        ("/nowhere/at/all", "there is no such folder"),
        ("/a\0b", "not a valid path"),
        ("/a\udc80b", "not a valid path"),
        (os.path.abspath(os.sep), "is a whole disk"),
        (__file__, "is a file; enter the folder"),
    ],
)
def test_what_is_no_folder_is_refused_in_one_line(typed, message):
    with pytest.raises(SearchError, match=message) as caught:
        checked_folder(typed)
    assert "\n" not in str(caught.value)


def test_folders_are_taken_as_people_write_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "sounds").mkdir()
    assert (
        checked_folder(" ~/sounds/ ")
        == checked_folder(f"{tmp_path}/sounds/../sounds")
        == str(tmp_path / "sounds")
    )


def test_nothing_that_is_told_becomes_markup():
    text = Progress(running=True, share=0.5, told="<b>", error="<i>").html()
    assert "&lt;b&gt;" in text and "&lt;i&gt;" in text and 'aria-valuenow="50"' in text and "<b>" not in text
    assert Progress().html() == ""


def test_the_command_knows_an_index_from_a_folder_of_recordings(made, tmp_path):
    sounds, index = made / "sounds", tmp_path / "index"
    assert holds_recordings(str(sounds)) and index_of(str(sounds)) == f"{sounds}.auricle"
    found = new_index(str(sounds), None)
    assert (found.directory, found.folder, found.model) == (
        f"{sounds}.auricle",
        str(sounds),
        "laion/clap-htsat-unfused",
    )
    found = new_index(str(tmp_path / "nothing"), "mine")
    assert (found.directory, found.folder, found.model) == (str(tmp_path / "nothing"), "", "mine")
    SoundIndex.create(index, str(made / "model"))
    assert new_index(str(index), None) is None and index_of(str(index)) == str(index)
    # A damaged index is no folder of recordings.
    (index / "index.json").unlink()
    assert new_index(str(index), None) is None and not holds_recordings(str(index))
    assert (
        new_index("s3://bucket/index", None) is None and index_of("s3://bucket/index") == "s3://bucket/index"
    )
    (tmp_path / "file").write_text("x")
    assert new_index(str(tmp_path / "file"), None) is None
