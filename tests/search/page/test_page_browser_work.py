"""What people do with answers on the page, in a real browser: keys, history, copies, files, marks; at two widths."""

import json
import os
import shutil
import stat

import numpy as np
import pytest
import soundfile

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
pytest.importorskip("selenium")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from browser import ask, browser, choose, complaints, keys, marks, overflow, press, shown, until
from scattered_texts import scatter_texts
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from tiny_models import SAMPLING_RATE, saved_tiny_model, sound

from auricle.search.page.app import serve
from auricle.search.page.assets import KEYS
from auricle.search.page.shown_answers import CARDS
from auricle.search.query.copies import find_groups
from auricle.search.refine import MarkTable, SavedSearches, refine
from auricle.search.sound_index import SoundIndex

pytestmark = marks
WIDTHS = pytest.mark.parametrize(("width", "height"), [(1280, 1000), (390, 844)])
SELECTED = (
    "return [...document.querySelectorAll('.card')].filter(card => card.offsetParent !== null)"
    ".findIndex(card => card.classList.contains('selected') && card === document.activeElement)"
)
ASKED = "return document.querySelector('#asked').innerText.trim()"
SOUNDING = "return [...document.querySelectorAll('.card audio')].map(audio => !audio.paused)"
BOX = "#ask textarea, #ask input"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("work")
    saved_tiny_model(root / "model")
    for number in range(14):
        folder = root / "sounds" / ("rain" if number % 2 else "wind")
        folder.mkdir(parents=True, exist_ok=True)
        parts = [sound(1.0, seed=50 * number + part) * (1 + part) / 6 for part in range(4)]
        soundfile.write(folder / f"{number}.wav", np.concatenate(parts), SAMPLING_RATE, subtype="PCM_24")
    (root / "sounds" / "copies").mkdir()
    for number in range(2):
        shutil.copy(root / "sounds" / "rain" / "1.wav", root / "sounds" / "copies" / f"copy {number}.wav")
    index = SoundIndex.create(root / "index", str(root / "model"))
    assert not index.update([root / "sounds"], progress=False).faults
    scatter_texts(index)
    running = serve(index)
    yield root, index, running.local_url
    running.close()


def groups_of(index, question, **conditions):
    return find_groups(lambda count: index.search(question, top=count, **conditions), 100)


def asked(driver, told: str) -> None:
    until(lambda: driver.execute_script(ASKED).startswith(told), f"asking {told}")


@WIDTHS
def test_keys_lead_through_answers_play_mark_and_ask(page, tmp_path, width, height):
    _, index, url = page
    question = f"a bell {width}"
    groups = groups_of(index, question)
    with browser(tmp_path / "profile", width, height) as driver:
        driver.get(url)
        ask(driver, question)
        shown(driver, [group.hit for group in groups[:CARDS]])
        # What is typed stays text.
        driver.find_element(By.CSS_SELECTOR, BOX).send_keys(" mx/?0")
        assert driver.find_element(By.CSS_SELECTOR, BOX).get_attribute("value") == f"{question} mx/?0"
        assert not len(MarkTable(index).of("", question))

        keys(driver, Keys.ESCAPE, Keys.ARROW_DOWN)
        assert driver.execute_script(SELECTED) == 0
        keys(driver, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
        assert driver.execute_script(SELECTED) == 2
        keys(driver, Keys.ARROW_UP, " ")
        assert driver.execute_script(SELECTED) == 1
        only = [place == 1 for place in range(CARDS)]
        until(lambda: driver.execute_script(SOUNDING) == only, "playing the second answer")
        keys(driver, " ")
        until(lambda: not any(driver.execute_script(SOUNDING)), "pausing it")
        keys(driver, "0")
        now = "return document.querySelectorAll('.card audio')[1].currentTime"
        until(
            lambda: abs(driver.execute_script(now) - groups[1].hit.start) < 0.05, "going back to the moment"
        )

        keys(driver, "m")
        found = until(lambda: MarkTable(index).of("", question), "a mark")
        assert [(mark.path, mark.fits) for mark in found] == [(groups[1].hit.path, True)]
        keys(driver, Keys.ARROW_DOWN, "x")
        found = until(
            lambda: (told := MarkTable(index).of("", question)) and len(told) == 2 and told, "another"
        )
        assert (found[1].path, found[1].fits) == (groups[2].hit.path, False)
        until(lambda: "1 fit, 1 do not" in driver.find_element(By.ID, "marked").text, "telling the marks")

        # Behind the last card come the next answers; / leads to the question, ? tells the keys.
        keys(driver, *[Keys.ARROW_DOWN] * (CARDS - 3), Keys.ARROW_DOWN)
        shown(driver, [group.hit for group in groups[CARDS : 2 * CARDS]])
        keys(driver, "/")
        until(lambda: driver.execute_script("return document.activeElement.matches(arguments[0])", BOX), "/")
        keys(driver, Keys.ESCAPE, "?")
        told = until(lambda: driver.find_element(By.CSS_SELECTOR, "#keys dl").text, "the keys")
        assert all(key in told and what in told for key, what in KEYS.items())
        driver.find_element(By.ID, "keys-on").click()
        keys(driver, Keys.TAB, Keys.ARROW_DOWN)
        assert driver.execute_script(SELECTED) == -1
        driver.find_element(By.ID, "keys-on").click()
        assert overflow(driver) <= 0 and not complaints(driver)


@WIDTHS
def test_history_leads_back_with_filters(page, tmp_path, width, height):
    _, index, url = page
    first, second = f"a door {width}", f"an engine {width}"
    with browser(tmp_path / "profile", width, height) as driver:
        driver.get(url)
        ask(driver, first)
        asked(driver, f"“{first}”: 1 to 10 of 14 sounds (16 files)")
        driver.execute_script(
            "[...document.querySelectorAll('button')].find(b => b.innerText.includes('Filters')).click()"
        )
        choose(driver, "Folder or path", "rain (7)", listed=True)
        ask(driver, second)
        hits = index.search(second, top=100, glob="rain/*")
        asked(driver, f"“{second}”: 1 to 7 of 7 files")
        shown(driver, hits)
        press(driver, "More like this", 2)
        asked(driver, f"sounds like {os.path.basename(hits[2].path)}, 0:")
        press(driver, f"← Back to “{second}”")
        asked(driver, f"“{second}”: 1 to 7 of 7 files")
        shown(driver, hits)
        # Of the question before, the fields stand as they stood.
        keys(driver, Keys.ESCAPE)
        driver.execute_script("document.activeElement.blur()")
        keys(driver, "b")
        asked(driver, f"“{first}”: 1 to 10 of 14 sounds (16 files)")
        assert driver.find_element(By.CSS_SELECTOR, BOX).get_attribute("value") == first
        field = "return document.querySelector('input[aria-label=\"Folder or path\"]').value"
        until(lambda: driver.execute_script(field) == "", "an empty filter")
        choose(driver, "Earlier queries", f"“{second}”", listed=True)
        asked(driver, f"“{second}”: 1 to 7 of 7 files")
        until(lambda: driver.execute_script(field).startswith("rain"), "the filter again")
        assert overflow(driver) <= 0 and not complaints(driver)


@WIDTHS
def test_copies_are_one_answer_and_files_are_at_hand(page, tmp_path, monkeypatch, width, height):
    _, index, url = page
    groups = groups_of(index, "water", glob="*/copies/*") + groups_of(index, "water", glob="*/rain/1.wav")
    same = [hit.path for group in groups for hit in (group.hit, *group.copies)]
    assert len(groups) == 2 and len(same) == 3
    # A file manager that writes down what it was asked for.
    shown_folders, program = tmp_path / "shown", tmp_path / "bin" / "xdg-open"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$#" "$@" >> "{shown_folders}"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    with browser(tmp_path / "profile", width, height) as driver:
        driver.execute_cdp_cmd(
            "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        )
        driver.get(url)
        ask(driver, "water")
        found = groups_of(index, "water")
        shown(driver, [group.hit for group in found[:CARDS]])
        place = next(place for place, group in enumerate(found) if group.copies)
        if place >= CARDS:
            press(driver, "More results")
            shown(driver, [group.hit for group in found[CARDS:]])
        card = driver.find_elements(By.CSS_SELECTOR, ".card")[place % CARDS]
        details = card.find_element(By.CSS_SELECTOR, ".copies")
        assert details.find_element(By.TAG_NAME, "summary").text == "and 2 identical copies"
        listed = [item.get_attribute("textContent") for item in details.find_elements(By.TAG_NAME, "li")]
        assert listed == [hit.path for hit in found[place].copies] and {
            found[place].hit.path,
            *listed,
        } == set(same)

        hit = found[place].hit
        driver.execute_script("arguments[0].querySelector('.copy').click()", card)
        until(lambda: card.find_element(By.CSS_SELECTOR, ".copy").text == "Copied", "copying")
        assert driver.execute_script("return navigator.clipboard.readText()") == hit.path
        driver.execute_script("arguments[0].querySelector('.reveal').click()", card)
        until(lambda: card.find_element(By.CSS_SELECTOR, ".reveal").text == "Shown", "showing the folder")
        assert shown_folders.read_text().splitlines() == ["1", os.path.dirname(hit.path)]

        # Dragged out, Chromium gets kind, name and address of a file.
        drag = (
            "const data = new DataTransfer(); const link = arguments[0].querySelectorAll('a.save')[0];"
            "link.dispatchEvent(new DragEvent('dragstart', { bubbles: true, dataTransfer: data }));"
            "return data.getData('DownloadURL')"
        )
        kind, name, address = driver.execute_script(drag, card).split(":", 2)
        assert (kind, name) == (
            "audio/wav",
            f"{os.path.basename(hit.path)[:-4]} {hit.start:.1f}-{hit.end:.1f} s.wav",
        )
        fetch = "return fetch(arguments[0]).then(r => r.arrayBuffer()).then(b => [...new Uint8Array(b)])"
        (tmp_path / "moment.wav").write_bytes(bytes(driver.execute_script(fetch, address)))
        samples, rate = soundfile.read(tmp_path / "moment.wav", dtype="int32")
        whole, _ = soundfile.read(hit.path, dtype="int32")
        np.testing.assert_array_equal(samples, whole[round(hit.start * rate) : round(hit.end * rate)])
        assert not complaints(driver)


def test_marks_refine_the_answers_and_a_search_is_saved(page, tmp_path):
    _, index, url = page
    question = "a bird far away"
    groups = groups_of(index, question)
    with browser(tmp_path / "profile", 1280, 1000) as driver:
        driver.get(url)
        ask(driver, question)
        shown(driver, [group.hit for group in groups[:CARDS]])
        for place, label in ((7, "Fits"), (0, "Does not fit"), (8, "Fits")):
            press(driver, label, place)
            hit = groups[place].hit
            until(
                lambda hit=hit, label=label: [
                    mark
                    for mark in MarkTable(index).of("", question)
                    if (mark.path, mark.fits) == (hit.path, label == "Fits")
                ],
                f"marking {place}",
            )
        learned = refine(index, question=question)
        refined = find_groups(lambda count: learned.answers(count), 100)
        assert [group.hit.path for group in refined] != [group.hit.path for group in groups]
        # From the card.
        driver.execute_script("document.querySelector('.card .to-refine').click()")
        shown(driver, [group.hit for group in refined[:CARDS]])
        asked(driver, f"“{question}”, refined by marks: 1 to 10 of 14 sounds (16 files)")
        told = driver.find_element(By.ID, "marked").text
        assert told.startswith("2 windows fit, 1 does not; ranked by the query, moved towards what fits")
        assert [
            mark.get_attribute("data-mark")
            for mark in driver.find_elements(By.CSS_SELECTOR, ".card [data-mark]")
        ].count("fits") == 2

        press(driver, "Least sure")
        asked(driver, f"“{question}”, least sure")
        unsure = learned.least_sure(100)
        shown(driver, unsure[:CARDS])
        # One after another: a mark leads to the next one.
        driver.execute_script("document.activeElement.blur()")
        keys(driver, Keys.ARROW_DOWN, "m")
        until(lambda: driver.execute_script(SELECTED) == 1, "going on")
        until(lambda: len(MarkTable(index).of("", question)) == 4, "the fourth mark")

        driver.find_element(By.CSS_SELECTOR, "#learn input, #learn textarea").send_keys(
            "far birds", Keys.ENTER
        )
        until(lambda: "far birds" in SavedSearches(index), "saving")
        driver.execute_script("[...document.querySelectorAll('button[role=tab]')][2].click()")
        choose(driver, "Saved search", "far birds", listed=True)
        press(driver, "Open")
        asked(driver, "saved search “far birds”, refined by marks")
        answers = find_groups(lambda count: refine(index, "far birds").answers(count), 100)
        shown(driver, [group.hit for group in answers[:CARDS]])
        assert len(MarkTable(index).of("far birds", question)) == 4
        # The same name once more is refused in words.
        driver.find_element(By.CSS_SELECTOR, "#learn input, #learn textarea").send_keys(
            "far birds", Keys.ENTER
        )
        find = "return document.body.innerText.includes(\"There is a saved search 'far birds' already\")"
        until(lambda: driver.execute_script(find), "refusing the name")


def test_spectrograms_by_choice(page, tmp_path):
    _, index, url = page
    with browser(tmp_path / "profile", 1280, 1000) as driver:
        driver.get(url)
        ask(driver, "rain")
        shown(driver, [group.hit for group in groups_of(index, "rain")[:CARDS]])
        driver.execute_script(
            "[...document.querySelectorAll('button')].find(b => b.innerText.includes('View')).click()"
        )
        until(lambda: driver.find_elements(By.CSS_SELECTOR, "#spectrograms input"), "the choice")[0].click()
        driver.execute_script("document.querySelector('.card').scrollIntoView()")
        picture = until(lambda: driver.find_elements(By.CSS_SELECTOR, ".card .wave img"), "a spectrogram")[0]
        until(lambda: driver.execute_script("return arguments[0].naturalWidth", picture) > 10, "loading it")
        assert picture.is_displayed() and picture.get_attribute("alt") == "spectrogram, 0 to 8 kHz"
        assert not driver.find_element(By.CSS_SELECTOR, ".card .wave canvas").is_displayed()
        driver.execute_script("document.querySelector('#spectrograms input').click()")
        until(lambda: not picture.is_displayed(), "going back to the waveform")
        log = json.dumps(driver.get_log("browser"))
        assert "SEVERE" not in log
