"""The page over HTTP, as its own client asks it: answers, files that are served and files that are not."""

import csv
import os
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import soundfile

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
gradio_client = pytest.importorskip("gradio_client")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from tiny_models import saved_tiny_model, write_sound  # noqa: E402

from auricle.search.hits import Hit  # noqa: E402
from auricle.search.index_folder import IndexFolder  # noqa: E402
from auricle.search.page import CARDS, serve  # noqa: E402
from auricle.search.page_cards import card_html  # noqa: E402
from auricle.search.page_feedback import note_feedback  # noqa: E402
from auricle.search.page_player import playable  # noqa: E402
from auricle.search.sound_index import SoundIndex  # noqa: E402


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    saved_tiny_model(root / "model")
    for number in range(4):
        write_sound(root / "sounds" / f"part{number % 2}" / f"{number}.wav", 0.5 + number, seed=number)
    write_sound(root / "private" / "secret.wav", 0.5, seed=9)
    (root / "sounds" / "metadata.csv").write_text(
        "file_name,license,place\npart1/1.wav,CC0,wood\npart0/2.wav,CC BY 4.0,wood\n"
    )
    index = SoundIndex.create(root / "index", str(root / "model"))
    index.update([root / "sounds"], progress=False)
    page = serve(index)
    yield root, index, page.local_url
    page.close()


def filters(folder="", glob="", shortest=0, longest=0, least=-1, license="", metadata="") -> tuple:
    return folder, glob, shortest, longest, least, license, metadata


def asked(url: str, sentence: str, negative: str = "", names: bool = False, **conditions) -> str:
    client = gradio_client.Client(url, verbose=False)
    return str(client.predict(sentence, negative, names, *filters(**conditions), api_name="/search"))


def test_it_listens_on_this_machine_alone(running):
    assert running[2].startswith("http://127.0.0.1:")


def test_a_sentence_is_answered_as_the_index_answers(running):
    _, index, url = running
    text = asked(url, "a dog barks")
    hits = index.search("a dog barks", top=CARDS)
    places = [text.index(hit.path) for hit in hits]
    assert len(hits) == 4 and places == sorted(places)
    assert "1 to 4 of 4 files" in text and "fits better than" in text
    text = asked(url, "rain", negative="a dog", names=True)
    places = [text.index(hit.path) for hit in index.search("rain", negative=["a dog"], names=True)]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("conditions", "numbers"),
    [
        ({"folder": "part1"}, {1, 3}),
        ({"glob": "*/part0/*"}, {0, 2}),
        ({"shortest": 1.0, "longest": 3.0}, {1, 2}),
        ({"least": 1.0}, set()),
        ({"license": "CC0"}, {1}),
        ({"metadata": "place = wood\n\n"}, {1, 2}),
        ({"metadata": "place=wood", "license": "CC0"}, {1}),
    ],
)
def test_filters_leave_what_they_say(running, conditions, numbers):
    root, _, url = running
    text = asked(url, "a dog barks", **conditions)
    assert {number for number in range(4) if f"/{number}.wav" in text} == numbers
    if not numbers:
        assert "Nothing fits." in text
    if "least" not in conditions:
        sound = gradio_client.handle_file(str(root / "private" / "secret.wav"))
        client = gradio_client.Client(url, verbose=False)
        text = str(client.predict(sound, *filters(**conditions), api_name="/similar"))
        assert {number for number in range(4) if f"/{number}.wav" in text} == numbers


def test_a_filter_that_is_none_is_refused_in_words(running):
    with pytest.raises(Exception, match="has to be NAME=VALUE"):
        asked(running[2], "a dog barks", metadata="wood")


def test_a_sound_finds_itself_elsewhere(running):
    root, _, url = running
    client = gradio_client.Client(url, verbose=False)
    source = root / "sounds" / "part0" / "0.wav"
    answer = str(client.predict(gradio_client.handle_file(str(source)), *filters(), api_name="/similar"))
    assert answer.index(str(source)) == min(
        answer.index(str(path)) for path in (root / "sounds").rglob("*.wav") if str(path) in answer
    )


def test_a_question_without_words_is_refused_in_words(running):
    with pytest.raises(Exception, match="holds no word to search for"):
        asked(running[2], "?!")


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


def test_no_name_becomes_markup():
    name = '<img src=x onerror=alert(1)>"&.wav'
    hit = Hit(f"/s/{name}", 1.0, 2.0, 0.5, 0.5, 93.4, 62.26, ("<b>",), "<i>", {"<u>": "'<s>'"})
    text = card_html(1, hit)
    assert not any(mark in text for mark in ("<img", "<b>", "<i>", "<u>", "<s>", '>"&'))
    assert "&lt;img src=x onerror=alert(1)&gt;&quot;&amp;.wav" in text
    assert "from 0:01.0 of 1:02.3" in text and "fits better than 93 %" in text


def test_of_a_long_recording_a_minute_around_the_moment_is_played(tmp_path):
    rate = 8000
    ramp = np.repeat(np.arange(400, dtype=np.int16), rate)
    soundfile.write(tmp_path / "long.wav", ramp, rate, subtype="PCM_16")
    hit = Hit(str(tmp_path / "long.wav"), 200.0, 210.0, 0.5, 0.5, None, 400.0, ())
    found = playable(hit)
    assert found.value[0] == rate and len(found.value[1]) == 60 * rate and found.start == 10.0
    assert found.value[1][0] == 190 and found.value[1][-1] == 249 and found.note == "plays 3:10.0 to 4:10.0"
    assert playable(replace(hit, start=395.0)).value[1][-1] == 399
    assert playable(replace(hit, start=3.0)).start == 3.0
    short = replace(hit, duration=300.0)
    assert playable(short).value == hit.path and playable(short).start == 200.0


def test_a_file_that_vanished_leaves_the_other_answers(running):
    root, _, url = running
    gone = root / "sounds" / "part1" / "3.wav"
    kept = gone.read_bytes()
    gone.unlink()
    try:
        text = asked(url, "a dog barks")
    finally:
        gone.write_bytes(kept)
    assert "4 of 4 files" in text and text.count("cannot be read any more") == 1
    with pytest.raises(Exception, match="Upload or record"):
        gradio_client.Client(url, verbose=False).predict(None, *filters(), api_name="/similar")


def test_its_end_removes_copies_and_no_sound(running, tmp_path):
    _, index, _ = running
    before = sorted(index.store.files())
    page = serve(index)
    asked(page.local_url, "a dog barks")
    page.close()
    assert before and all(os.path.exists(path) for path in before)
