"""The page in a real browser, without a screen: type, listen, more like this; at desk and at phone width."""

import os
import shutil
import time
from pathlib import Path

import pytest

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
selenium = pytest.importorskip("selenium")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from tiny_models import saved_tiny_model, write_sound  # noqa: E402

from auricle.search.page import serve  # noqa: E402
from auricle.search.sound_index import SoundIndex  # noqa: E402

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def browser(folder: Path, width: int, height: int) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_window_size(width, height)
    return driver


def until(condition, what: str, seconds: float = 60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {seconds:g} s")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    saved_tiny_model(root / "model")
    for number in range(4):
        write_sound(root / "sounds" / f"{number}.wav", 1.0 + number, seed=number)
    index = SoundIndex.create(root / "index", str(root / "model"))
    index.update([root / "sounds"], progress=False)
    running = serve(index)
    yield root, index, running.local_url
    running.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_ask_listen_and_more_like_this(page, tmp_path, width, height):
    root, index, url = page
    driver = browser(tmp_path / "profile", width, height)
    try:
        driver.get(url)
        box = until(lambda: driver.find_elements(By.CSS_SELECTOR, "textarea"), "the page's opening")[0]
        box.send_keys("a dog barks", Keys.ENTER)

        def answers() -> list[str]:
            shown = driver.execute_script(
                "return [...document.querySelectorAll('.prose, .md')].map(node => node.innerText)"
            )
            # A node of the class lies within another one.
            return list(dict.fromkeys(text for text in shown if ".wav" in text and "cosine" in text))

        first = until(answers, "an answer")
        wanted = [Path(hit.path).name for hit in index.search("a dog barks")]
        assert [text.split(" from ")[0].split()[-1] for text in first] == wanted
        players = "return document.querySelectorAll('audio, .waveform-container').length"
        until(lambda: driver.execute_script(players), "a player")
        buttons = (
            "const all = [...document.querySelectorAll('button')]"
            ".filter(b => b.innerText.trim() === 'More like this' && b.offsetParent !== null);"
        )
        assert until(lambda: driver.execute_script(f"{buttons} return all.length"), "buttons") == 4
        driver.execute_script(f"{buttons} all[0].click()")
        near = [Path(hit.path).name for hit in index.similar(root / "sounds" / wanted[0])]
        until(lambda: answers() and near[0] in answers()[0], "more like this")
        wide = driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 2, f"{wide} pixels stick out to the right"
        picture = os.environ.get("AURICLE_SCREENSHOTS")
        if picture:
            driver.save_screenshot(str(Path(picture) / f"page_{width}.png"))
        messages = [entry["message"] for entry in driver.get_log("performance")]
        asked = [message for message in messages if "requestWillBeSent" in message]
        outside = [
            m for m in asked if '"url":"http' in m and "127.0.0.1" not in m.split('"url":"http')[1][:40]
        ]
        assert not outside, outside[:2]
    finally:
        driver.quit()
