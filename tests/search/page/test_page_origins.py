"""Who can do what from where: other web sites, too much, a busy port, a proxy, and what is left of uploads."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
pytest.importorskip("gradio_client")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from pages import asked, fetched
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from tiny_models import saved_tiny_model, write_sound
from tiny_recipes import environment

from auricle.search.errors import SearchError
from auricle.search.page.app import serve
from auricle.search.page.hosts import is_foreign
from auricle.search.page.upload_folder import UploadFolder
from auricle.search.sound_index import SoundIndex

QUESTION = b'{"data": ["a dog barks", "", false, "", "", 0, 0, -1, "", ""]}'
BOUNDARY = "limit"
UPLOAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="evil.wav"\r\n'
    f"Content-Type: audio/wav\r\n\r\n{'x' * 1000}\r\n--{BOUNDARY}--\r\n"
).encode()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    root = tmp_path_factory.mktemp("origins")
    saved_tiny_model(root / "model")
    write_sound(root / "sounds" / "a.wav", 1.0, seed=1)
    index = SoundIndex.create(root / "index", str(root / "model"))
    index.update([root / "sounds"], progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(root / "uploads"))
        page = serve(index)
        yield root, index, page.local_url
        page.close()


def uploads(root: Path) -> list[str]:
    return [path.name for path in (root / "uploads").rglob("*.wav")]


def post_upload(url: str, **headers):
    return fetched(
        f"{url}gradio_api/upload", UPLOAD, Content_Type=f"multipart/form-data; boundary={BOUNDARY}", **headers
    )


def other_sites(url: str) -> list[dict[str, str]]:
    """What browsers send for pages of other sites, of another port, and from files."""
    port = urlsplit(url).port
    return [
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
        {"Origin": f"http://localhost:{port + 1}", "Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": f"http://127.0.0.1:{port + 1}"},
        {"Origin": f"http://localhost:{port}"},
    ]


def test_other_sites_write_and_read_nothing(running):
    root, _, url = running
    for headers in other_sites(url):
        assert post_upload(url, **headers)[0] == 403, headers
        for path in ("gradio_api/call/search", "gradio_api/run/search", "gradio_api/queue/join"):
            reply = fetched(f"{url}{path}", QUESTION, Content_Type="application/json", **headers)
            assert reply[0] == 403, (path, headers)
        for path in ("config", "gradio_api/info", "", "gradio_api/startup-events"):
            status, _, body = fetched(f"{url}{path}", **headers)
            assert status == 403 and body == b"Requests of other web sites are refused.", (path, headers)
    assert uploads(root) == []


def test_the_page_itself_links_to_it_and_programs_are_answered(running):
    root, _, url = running
    own = {"Origin": url.rstrip("/"), "Sec_Fetch_Site": "same-origin"}
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert fetched(url, **link)[0] == fetched(f"{url}config", **own)[0] == fetched(f"{url}config")[0] == 200
    for headers in (own, {"Origin": url.rstrip("/")}, {}):
        assert post_upload(url, **headers)[0] == 200, headers
        reply = fetched(f"{url}gradio_api/call/search", QUESTION, Content_Type="application/json", **headers)
        assert reply[0] == 200
    assert uploads(root) == ["evil.wav"] * 3 or set(uploads(root)) == {"evil.wav"}
    assert "1 to 1 of 1 files" in asked(url, "rain")


def test_a_page_that_others_reach_may_stand_in_a_frame_and_no_more():
    frame = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    assert is_foreign("GET", frame) and not is_foreign("GET", frame, framing=True)
    assert is_foreign("POST", frame, framing=True)
    assert is_foreign("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, framing=True)
    sent = {"origin": "http://sounds.example", "host": "127.0.0.1:7860"}
    assert is_foreign("POST", sent, framing=True)
    assert not is_foreign("POST", {**sent, "x-forwarded-host": "sounds.example"}, framing=True)


def test_uploads_have_a_limit_in_all(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    folder = UploadFolder()

    async def take(request):
        content = await request.body()
        number = len(list(folder.path.iterdir()))
        (folder.path / f"{number}.wav").write_bytes(content)
        return PlainTextResponse("taken")

    app = Starlette(
        routes=[Route("/gradio_api/upload", take, methods=["POST"])], middleware=[folder.limit(1)]
    )
    client = TestClient(app)
    assert [
        client.post("/gradio_api/upload", content=bytes(400_000)).status_code for _ in range(4)
    ] == [200, 200, 413, 413]  # fmt: skip
    assert (
        "At most 1 MB can be uploaded in all" in client.post("/gradio_api/upload", content=bytes(10**6)).text
    )
    # Without a length nobody knows how much comes.
    assert client.post("/gradio_api/upload", content=iter([b"x"])).status_code == 411
    assert folder.size() == 800_000
    folder.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_uploads_go_at_the_end_and_after_a_crash_at_the_next_start(running, tmp_path):
    root, _, _ = running
    place = tmp_path / "uploads"
    env = {
        **environment(),
        "GRADIO_TEMP_DIR": str(place),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "PYTHONUNBUFFERED": "1",
    }
    env["http_proxy"] = env["HTTPS_PROXY"] = env["HTTP_PROXY"]

    def start() -> tuple[subprocess.Popen, str]:
        command = [sys.executable, "-m", "auricle", "serve", str(root / "index")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        return process, process.stdout.readline().split(" ")[0]

    def kept() -> list[str]:
        return [path.name for path in place.rglob("*.wav")]

    running_processes = []
    try:
        crashed, url = start()
        running_processes.append(crashed)
        # A proxy in the environment is no way to the page, and no trouble.
        assert post_upload(url)[0] == 200 and kept() == ["evil.wav"]
        crashed.kill()
        crashed.wait()
        assert kept() == ["evil.wav"]
        other, url = start()
        running_processes.append(other)
        assert kept() == []
        # One that is in use stays.
        assert post_upload(url)[0] == 200
        third, _ = start()
        running_processes.append(third)
        assert kept() == ["evil.wav"]
        for process, number, code in ((other, signal.SIGTERM, 143), (third, signal.SIGINT, 130)):
            process.send_signal(number)
            assert process.wait(60) == code
        assert kept() == [] and not list(place.glob("auricle-*"))
    finally:
        for process in running_processes:
            process.kill()
            process.wait()
            process.stdout.close()


def test_a_busy_port_and_a_strange_address_are_told_in_words(running):
    _, index, _ = running
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SearchError, match=f"--port {port}: another program uses this port; give another"):
            serve(index, port=port)
    with pytest.raises(SearchError, match=r"--host 192\.0\.2\.1: not an address of this machine"):
        serve(index, host="192.0.2.1")
