"""The page in a real browser, without a screen: type, listen, more like this, upload; at two widths."""

import json
import os
import shutil

import numpy as np
import pytest
import soundfile

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
pytest.importorskip("selenium")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from browser import (
    browser,
    choose,
    complaints,
    keep_picture,
    marks,
    overflow,
    press,
    requests_elsewhere,
    shown,
    until,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from tiny_models import SAMPLING_RATE, saved_tiny_model, sound, write_sound

from auricle.search.page.app import CARDS, serve
from auricle.search.refine import MarkTable
from auricle.search.sound_index import SoundIndex

pytestmark = marks


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    saved_tiny_model(root / "model")
    for number in range(12):
        write_sound(root / "sounds" / f"{number}.wav", 1.0 + number % 4, seed=number)
    # The only one with something in it, late: its best window is not the first.
    quiet = np.concatenate([np.zeros(3 * SAMPLING_RATE, dtype=np.float32), sound(4.0, seed=77)])
    soundfile.write(root / "sounds" / "a <b>late 'one' # 100%.wav", quiet, SAMPLING_RATE, subtype="FLOAT")
    index = SoundIndex.create(root / "index", str(root / "model"))
    index.update([root / "sounds"], progress=False)
    running = serve(index)
    yield root, index, running.local_url
    running.close()


def open_filters(driver) -> None:
    driver.execute_script(
        "[...document.querySelectorAll('button')].find(b => b.innerText.includes('Filters')).click()"
    )


@pytest.mark.parametrize(("width", "height"), [(1280, 1000), (390, 844)])
def test_ask_listen_more_like_this_and_upload(page, tmp_path, width, height):
    root, index, url = page
    with browser(tmp_path / "profile", width, height) as driver:
        driver.get(url)
        find = "#ask textarea, #ask input"
        box = until(lambda: driver.find_elements(By.CSS_SELECTOR, find), "the page's opening")[0]
        box.send_keys("a dog barks", Keys.ENTER)
        hits = index.search("a dog barks", top=20)
        shown(driver, hits[:CARDS])
        assert overflow(driver) <= 0
        keep_picture(driver, f"page_{width}.png")

        # The answers behind the first ten, and back.
        press(driver, "More results")
        shown(driver, hits[CARDS:])
        press(driver, "Previous results")
        shown(driver, hits[:CARDS])

        press(driver, "Fits", 1)
        table = MarkTable(index)
        mark = until(lambda: table.of("", "a dog barks"), "a mark")[0]
        assert (mark.path, mark.start, mark.end, mark.fits) == (
            hits[1].path,
            hits[1].start,
            hits[1].end,
            True,
        )
        # The same once more takes it back.
        until(lambda: driver.find_elements(By.CSS_SELECTOR, ".card [data-mark=fits]"), "showing the mark")
        press(driver, "Fits", 1)
        until(lambda: not table.of("", "a dog barks"), "taking the mark back")

        # What is on the card is a moment: the one of the recording that is silent before it differs most from it.
        place = next(place for place, hit in enumerate(hits[:CARDS]) if "late" in hit.path)
        moment = hits[place]
        near = index.similar(moment.path, start=moment.start, end=moment.end, top=20)
        assert [hit.path for hit in near] != [hit.path for hit in index.similar(moment.path, top=20)]
        press(driver, "More like this", place)
        shown(driver, near[:CARDS])
        press(driver, "Does not fit")
        asked = f"sound: {moment.path}#t={moment.start:.2f},{moment.end:.2f}"
        mark = until(lambda: table.of("", asked), "a mark on what is like a moment")[0]
        assert (mark.path, mark.fits) == (near[0].path, False)
        press(driver, "Does not fit")
        until(lambda: not table.of("", asked), "taking it back")

        # The second tab takes a sound.
        source = root / "elsewhere.wav"
        write_sound(source, 1.5, seed=5)
        driver.execute_script("[...document.querySelectorAll('button[role=tab]')][1].click()")
        chooser = until(lambda: driver.find_elements(By.CSS_SELECTOR, "input[type=file]"), "a file chooser")[
            0
        ]
        chooser.send_keys(str(source))
        until(
            lambda: (
                "elsewhere" in driver.page_source
                or driver.find_elements(
                    By.CSS_SELECTOR, "[role=tabpanel] .waveform-container, [role=tabpanel] audio"
                )
            ),
            "an upload",
        )
        press(driver, "Find similar recordings")
        shown(driver, index.similar(source, top=20)[:CARDS])
        assert overflow(driver) <= 0
        assert not requests_elsewhere(driver) and not complaints(driver)


def test_the_player_starts_at_the_moment(page, tmp_path):
    root, index, url = page
    late = next((root / "sounds").glob("*late*"))
    sentence = next(
        text
        for text in ("a dog barks", "rain", "two tones", "music", "a bird", "wind", "an engine", "a voice")
        if index.search(text, file=late)[0].start > 0
    )
    start = index.search(sentence, file=late)[0].start
    with browser(tmp_path / "profile", 1280, 1000) as driver:
        driver.get(url)
        box = until(lambda: driver.find_elements(By.CSS_SELECTOR, "#ask textarea, #ask input"), "the page")[0]
        open_filters(driver)
        choose(driver, "Folder or path", "*late*")
        box.send_keys(sentence, Keys.ENTER)
        shown(driver, index.search(sentence, glob="*late*"))
        now = "return document.querySelector('.card audio').currentTime"
        until(lambda: abs(driver.execute_script(now) - start) < 0.3, f"standing at {start} s")
        driver.execute_script("document.querySelector('.card audio').play()")
        until(lambda: driver.execute_script(now) > start + 0.5, "playing")
        assert not complaints(driver)


def test_an_index_without_its_model_says_what_to_do_when_the_page_opens(page, tmp_path):
    _, index, _ = page
    shutil.copytree(index.directory, tmp_path / "index")
    record = tmp_path / "index" / "index.json"
    held = json.loads(record.read_text())
    record.write_text(json.dumps({**held, "model": str(tmp_path / "gone")}))
    running = serve(SoundIndex(tmp_path / "index"))
    try:
        with browser(tmp_path / "profile", 390, 844) as driver:
            driver.get(running.local_url)
            text = "return (document.querySelector('#trouble') || { innerText: '' }).innerText"
            said = until(lambda: driver.execute_script(text), "saying so")
            assert said.startswith(f"Search is not available. {tmp_path / 'gone'}: the model of this index")
            assert "--model PATH" in said and overflow(driver) <= 0
    finally:
        running.close()


def test_a_new_visit_sees_the_tags_and_licenses_that_the_index_has_by_then(page, tmp_path):
    _, index, url = page
    sounds = tmp_path / "newcomers"
    write_sound(sounds / "owls" / "owl.wav", 1.0, seed=60)
    (sounds / "metadata.csv").write_text("file_name,license\nowls/owl.wav,CC BY-SA 4.0\n")
    # As `auricle index` does in a process of its own.
    writer = SoundIndex(index.directory)
    writer.update([sounds], progress=False)
    try:
        with browser(tmp_path / "profile", 1280, 1000) as driver:
            driver.get(url)
            until(lambda: driver.find_elements(By.CSS_SELECTOR, "#ask textarea, #ask input"), "the page")
            open_filters(driver)

            # With the number of files that have it.
            choose(driver, "Tag", "owls (1)", listed=True)
            choose(driver, "License", "CC BY-SA 4.0 (1)", listed=True)
            driver.find_element(By.CSS_SELECTOR, "#ask textarea, #ask input").send_keys("a bird", Keys.ENTER)
            shown(driver, index.search("a bird", tag="owls"))
            assert not complaints(driver)
    finally:
        (sounds / "owls" / "owl.wav").unlink()
        writer.update([sounds], prune=True, progress=False)
