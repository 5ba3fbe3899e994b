"""Another web site in a real browser, at another loopback name and port: it writes no byte and reads nothing."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
pytest.importorskip("selenium")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from browser import ask, browser, marks, shown, until
from pages import addresses
from tiny_models import saved_tiny_model, write_sound

from auricle.search.page.app import serve
from auricle.search.sound_index import SoundIndex

pytestmark = marks
REFUSAL = "403 Requests of other web sites are refused."
# Each attempt says what it got; a request without CORS says only that it was sent.
ATTACK = """<!doctype html><title>other site</title><script>
const target = TARGET, sound = SOUND, told = {};
const attempt = async (name, run) => {
  try { told[name] = String(await run()).slice(0, 80) } catch (error) { told[name] = "refused" }
};
const body = () => { const data = new FormData(); data.append("files", new Blob(["x".repeat(5000)]), "evil.wav"); return data };
const question = JSON.stringify({ data: ["a dog barks", "", false, "", "", 0, 0, -1, "", ""] });
const text = async (reply) => (await reply).status + " " + await (await reply).text();
const element = (tag) => new Promise((done) => {
  const made = document.createElement(tag);
  made.onloadedmetadata = made.onload = () => done("loaded");
  made.onerror = () => done("refused");
  made.src = tag === "script" ? target + "config" : sound;
  document.body.append(made);
});
onload = async () => {
  await attempt("upload", () => fetch(target + "gradio_api/upload", { method: "POST", body: body(), mode: "no-cors" }));
  await attempt("ask", () => fetch(target + "gradio_api/call/search", { method: "POST", body: question, mode: "no-cors" }));
  await attempt("upload and read", () => text(fetch(target + "gradio_api/upload", { method: "POST", body: body() })));
  await attempt("ask and read", () => text(fetch(target + "gradio_api/run/search", {
    method: "POST", body: question, headers: { "Content-Type": "application/json" } })));
  await attempt("read config", () => text(fetch(target + "config")));
  await attempt("read page", () => text(fetch(target)));
  await attempt("read sound", () => text(fetch(sound)));
  await attempt("play sound", () => element("audio"));
  await attempt("run config", () => element("script"));
  const frame = document.createElement("iframe");
  frame.name = "frame"; frame.src = target;
  document.body.append(frame);
  await new Promise((done) => { frame.onload = done });
  const form = document.createElement("form");
  form.method = "post"; form.action = target + "gradio_api/upload"; form.enctype = "multipart/form-data"; form.target = "frame";
  const field = document.createElement("textarea"); field.name = "files"; form.append(field); document.body.append(form);
  form.submit();
  await new Promise((done) => { frame.onload = done });
  window.told = told;
};
</script><body></body>"""  # noqa: E501 (a page)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("attacked")
    saved_tiny_model(root / "model")
    for number in range(2):
        write_sound(root / "sounds" / f"{number}.wav", 1.0, seed=number)
    index = SoundIndex.create(root / "index", str(root / "model"))
    index.update([root / "sounds"], progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(root / "uploads"))
        running = serve(index)
        yield root, index, running.local_url
        running.close()


# For 127.0.0.1, localhost is another site; another port of 127.0.0.1 is another origin of the same one.
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_another_site_writes_and_reads_nothing(page, tmp_path, name):
    root, index, url = page
    sound = addresses(url, "a dog barks")[0]
    content = ATTACK.replace("TARGET", f'"{url}"').replace("SOUND", f'"{sound}"').encode()

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments) -> None:
            pass

    site = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    try:
        with browser(tmp_path / "profile", 1280, 1000) as driver:
            driver.get(f"http://{name}:{site.server_port}/")
            told = until(lambda: driver.execute_script("return window.told"), "the other site's attempts")
            # Without CORS nobody is told whether it was taken.
            assert told.pop("upload") == told.pop("ask") == "[object Response]"
            assert len(told) == 7 and set(told.values()) <= {"refused", REFUSAL}, told
            after = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
            assert after == before and not list((root / "uploads").rglob("*.wav"))
            # The page itself goes on, also when a link leads to it.
            driver.execute_script(f"location.href = '{url}'")
            ask(driver, "a dog barks")
            shown(driver, index.search("a dog barks"))
    finally:
        site.shutdown()
        site.server_close()
