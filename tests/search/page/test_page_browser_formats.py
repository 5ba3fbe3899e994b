"""Players of a page in a real browser: files that no browser plays are heard, from their moment on."""

import os

import av
import pytest
import soundfile

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
pytest.importorskip("selenium")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from browser import browser, complaints, marks, until
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from tiny_models import saved_tiny_model, sound

from auricle.search.page.app import serve
from auricle.search.sound_index import SoundIndex

pytestmark = marks
SECONDS = 4
BY_SOUNDFILE = {
    "a.aiff": ("AIFF", "DOUBLE", 22_050),
    "b.caf": ("CAF", "FLOAT", 22_050),
    "c.au": ("AU", "PCM_16", 8_000),
    "d.w64": ("W64", "PCM_24", 44_100),
    "bat.wav": ("WAV", "PCM_16", 384_000),
    "hot.wav": ("WAV", "FLOAT", 16_000),
    "plain.flac": ("FLAC", "PCM_16", 16_000),
}
BY_FFMPEG = {"e.wma": "wmav2", "f.m4a": "alac", "g.ac3": "ac3"}

TIMES = (
    "const audio = document.querySelectorAll('.card audio')[arguments[0]];"
    "return audio ? [audio.currentTime, audio.duration] : [0, 0]"
)
CALL = "document.querySelectorAll('.card audio')[arguments[0]][arguments[1]]()"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("kinds")
    saved_tiny_model(root / "model")
    (root / "sounds").mkdir()
    for seed, (name, (kind, subtype, rate)) in enumerate(BY_SOUNDFILE.items()):
        samples = sound(SECONDS, rate=rate, seed=seed) * (4 if name == "hot.wav" else 1)
        soundfile.write(root / "sounds" / name, samples, rate, format=kind, subtype=subtype)
    for seed, (name, codec) in enumerate(BY_FFMPEG.items(), start=50):
        with av.open(str(root / "sounds" / name), "w") as file:
            stream = file.add_stream(codec, rate=44_100, layout="mono")
            stream.bit_rate = 96_000
            samples = sound(SECONDS, rate=44_100, seed=seed)
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.rate = 44_100
            parts = av.AudioResampler(stream.format, "mono", 44_100, frame_size=stream.frame_size or None)
            for part in (*parts.resample(frame), *parts.resample(None)):
                file.mux(stream.encode(part))
            file.mux(stream.encode(None))
    index = SoundIndex.create(root / "index", str(root / "model"))
    report = index.update([root / "sounds"], progress=False)
    assert not report.faults and len(index) == len(BY_SOUNDFILE) + len(BY_FFMPEG) == 10
    running = serve(index)
    yield index, running.local_url
    running.close()


def test_every_kind_of_file_is_heard(page, tmp_path):
    index, url = page
    hits = index.search("a dog barks", top=10)
    assert any(hit.start > 0 for hit in hits) and len(hits) == 10
    with browser(tmp_path / "profile", 1280, 1000) as driver:
        driver.get(url)
        box = until(lambda: driver.find_elements(By.CSS_SELECTOR, "#ask textarea, #ask input"), "the page")[0]
        box.send_keys("a dog barks", Keys.ENTER)
        for place, hit in enumerate(hits):
            name = os.path.basename(hit.path)

            def times(place=place) -> list[float]:
                return driver.execute_script(TIMES, place)

            # A browser that cannot decode a sound shows no length.
            until(lambda times=times: abs((times()[1] or 0) - SECONDS) < 0.2, f"the length of {name}")
            until(lambda times=times, hit=hit: abs(times()[0] - hit.start) < 0.3, f"the moment of {name}")
            if hit.start + 1 < SECONDS:
                driver.execute_script(CALL, place, "play")
                until(lambda times=times, hit=hit: times()[0] > hit.start + 0.5, f"playing {name}", 20)
                driver.execute_script(CALL, place, "pause")
        assert not complaints(driver)
