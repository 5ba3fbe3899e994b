"""Players of a page in a real browser, question after question: each stands at the moment that its card shows."""

import os
from itertools import pairwise

import numpy as np
import pytest
import soundfile

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
pytest.importorskip("selenium")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from browser import ask, browser, complaints, keep_picture, marks, press, shown, until
from tiny_models import SAMPLING_RATE, saved_tiny_model, sound

from auricle.search.page.app import serve
from auricle.search.page.playing.player import playable
from auricle.search.page.shown_answers import CARDS
from auricle.search.sound_index import SoundIndex

pytestmark = marks
WORDS = ("a dog", "rain", "an engine", "a bird", "wind", "music", "a door", "water", "a bell", "steps")
QUESTIONS = [f"{word} {behind}" for behind in ("nearby", "far away", "in a hall") for word in WORDS]
NEAR_SECONDS = 0.3
PLAYERS = (
    "return [...document.querySelectorAll('.card .player')].map(player => {"
    "const audio = player.querySelector('audio');"
    "return [audio.readyState, audio.currentTime, audio.duration, Number(player.dataset.start)] })"
)
SOUNDING = "return [...document.querySelectorAll('.card audio')].map(audio => !audio.paused)"
PLAY = "document.querySelectorAll('.card audio')[arguments[0]].play()"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("moments")
    saved_tiny_model(root / "model")
    (root / "sounds").mkdir()
    for number in range(14):
        parts = [sound(2.0, seed=100 * number + part) * (1 + part) / 8 for part in range(6)]
        # Also a kind that no browser plays, and recordings of which a minute is played.
        name, kind = (f"{number}.aiff", "AIFF") if number % 5 == 4 else (f"{number}.wav", "WAV")
        samples = np.concatenate(parts * (30 if number == 13 else 1))
        soundfile.write(root / "sounds" / name, samples, SAMPLING_RATE, format=kind, subtype="PCM_16")
    index = SoundIndex.create(root / "index", str(root / "model"))
    assert not index.update([root / "sounds"], progress=False).faults
    width = index.store.record["width"]

    def scattered(sentences) -> np.ndarray:
        """An untrained text tower gives all sentences one direction, and the same answers: here each has its own."""
        seeds = [list(text.encode()) for text in sentences]
        vectors = np.stack([np.random.default_rng(seed).normal(size=width) for seed in seeds])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    index.embed_texts = scattered
    running = serve(index)
    yield index, running.local_url
    running.close()


def check_players(driver, hits) -> list[float]:
    """Waits until the players of answers have loaded, and compares where they stand with their cards' moments."""

    def ready() -> list | None:
        players = driver.execute_script(PLAYERS)
        return players if len(players) == len(hits) and all(state > 0 for state, *_ in players) else None

    until(ready, "loading")
    for place, hit in enumerate(hits):
        start = playable(hit).start

        def near(place=place, start=start) -> bool:
            _, now, _, told = driver.execute_script(PLAYERS)[place]
            return abs(now - start) < NEAR_SECONDS and abs(told - start) < 0.01

        until(near, f"standing at {start} s of {hit.path}: {driver.execute_script(PLAYERS)[place]}", 10)
    return [hit.start for hit in hits]


@pytest.mark.parametrize(("width", "height"), [(1280, 1000), (390, 844)])
def test_thirty_questions_in_a_row(page, tmp_path, width, height):
    index, url = page
    starts = []
    with browser(tmp_path / "profile", width, height) as driver:
        driver.get(url)
        for question in QUESTIONS:
            hits = index.search(question, top=100)[:CARDS]
            ask(driver, question)
            shown(driver, hits)
            starts.append(check_players(driver, hits))
        assert not complaints(driver)
    # The same places have other moments each time: a player that stays where it was would be noticed.
    assert sum(one != other for one, other in pairwise(starts)) > 20


def test_more_like_this_and_the_way_back(page, tmp_path):
    index, url = page
    question = next(text for text in QUESTIONS if index.search(text)[4].start > 0)
    hits = index.search(question, top=100)
    moment = hits[4]
    near = index.similar(moment.path, start=moment.start, end=moment.end, top=100)
    asked = "return document.querySelector('#asked').innerText"
    # Whether what was asked is on screen, with the first answer below it.
    seen = (
        "const box = document.querySelector('#asked').getBoundingClientRect();"
        "return box.top >= 0 && box.bottom < innerHeight"
    )
    with browser(tmp_path / "profile", 1280, 700) as driver:
        driver.get(url)
        ask(driver, question)
        shown(driver, hits[:CARDS])
        assert driver.execute_script(asked) == f"“{question}”: 1 to 10 of 14 files"
        driver.execute_script("document.querySelectorAll('.card')[4].scrollIntoView()")
        assert not driver.execute_script(seen)
        press(driver, "More like this", 4)
        shown(driver, near[:CARDS])
        check_players(driver, near[:CARDS])
        until(lambda: driver.execute_script(seen), "showing the first of the new answers")
        name = os.path.basename(moment.path)
        assert driver.execute_script(asked).startswith(f"sounds like {name}, 0:{moment.start:04.1f} to")
        press(driver, f"← Back to “{question}”")
        shown(driver, hits[:CARDS])
        check_players(driver, hits[:CARDS])
        until(lambda: driver.execute_script(seen), "showing the first of the answers before")
        assert "Back to" not in driver.find_element("tag name", "body").text


def test_one_player_at_a_time_and_a_picture_of_each_sound(page, tmp_path):
    index, url = page
    with browser(tmp_path / "profile", 1280, 1000) as driver:
        driver.get(url)
        ask(driver, QUESTIONS[0])
        hits = index.search(QUESTIONS[0], top=100)[:CARDS]
        shown(driver, hits)
        check_players(driver, hits)
        for place in (0, 3, 1):
            driver.execute_script(PLAY, place)
            only = [place == other for other in range(CARDS)]
            until(lambda only=only: driver.execute_script(SOUNDING) == only, f"playing {place} alone")
        drawn = (
            "const canvas = document.querySelector('.card canvas'); const data = canvas.getContext('2d')"
            ".getImageData(0, 0, canvas.width, canvas.height).data; return data.some(value => value > 0)"
        )
        until(lambda: driver.execute_script(drawn), "the picture of the first sound")
        moment = "const { left, width } = document.querySelector('.moment').style; return [left, width]"
        left, wide = (float(text.rstrip("%")) for text in driver.execute_script(moment))
        length = driver.execute_script("return document.querySelector('.card audio').duration")
        assert left == pytest.approx(100 * playable(hits[0]).start / length, abs=0.5)
        assert wide == pytest.approx(100 * (hits[0].end - hits[0].start) / length, abs=0.5)
        keep_picture(driver, "page_players.png")
        assert not complaints(driver)
