"""Headless Chromium for the tests that look at a page."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
marks = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]
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
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
]
Found = TypeVar("Found")


@contextmanager
def browser(folder: Path, width: int, height: int) -> Iterator:
    """A driver of a window of so many pixels, its profile in the folder."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        # A window is never narrower than 500 pixels: the page's own width is set.
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        yield driver
    finally:
        driver.quit()


def until(condition: Callable[[], Found], what: str, seconds: float = 60.0) -> Found:
    """
    What a condition gives once it gives something; AssertionError if that takes too long.

    A part of the page that is not there yet, or was just drawn anew, counts as nothing.
    """
    from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(NoSuchElementException, StaleElementReferenceException):
            found = condition()
            if found:
                return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {seconds:g} s")


def requests_elsewhere(driver) -> list[str]:
    """What the page asked of other machines."""
    asked = [
        entry["message"]
        for entry in driver.get_log("performance")
        if "requestWillBeSent" in entry["message"] and '"url":"http' in entry["message"]
    ]
    return [text[:300] for text in asked if "127.0.0.1" not in text.split('"url":"http')[1][:40]]


def complaints(driver) -> list[str]:
    """Errors in the console."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def overflow(driver) -> int:
    """Pixels that stick out to the right."""
    return driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")


def keep_picture(driver, name: str) -> None:
    """Saves what is seen, where the variable AURICLE_SCREENSHOTS names a folder."""
    folder = os.environ.get("AURICLE_SCREENSHOTS")
    if folder:
        driver.save_screenshot(str(Path(folder) / name))


_ANSWERS = "return [...document.querySelectorAll('.hit')].map(node => node.dataset.path)"
_BUTTONS = (
    "const all = [...document.querySelectorAll('button')]"
    ".filter(b => b.innerText.trim() === arguments[0] && b.offsetParent !== null);"
)


def ask(driver, sentence: str) -> None:
    """Writes a sentence in the place of what stands in the box, and asks."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    find = "#ask textarea, #ask input"
    box = until(lambda: driver.find_elements(By.CSS_SELECTOR, find), "the page's opening")[0]
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(sentence, Keys.ENTER)


def press(driver, label: str, place: int = 0) -> None:
    """Clicks on one of the buttons of a label that are seen."""
    until(lambda: driver.execute_script(f"{_BUTTONS} return all.length > arguments[1]", label, place), label)
    driver.execute_script(f"{_BUTTONS} all[arguments[1]].click()", label, place)


def shown(driver, hits) -> None:
    """Waits until these are the answers on screen."""
    wanted = [hit.path for hit in hits]
    until(lambda: driver.execute_script(_ANSWERS) == wanted, f"the answers {wanted[:2]}")


def choose(driver, label: str, text: str, *, listed: bool = False) -> None:
    """Chooses what a list offers, by its label; or types it into the list's field."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    def fields() -> list:
        found = driver.find_elements(By.CSS_SELECTOR, f'input[aria-label="{label}"]')
        return [field for field in found if field.is_displayed()]

    field = until(fields, label)[0]
    field.click()
    if not listed:
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text, Keys.TAB)
        return
    find = f'[role=option][aria-label="{text}"]'
    until(lambda: driver.find_elements(By.CSS_SELECTOR, find), text)[0].click()


def keys(driver, *pressed: str) -> None:
    """Presses keys, one after another, wherever the focus is."""
    from selenium.webdriver.common.action_chains import ActionChains

    for key in pressed:
        ActionChains(driver).send_keys(key).perform()


def prefer(driver, scheme: str) -> None:
    """Makes the system's look "light" or "dark"; before the page is opened."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
