"""The page over HTTP, as its own client asks it: answers, filters, and an index that changes meanwhile."""

import os
import threading

import pytest

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
gradio_client = pytest.importorskip("gradio_client")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from pages import asked, filters  # noqa: E402
from tiny_models import saved_tiny_model, write_sound  # noqa: E402

from auricle.search.page.app import CARDS, serve  # noqa: E402
from auricle.search.page.cards import card_html  # noqa: E402
from auricle.search.query.hits import Hit  # noqa: E402
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
        assert "No results." in text
    if "least" not in conditions:
        sound = gradio_client.handle_file(str(root / "private" / "secret.wav"))
        client = gradio_client.Client(url, verbose=False)
        text = str(client.predict(sound, *filters(**conditions), api_name="/similar"))
        assert {number for number in range(4) if f"/{number}.wav" in text} == numbers


def test_a_filter_that_is_none_is_refused_in_words(running):
    with pytest.raises(Exception, match="must be NAME=VALUE"):
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
    with pytest.raises(Exception, match="contains no words to search for"):
        asked(running[2], "?!")


def test_no_name_becomes_markup():
    name = '<img src=x onerror=alert(1)>"&.wav'
    hit = Hit(f"/s/{name}", 1.0, 2.0, 0.5, 0.5, 93.4, 62.26, ("<b>",), "<i>", {"<u>": "'<s>'"})
    text = card_html(1, hit)
    assert not any(mark in text for mark in ("<img", "<b>", "<i>", "<u>", "<s>", '>"&'))
    assert "&lt;img src=x onerror=alert(1)&gt;&quot;&amp;.wav" in text
    assert "from 0:01.0 of 1:02.3" in text and "fits better than 93 %" in text


def test_a_long_field_is_cut_on_the_card():
    log = "take one\n" + "x" * 5000
    text = card_html(1, Hit("/s/a.wav", 1.0, 2.0, 0.5, 0.5, None, 62.26, (), None, {"note": log}))
    assert f"<span>note: take one {'x' * 104}…</span>" in text and "x" * 105 not in text


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


def test_an_index_that_is_gone_is_told_in_words(running, tmp_path, capfd):
    root, _, _ = running
    place = tmp_path / "index"
    index = SoundIndex.create(place, str(root / "model"))
    index.update([root / "sounds"], progress=False)
    page = serve(index)
    try:
        assert "4 of 4 files" in asked(page.local_url, "a dog barks")
        place.rename(tmp_path / "elsewhere")
        with pytest.raises(Exception, match="index: its table cannot be read"):
            asked(page.local_url, "a dog barks")
        # Nor does the terminal show more than that.
        assert "Traceback" not in capfd.readouterr().err
        (tmp_path / "elsewhere").rename(place)
        assert "4 of 4 files" in asked(page.local_url, "a dog barks")
    finally:
        page.close()


def test_questions_beside_a_writer_are_answered(running, tmp_path):
    _, index, url = running
    sounds, done, failed = tmp_path / "more", threading.Event(), []
    write_sound(sounds / "first.wav", 0.5, seed=40)

    def write() -> None:
        try:
            # As `auricle index --watch` does in a process of its own.
            writer = SoundIndex(index.directory)
            for turn in range(6):
                write_sound(sounds / f"{turn}.wav", 0.5, seed=50 + turn)
                (sounds / f"{turn - 2}.wav").unlink(missing_ok=True)
                writer.update([sounds], progress=False)
            for path in sounds.iterdir():
                path.unlink()
            writer.update([sounds], prune=True, progress=False)
        except Exception as error:
            failed.append(error)
        finally:
            done.set()

    writing, questions = threading.Thread(target=write), 0
    writing.start()
    while not done.is_set() or questions < 3:
        text = asked(url, "a dog barks", glob="*/sounds/*", names=True)
        assert all(f"/{number}.wav" in text for number in range(4))
        questions += 1
    writing.join()
    assert not failed
    index.update([sounds], prune=True, progress=False)
    assert "1 to 4 of 4 files" in asked(url, "a dog barks")
