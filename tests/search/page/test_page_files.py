"""What of this machine's disk a page serves, to whom, and what it leaves behind."""

import os
import shutil
import socket
import tempfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
import soundfile

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
gradio_client = pytest.importorskip("gradio_client")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from browser import until  # noqa: E402
from pages import addresses, asked, fetched, filters  # noqa: E402
from tiny_models import saved_tiny_model, write_sound  # noqa: E402

from auricle.search.page.app import serve  # noqa: E402
from auricle.search.page.playing.player import part_as_wav, playable  # noqa: E402
from auricle.search.query.hits import Hit  # noqa: E402
from auricle.search.sound_index import SoundIndex  # noqa: E402

REFUSED = (400, 403, 404)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Sounds, and among them an index and files that are none of anybody's business."""
    root = tmp_path_factory.mktemp("files")
    saved_tiny_model(root / "model")
    for number in range(3):
        write_sound(root / "sounds" / f"{number} #100%.wav", 0.5 + number, seed=number)
    write_sound(root / "sounds" / ".hidden" / "secret.wav", 0.5, seed=8)
    write_sound(root / "private" / "secret.wav", 0.5, seed=9)
    for name in (".env", "notes.txt", "page.html", "picture.svg", ".hidden/.env"):
        (root / "sounds" / name).write_text("<script>alert(1)</script>")
    index = SoundIndex.create(root / "sounds" / "index", str(root / "model"))
    index.update([root / "sounds"], progress=False)
    return root, index


@pytest.fixture(scope="module")
def running(made):
    page = serve(made[1])
    yield *made, page.local_url
    page.close()


def test_answers_alone_are_served(running):
    root, _, url = running
    address = addresses(url, "a dog barks", glob="*/0*")[0]
    status, headers, body = fetched(address)
    assert (status, body) == (200, (root / "sounds" / "0 #100%.wav").read_bytes())
    assert headers["content-type"] == "audio/wav" and headers["x-content-type-options"] == "nosniff"
    status, headers, part = fetched(address, Range="bytes=10-19")
    assert (status, part) == (206, body[10:20])
    asked(url, "a dog barks")
    everything = [path for path in root.rglob("*") if path.is_file() and "model" not in path.parts]
    assert {".env", "page.html", "secret.wav", "index.json", "0 #100%.wav"} <= {
        path.name for path in everything
    }
    for path in (*everything, root / "sounds" / ".." / "private" / "secret.wav", Path("/etc/passwd")):
        assert fetched(f"{url}gradio_api/file={quote(str(path))}")[0] in REFUSED, path
        assert fetched(f"{url}gradio_api/sounds/{'0' * 64}/{quote(path.name)}")[0] in REFUSED, path
        # The name behind a sound's address is but a name.
        behind = address.rpartition("/")[0] + "/" + quote(str(path), safe="")
        assert fetched(behind)[2] in (body, b'{"detail":"Not Found"}'), path


def test_a_sound_that_changes_or_goes_is_served_as_it_is(running):
    root, _, url = running
    path = root / "sounds" / "1 #100%.wav"
    address, kept = addresses(url, "a dog barks", glob="*/1*")[0], path.read_bytes()
    path.unlink()
    try:
        assert fetched(address)[0] == 404
    finally:
        path.write_bytes(kept)
    assert fetched(address)[::2] == (200, kept)


@pytest.fixture
def elsewhere():
    """A folder that is neither below the current one nor below the one for temporary files."""
    if not os.access("/var/tmp", os.W_OK) or tempfile.gettempdir() == "/var/tmp":
        pytest.skip("there is no such folder")
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    yield folder
    shutil.rmtree(folder)


def test_sounds_play_from_where_they_lie_and_no_copy_is_made(made, elsewhere, tmp_path, monkeypatch):
    root, _ = made
    cache = tmp_path / "cache"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(cache))
    monkeypatch.chdir(tmp_path)

    def copies() -> list[Path]:
        return [path for path in cache.rglob("[!.]*") if path.is_file()]

    index = SoundIndex.create(tmp_path / "index", str(root / "model"))
    index.update([root / "sounds"], progress=False)
    page = serve(index)
    url = page.local_url
    # A folder that is indexed once the page is open.
    short = write_sound(elsewhere / "short.wav", 1.0, seed=20)
    noise = 0.1 * np.random.default_rng(3).normal(size=320 * 8000).astype(np.float32)
    soundfile.write(elsewhere / "long.flac", noise, 8000)
    assert not index.update([elsewhere], progress=False).faults
    assert fetched(addresses(url, "a dog barks", glob="*/short.wav")[0])[2] == short.read_bytes()
    hit = index.search("a dog barks", glob="*/long.flac")[0]
    long = addresses(url, "a dog barks", glob="*/long.flac")[0]
    assert long.endswith(".wav")
    _, headers, body = fetched(long)
    assert headers["content-type"] == "audio/wav"
    samples, rate = soundfile.read(BytesIO(body))
    begin = round(playable(hit).begin * rate)
    np.testing.assert_allclose(samples, noise[begin : begin + 60 * rate], atol=1e-4)
    (elsewhere / "long.flac").write_bytes(b"no sound any more")
    assert fetched(long)[0] == 404
    assert len(addresses(url, "a dog barks")) == 4 and not copies()

    # What a visitor uploads lies there until the end.
    sound = gradio_client.handle_file(str(short))
    gradio_client.Client(url, verbose=False).predict(sound, *filters(), api_name="/similar")
    assert [path.name for path in copies()] == ["short.wav"]
    page.close()
    until(lambda: not copies(), "removing copies")
    assert all(os.path.exists(path) for path in index.store.files())
    with pytest.raises(OSError):
        fetched(long)


def test_of_a_long_recording_a_minute_around_the_moment_is_played(tmp_path):
    rate = 8000
    ramp = np.repeat(np.arange(400, dtype=np.int16), rate)
    soundfile.write(tmp_path / "long.wav", ramp, rate, subtype="PCM_16")
    hit = Hit(str(tmp_path / "long.wav"), 200.0, 210.0, 0.5, 0.5, None, 400.0, ())

    def played(hit: Hit) -> np.ndarray:
        wav = BytesIO(part_as_wav(hit.path, playable(hit).begin))
        samples, found = soundfile.read(wav, dtype="int16")
        assert found == rate
        return samples

    # A float file sounds as it is, not as three levels.
    soundfile.write(tmp_path / "float.wav", ramp / 32768.0, rate, subtype="FLOAT")
    assert np.array_equal(played(replace(hit, path=str(tmp_path / "float.wav"))), played(hit))
    found = playable(hit)
    assert found.begin == 190.0 and found.start == 10.0 and found.note == "plays 3:10.0 to 4:10.0"
    assert len(played(hit)) == 60 * rate and played(hit)[0] == 190 and played(hit)[-1] == 249
    late = replace(hit, start=395.0)
    assert played(late)[-1] == 399 and playable(late).note == "plays 6:25.0 to 6:40.0"
    assert playable(replace(hit, start=3.0)).start == 3.0
    short = playable(replace(hit, duration=300.0))
    assert (short.path, short.begin, short.start) == (hit.path, None, 200.0)


# ------------------------------------------------------------------------------- other hosts


def test_a_page_of_this_machine_answers_to_no_other_name(running):
    _, _, url = running
    port, sound = urlsplit(url).port, addresses(url, "a dog barks")[0]
    question = f"{url}gradio_api/call/search"
    data = b'{"data": ["a dog barks", "", false, "", "", 0, 0, -1, "", ""]}'
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", "LOCALHOST"):
        for address in (url, sound, f"{url}config"):
            assert fetched(address, Host=host)[0] == 200, (host, address)
        assert fetched(question, data, Host=host, Content_Type="application/json")[0] == 200
    for host in (f"evil.example:{port}", "127.0.0.1.evil.example", "evil.example", "0.0.0.0"):
        site = {"Host": host, "Origin": f"http://{host}"}
        for address in (url, sound, f"{url}config", f"{url}gradio_api/file=/etc/passwd"):
            assert fetched(address, **site)[0] == 400, (host, address)
        assert fetched(question, data, **site, Content_Type="application/json")[0] == 400


def test_an_open_address_has_names_of_its_own(made):
    page = serve(made[1], host="0.0.0.0")
    try:
        port = urlsplit(page.local_url).port
        assert fetched(f"http://127.0.0.1:{port}/", Host="sounds.example")[0] == 200
    finally:
        page.close()


def test_the_other_loopback(made):
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("there is no IPv6")
    page = serve(made[1], host="::1")
    try:
        assert page.local_url.startswith("http://[::1]:")
        assert "3 of 3 files" in asked(page.local_url, "a dog barks")
        assert fetched(page.local_url, Host="evil.example")[0] == 400
    finally:
        page.close()
