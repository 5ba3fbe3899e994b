"""The page over HTTP, as its own client asks it: answers, files that are served and files that are not."""

import csv
import os
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
gradio_client = pytest.importorskip("gradio_client")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from tiny_models import saved_tiny_model, write_sound  # noqa: E402

from auricle.search.index_folder import IndexFolder  # noqa: E402
from auricle.search.page import CARDS, note_feedback, serve  # noqa: E402
from auricle.search.sound_index import SoundIndex  # noqa: E402


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    saved_tiny_model(root / "model")
    for number in range(4):
        write_sound(root / "sounds" / f"part{number % 2}" / f"{number}.wav", 0.5 + number, seed=number)
    write_sound(root / "private" / "secret.wav", 0.5, seed=9)
    index = SoundIndex.create(root / "index", str(root / "model"))
    index.update([root / "sounds"], progress=False)
    page = serve(index)
    yield root, index, page.local_url
    page.close()


def test_it_listens_on_this_machine_alone(running):
    assert running[2].startswith("http://127.0.0.1:")


def test_a_sentence_is_answered_as_the_index_answers(running):
    _, index, url = running
    client = gradio_client.Client(url, verbose=False)
    answer = client.predict("a dog barks", "", "", 0, 0, False, api_name="/search")
    hits = index.search("a dog barks", top=CARDS)
    text = str(answer)
    places = [text.index(hit.path) for hit in hits]
    assert len(hits) == 4 and places == sorted(places)
    assert "4 of 4 files" in text and "fits better than" in text


def test_a_sound_finds_itself_elsewhere(running):
    root, _, url = running
    client = gradio_client.Client(url, verbose=False)
    source = root / "sounds" / "part0" / "0.wav"
    answer = str(client.predict(gradio_client.handle_file(str(source)), api_name="/similar"))
    assert answer.index(str(source)) == min(
        answer.index(str(path)) for path in (root / "sounds").rglob("*.wav") if str(path) in answer
    )


def test_a_question_without_words_is_refused_in_words(running):
    client = gradio_client.Client(running[2], verbose=False)
    with pytest.raises(Exception, match="holds no word to search for"):
        client.predict("?!", "", "", 0, 0, False, api_name="/search")


def test_only_files_of_the_indexed_folders_are_served(running):
    root, index, url = running

    def status(path: Path) -> int:
        try:
            return urllib.request.urlopen(f"{url}gradio_api/file={quote(str(path))}").status
        except urllib.error.HTTPError as error:
            return error.code

    assert status(root / "sounds" / "part0" / "0.wav") == 200
    for path in (root / "private" / "secret.wav", index.directory / "index.json", Path("/etc/passwd")):
        assert status(path) in (403, 404)
    assert status(root / "sounds" / ".." / "private" / "secret.wav") in (403, 404)


def test_marks_are_kept(tmp_path):
    note_feedback(IndexFolder(tmp_path), 'a "dog", barks', "/sounds/a,b.wav", fits=True)
    note_feedback(IndexFolder(tmp_path), "rain", "/sounds/c.wav", fits=False)
    with open(tmp_path / "feedback.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["sentence"], row["path"], row["fits"]) for row in rows] == [
        ('a "dog", barks', "/sounds/a,b.wav", "1"),
        ("rain", "/sounds/c.wav", "0"),
    ]
