"""Sounds that visitors add: what is taken, under which names, and what is left of the rest."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
gradio_client = pytest.importorskip("gradio_client")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from pages import asked, fetched  # noqa: E402
from tiny_models import write_sound  # noqa: E402

from auricle.search.errors import SearchError  # noqa: E402
from auricle.search.page.app import serve  # noqa: E402
from auricle.search.page.uploads import take_uploads, upload_name  # noqa: E402
from auricle.search.sound_index import SoundIndex  # noqa: E402


@pytest.fixture
def library(model, tmp_path):
    """An index, the folder of its added sounds with one in it, and files that a visitor chooses."""
    sounds = tmp_path / "added"
    write_sound(sounds / "there.wav", 1.0, seed=1)
    (sounds / "metadata.csv").write_text("file_name,license\nthere.wav,CC0\n")
    index = SoundIndex.create(tmp_path / "index", model)
    index.update([sounds], progress=False)
    chosen = tmp_path / "chosen"
    write_sound(chosen / "bark.WAV", 0.5, seed=2)
    (chosen / "text.wav").write_text("no sound")
    (chosen / "empty.flac").write_bytes(b"")
    (chosen / "evil.html").write_text("<script>alert(1)</script>")
    (chosen / "metadata.csv").write_text("file_name,license\nthere.wav,mine alone\n")
    (chosen / "metadata.jsonl").write_text('{"file_name": "there.wav", "license": "mine alone"}\n')
    (chosen / "no ending").write_text("nothing")
    return index, sounds, sorted(map(str, chosen.iterdir()))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_nothing_but_sounds_is_taken(library):
    index, sounds, chosen = library
    said = take_uploads(index, sounds, chosen)
    assert said.startswith("1 added")
    for name in ("evil.html", "metadata.csv", "metadata.jsonl", "no ending"):
        assert f"not added: `{name}`: not a sound file (." in said
    for name in ("text.wav", "empty.flac"):
        assert f"not added: `{name}`: " in said and f"`{name}`: not a sound file" not in said
    assert names(sounds) == {"there.wav", "metadata.csv", "bark.WAV"} and len(index) == 2
    assert index.licenses == ["CC0"]
    with pytest.raises(SearchError, match=r"evil.html: not a sound file \(\."):
        take_uploads(index, sounds, [path for path in chosen if path.endswith(".html")])


def test_an_update_that_fails_leaves_no_file_behind(library):
    index, sounds, chosen = library
    with (
        FileLock(index.directory / "index.lock"),
        pytest.raises(SearchError, match="another process is writing"),
    ):
        take_uploads(index, sounds, chosen)
    assert names(sounds) == {"there.wav", "metadata.csv"} and len(index) == 1
    # A copy that breaks off leaves none either.
    gone = str(Path(chosen[0]).with_name("bark.wav"))
    with pytest.raises(OSError):
        take_uploads(index, sounds, [path for path in chosen if path.endswith("bark.WAV")] + [gone])
    assert names(sounds) == {"there.wav", "metadata.csv"}
    assert take_uploads(index, sounds, chosen).startswith("1 added")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("rain on the roof.wav", "rain on the roof.wav"),
        ("/tmp/somewhere/été 🐕.flac", "été 🐕.flac"),
        (".hidden.wav", "hidden.wav"),
        (". . .wav", "sound.wav"),
        ("a\nb\t\x00\x7fc.wav", "abc.wav"),
        ("bark\u202evaw.exe.wav", "barkvaw.exe.wav"),
        ("..\\..\\windows\\bark.wav", "bark.wav"),
        ("a/../../b.ogg", "b.ogg"),
        ("\udc80.wav", "sound.wav"),
        ("", "sound"),
        ("bark", "bark"),
        ("CON.wav", "_CON.wav"),
        ("a:b?.wav", "a_b_.wav"),
        ("a." + "w" * 300, "a." + "w" * 99),
        ("é" * 300 + ".wav", "é" * 98 + ".wav"),
    ],
)
def test_names_are_made_harmless(given, kept):
    assert upload_name(given) == kept
    assert len(upload_name(given).encode()) <= 200


def test_names_of_visitors_hide_and_replace_nothing(library):
    index, sounds, _ = library
    before = (sounds / "there.wav").read_bytes()
    for name, kept in ((".there.wav", "there (2).wav"), ("there.wav", "there (3).wav")):
        chosen = write_sound(sounds.parent / name, 0.5, seed=len(kept) + len(name))
        assert take_uploads(index, sounds, [str(chosen)]).startswith("1 added")
        assert (sounds / kept).read_bytes() == chosen.read_bytes()
    assert (sounds / "there.wav").read_bytes() == before and len(index) == 3


def test_a_visitor_adds_sounds_to_the_page(library, tmp_path, monkeypatch):
    index, sounds, chosen = library
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    page = serve(index, uploads=sounds)
    try:
        client = gradio_client.Client(page.local_url, verbose=False)
        files = [gradio_client.handle_file(path) for path in chosen]
        said = client.predict(files, api_name="/add")[0]
        assert said.startswith("1 added") and "not added: `evil.html`: not a sound file" in said
        assert "bark.WAV" in asked(page.local_url, "a dog barks")
        # What Gradio keeps of the refused for a day is no page to a browser.
        evil = next((tmp_path / "cache").rglob("evil.html"))
        status, headers, _ = fetched(f"{page.local_url}gradio_api/file={evil}")
        assert status in (403, 404) or headers["content-disposition"].startswith("attachment")
    finally:
        page.close()
