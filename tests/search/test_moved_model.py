"""An index whose model lies elsewhere now: named with `model`, accepted by its fingerprint, remembered."""

import json
import os
import shutil

import pytest
from sound_libraries import library
from tiny_models import saved_tiny_model
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.search.errors import SearchError
from auricle.search.sound_index import SoundIndex

pytest.importorskip("lancedb")


@pytest.fixture
def moved(model, tmp_path):
    """The sounds, an index, where its model was, and where it is now."""
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(model, old)
    sounds = library(tmp_path / "sounds", 3)
    index = SoundIndex.create(tmp_path / "index", str(old))
    index.update([sounds], progress=False)
    expected = index.search("rain")
    old.rename(new)
    return sounds, tmp_path / "index", new, expected


def recorded(index):
    return json.loads((index / "index.json").read_text())["model"]


def test_without_its_model_an_index_says_how_to_name_it(moved):
    _, index, _, _ = moved
    with pytest.raises(SearchError, match=r"old: .*give its new path with --model"):
        SoundIndex(index).search("rain")


def test_the_page_says_what_to_do(moved, tmp_path):
    pytest.importorskip("gradio_client")
    pytest.importorskip("gradio")
    from pages import asked

    from auricle.search.page.app import serve

    _, place, new, _ = moved
    opened = SoundIndex(place)
    assert opened.missing_model.startswith(f"{tmp_path / 'old'}: the model of this index is no longer there")
    page = serve(opened)
    try:
        with pytest.raises(Exception, match=f"auricle serve {place} --model PATH; the index remembers it"):
            asked(page.local_url, "rain")
    finally:
        page.close()
    assert SoundIndex(place, model=str(new)).missing_model == ""


def test_the_new_place_answers_alike_and_is_remembered(moved):
    sounds, index, new, expected = moved
    assert SoundIndex(index, model=str(new)).search("rain") == expected
    assert recorded(index) == str(new)
    assert SoundIndex(index).search("rain") == expected
    report = SoundIndex(index).update([sounds], progress=False)
    assert report.unchanged == 3 and report.windows == 0


def test_another_model_is_refused_and_nothing_is_remembered(moved, tmp_path):
    _, index, _, _ = moved
    saved_tiny_model(tmp_path / "other", seed=9)
    before = (index / "index.json").read_bytes()
    with pytest.raises(SearchError, match="other: the weights or settings differ"):
        SoundIndex(index, model=str(tmp_path / "other")).search("rain")
    with pytest.raises(SearchError, match="nowhere") as told:
        SoundIndex(index, model=str(tmp_path / "nowhere")).search("rain")
    assert "new path" not in str(told.value)
    assert (index / "index.json").read_bytes() == before


def test_an_index_that_cannot_be_written_still_answers(moved):
    _, index, new, expected = moved
    os.chmod(index / "index.json", 0o444)
    os.chmod(index, 0o555)
    try:
        assert SoundIndex(index, model=str(new)).search("rain") == expected
    finally:
        os.chmod(index, 0o755)


@pytest.mark.parametrize("command", ["search", "similar", "moments", "index"])
def test_the_commands_take_the_new_place(moved, command):
    sounds, index, new, _ = moved
    file = str(sounds / "e.wav") if (sounds / "e.wav").exists() else str(next(sounds.rglob("*.wav")))
    given = {
        "search": ["rain"],
        "similar": [file, "--start", "0.1"],
        "moments": [file, "rain", "--min-percentile", "0"],
        "index": [str(sounds)],
    }
    answer = CliRunner().invoke(app, [command, *given[command], "--index", str(index), "--model", str(new)])
    assert answer.exit_code == 0, answer.output
    assert recorded(index) == str(new)
