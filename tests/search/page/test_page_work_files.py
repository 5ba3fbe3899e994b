"""What is made of an answer: its moment as a WAV file, its spectrogram, and its folder on screen."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette")
pytest.importorskip("lancedb")

from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from auricle.search.errors import SearchError
from auricle.search.page.playing.moment_wav import moment_as_wav, moment_name
from auricle.search.page.playing.sounds import AnsweredSounds
from auricle.search.page.playing.spectrogram import ROWS, spectrogram, spectrogram_levels
from auricle.search.page.reveal import reveal, reveal_command, reveal_routes, sits_here

RATE = 44_100


@pytest.mark.parametrize(
    ("ending", "subtype", "written", "channels"),
    [
        ("wav", "PCM_16", "PCM_16", 1),
        ("wav", "PCM_24", "PCM_24", 2),
        ("flac", "PCM_24", "PCM_24", 2),
        ("wav", "FLOAT", "FLOAT", 6),
        ("wav", "PCM_U8", "PCM_16", 1),
        ("wav", "PCM_32", "FLOAT", 1),
    ],
)
def test_a_moment_has_the_samples_of_its_recording(tmp_path, ending, subtype, written, channels):
    rate = 96_000
    samples = np.random.default_rng(0).uniform(-1, 1, size=(2 * rate, channels)).astype(np.float32)
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, samples, rate, subtype=subtype)
    (tmp_path / "moment.wav").write_bytes(moment_as_wav(str(path), 0.5, 1.25))
    info = soundfile.info(tmp_path / "moment.wav")
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (rate, channels, written, 72_000)
    got, _ = soundfile.read(tmp_path / "moment.wav", always_2d=True, dtype="float32")
    whole, _ = soundfile.read(path, always_2d=True, dtype="float32")
    np.testing.assert_array_equal(got, whole[48_000:120_000])


def test_a_moment_that_cannot_be_read_and_names_that_no_disk_takes(tmp_path):
    with pytest.raises(OSError):
        moment_as_wav(str(tmp_path / "gone.wav"), 0.0, 1.0)
    assert moment_name('/s/a:b"c?.flac', 1.25, 3.0) == "a_b_c_ 1.2-3.0 s.wav"
    assert moment_name("/s/con.wav", 0.0, 1.0) == "con 0.0-1.0 s.wav"


def test_a_spectrogram_shows_frequencies_where_they_are(tmp_path):
    times = np.arange(2 * RATE) / RATE
    tone = np.where(times < 1.0, np.sin(2 * np.pi * 500 * times), np.sin(2 * np.pi * 10_000 * times))
    levels = spectrogram_levels(tone.astype(np.float32), RATE)
    assert levels.shape[0] == ROWS and levels.min() >= 0 and levels.max() == 1
    mel = [float(np.log1p(hertz / 700) / np.log1p(RATE / 2 / 700)) for hertz in (500, 10_000)]
    half = levels.shape[1] // 2
    for part, expected in ((levels[:, : half - 5], mel[0]), (levels[:, half + 5 :], mel[1])):
        rows = 1 - (np.argmax(part, axis=0) + 0.5) / ROWS
        assert np.abs(rows - expected).max() < 0.03
    assert not spectrogram_levels(np.zeros(RATE, np.float32), RATE).any()
    assert spectrogram_levels(np.ones(10, np.float32), RATE).shape == (ROWS, 1)
    # Of several channels the loudest.
    soundfile.write(tmp_path / "a.wav", np.stack([0 * tone, 0.5 * tone], axis=1), RATE)
    found = spectrogram(str(tmp_path / "a.wav"), 0.5, 1.0)
    (tmp_path / "a.png").write_bytes(found.png)
    picture = np.asarray(Image.open(tmp_path / "a.png"))
    assert picture.shape[0] == ROWS and picture.max() == 255 and found.highest_hz == RATE / 2


def test_files_of_answers_alone_are_sent(tmp_path):
    path = tmp_path / "é <b>.wav"
    soundfile.write(path, np.zeros(RATE, np.float32), RATE)
    sounds = AnsweredSounds()
    client = TestClient(Starlette(routes=sounds.routes()))
    files = sounds.files(str(path), 0.25, 0.5)
    reply = client.get("/" + files.file)
    assert reply.content == path.read_bytes() and reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-disposition"].startswith("attachment")
    assert client.get("/" + files.moment).headers["content-type"] == "audio/wav"
    token = files.file.split("/")[2]
    for kind in ("file", "moment"):
        other = f"/gradio_api/sounds/{'0' * 64}/{kind}/a.wav"
        assert (
            client.get(other).status_code
            == client.get(other.replace("0" * 64, token[:-1])).status_code
            == 404
        )
    path.unlink()
    assert client.get("/" + files.file).status_code == client.get("/" + files.moment).status_code == 404


def test_no_shell_and_no_option_in_the_commands_of_file_managers():
    path = os.path.abspath("/s/$(touch x); a 'b' -R.wav")
    assert reveal_command(path, "darwin") == ["open", "-R", path]
    assert reveal_command(path, "win32") == ["explorer", "/select,", path]
    assert reveal_command(path, "linux") == ["xdg-open", os.path.dirname(path)]
    for wrong in ("-x.wav", "a.wav", "file:///etc", ""):
        with pytest.raises(SearchError, match="absolute path"):
            reveal_command(wrong, "darwin")


@pytest.mark.skipif(os.name == "nt", reason="needs a program of a shell")
def test_the_folder_is_shown_by_who_sits_here_alone(tmp_path, monkeypatch):
    path = tmp_path / "$(touch injected)" / "a; touch injected.wav"
    path.parent.mkdir()
    soundfile.write(path, np.zeros(RATE, np.float32), RATE)
    written = tmp_path / "written"

    def manager(code: int) -> None:
        for name in ("xdg-open", "open"):
            program = tmp_path / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{written}"\nexit {code}\n')
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    manager(0)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    sounds = AnsweredSounds()
    files = sounds.files(str(path), 0.0, 1.0)

    def client(host: str = "127.0.0.1", listening: str = "127.0.0.1") -> TestClient:
        app = Starlette(routes=[*sounds.routes(), *reveal_routes(sounds, listening)])
        return TestClient(app, client=(host, 50_000))

    address = f"/{files.reveal}"
    assert client().post(address).text == "shown" and client("::1").post(address).status_code == 200
    assert str(path.parent) in written.read_text() and not (tmp_path / "injected").exists()
    told = written.read_text()
    assert client().get(address).status_code in (404, 405)
    assert client("192.0.2.7").post(address).status_code == 403
    for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        assert client().post(address, headers={name: "127.0.0.1"}).status_code == 403
    # A page that other machines reach has no such address.
    assert client(listening="0.0.0.0").post(address).status_code in (404, 405)
    assert client().post(address.replace(files.reveal.split("/")[2], "0" * 64)).status_code == 404
    assert written.read_text() == told
    manager(3)
    reply = client().post(address)
    assert reply.status_code == 409 and "ended with code 3" in reply.text and "\n" not in reply.text
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "is not installed" in client().post(address).text
    path.unlink()
    with pytest.raises(SearchError, match="no longer exists"):
        reveal(str(path))
    assert not Path("injected").exists()


def test_who_sits_here():
    assert sits_here("127.0.0.1", {}) and sits_here("::1", {}) and sits_here("127.8.8.8", {})
    assert not any(
        sits_here(host, {}) for host in (None, "10.0.0.1", "testclient", "localhost.evil.example", "")
    )
    assert not sits_here("127.0.0.1", {"x-forwarded-for": "127.0.0.1"})
