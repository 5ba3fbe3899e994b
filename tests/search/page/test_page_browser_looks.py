"""How the page looks, in a real browser: accessible, light and dark, at two widths; and a first run."""

import os

import numpy as np
import pytest
import soundfile

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
pytest.importorskip("selenium")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from axe import serious_faults
from browser import ask, browser, complaints, keep_picture, marks, overflow, prefer, press, until
from generated_library import write_library
from scattered_texts import scatter_texts
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from tiny_models import SAMPLING_RATE, saved_tiny_model, sound

from auricle.search.page.app import serve
from auricle.search.page.first_run import NewIndex
from auricle.search.sound_index import SoundIndex

pytestmark = marks
LOOKS = pytest.mark.parametrize("look", ["light", "dark"])
WIDTHS = pytest.mark.parametrize(("width", "height"), [(1280, 1000), (390, 844)])
ANSWERED = "return document.querySelectorAll('.card .hit').length"
# Luminance of what lies behind an element, from black (0) to white (1).
BEHIND = """
let node = arguments[0];
while (node) {
  const [red, green, blue, alpha = 1] = getComputedStyle(node).backgroundColor.match(/[\\d.]+/g).map(Number);
  if (alpha > 0.5) return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;
  node = node.parentElement;
}
return getComputedStyle(document.documentElement).colorScheme.includes("dark") ? 0 : 1;
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("looks")
    saved_tiny_model(root / "model")
    index = SoundIndex.create(root / "index", str(root / "model"))
    assert not index.update([write_library(root / "sounds")], progress=False).faults
    scatter_texts(index)
    running = serve(index)
    yield index, running.local_url
    running.close()


def open_all(driver) -> None:
    """Opens everything that can be opened on the page."""
    driver.execute_script(
        "for (const name of ['More options', 'Filters', 'View']) "
        "[...document.querySelectorAll('button')].find(button => button.innerText.includes(name)).click();"
    )
    until(lambda: driver.find_elements(By.CSS_SELECTOR, "#keys"), "the keys")
    driver.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true })")


@LOOKS
@WIDTHS
def test_no_serious_fault_of_accessibility_and_no_white_bar(page, tmp_path, look, width, height):
    _, url = page
    with browser(tmp_path / "profile", width, height) as driver:
        prefer(driver, look)
        driver.get(url)
        ask(
            driver,
            "rain on a roof" if (look, width) == ("light", 1280) else f"rain on a roof, {look}, {width}",
        )
        until(lambda: driver.execute_script(ANSWERED) == 10, "answers")
        until(lambda: driver.find_elements(By.CSS_SELECTOR, ".copies"), "copies")
        driver.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
        ready = "return [...document.querySelectorAll('.card audio')].slice(0, 2).every(audio => audio.readyState > 0)"
        until(lambda: driver.execute_script(ready), "players")
        keep_picture(driver, f"page_{look}_{width}.png")
        assert not serious_faults(driver)
        press(driver, "Fits")
        until(lambda: driver.find_elements(By.CSS_SELECTOR, "[data-mark]"), "a mark")
        press(driver, "More like this", 1)
        until(lambda: driver.find_elements(By.ID, "back"), "a way back")
        open_all(driver)
        assert not serious_faults(driver)
        for place in (1, 2):
            driver.execute_script(f"[...document.querySelectorAll('button[role=tab]')][{place}].click()")
            until(
                lambda place=place: driver.execute_script(
                    f"return [...document.querySelectorAll('[role=tabpanel]')][{place}].offsetParent !== null"
                ),
                "another tab",
            )
            assert not serious_faults(driver)
        # Whatever is wide is as dark, or as light, as the page; so are players and scroll bars.
        wide = driver.execute_script(
            "return [document.documentElement, ...document.querySelectorAll('body *')].filter("
            "node => node.clientWidth > innerWidth / 2 && node.clientHeight > 4 && !node.closest('button'))"
        )
        assert len(wide) > 20
        levels = [driver.execute_script(BEHIND, node) for node in wide]
        assert max(levels) < 0.25 if look == "dark" else min(levels) > 0.75
        scheme = "return getComputedStyle(document.querySelector(arguments[0])).colorScheme"
        for find in ("html", ".player audio"):
            assert ("dark" in driver.execute_script(scheme, find)) == (look == "dark"), find
        press(driver, "Does not fit")
        assert overflow(driver) <= 0 and not complaints(driver)


@WIDTHS
def test_a_first_run_explains_itself_and_indexes_a_folder(tmp_path, width, height):
    saved_tiny_model(tmp_path / "model")
    (tmp_path / "sounds").mkdir()
    for number in range(40):
        samples = np.concatenate([sound(2.0, seed=number + part) for part in range(3)])
        soundfile.write(tmp_path / "sounds" / f"{number}.wav", samples, SAMPLING_RATE)
    place = tmp_path / "index"
    new = NewIndex(str(place), lambda model: SoundIndex.create(place, model), model=str(tmp_path / "model"))
    running = serve(None, new=new)
    try:
        with browser(tmp_path / "profile", width, height) as driver:
            prefer(driver, "dark" if width < 500 else "light")
            driver.get(running.local_url)
            told = "return (document.getElementById('welcome') || { innerText: '' }).innerText"
            wanted = f"There is no index at {place} yet"
            until(lambda: wanted in " ".join(driver.execute_script(told).split()), f"saying that {wanted}")
            welcome = driver.find_element(By.ID, "welcome")
            assert overflow(driver) <= 0 and not serious_faults(driver)
            # A question has no answer yet, and says so.
            ask(driver, "rain")
            said = "return document.body.innerText.includes(arguments[0])"
            until(lambda: driver.execute_script(said, "There is no index yet: choose a folder"), "saying so")
            folder = welcome.find_elements(By.CSS_SELECTOR, "input, textarea")[0]
            folder.send_keys("/nowhere/at/all", Keys.ENTER)
            until(
                lambda: driver.execute_script(said, "/nowhere/at/all: there is no such folder."),
                "refusing it",
            )
            folder.send_keys(Keys.CONTROL, "a")
            folder.send_keys(str(tmp_path / "sounds"))
            press(driver, "Index this folder")
            bar = "const bar = document.querySelector('#progress [role=progressbar]'); return bar && bar.ariaValueNow"
            seen = until(lambda: driver.execute_script(bar), "a bar")
            assert 0 <= int(seen) <= 100
            until(lambda: driver.execute_script(said, "40 files are indexed."), "the end")
            until(lambda: not driver.execute_script(told), "the offer's going")
            keep_picture(driver, f"first_run_{width}.png")
            ask(driver, "rain")
            until(lambda: driver.execute_script(ANSWERED) == 10, "answers")
            assert len(SoundIndex(place)) == 40 and overflow(driver) <= 0
    finally:
        running.close()
