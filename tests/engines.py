"""An engine on loopback for the tests, and how to ask it."""

import json
import urllib.error
import urllib.request
from dataclasses import asdict
from types import SimpleNamespace

from auricle.search.engine.engine import Engine
from auricle.search.engine.port_file import engine_options
from auricle.search.engine.server import EngineServer
from auricle.search.page.hosts import host_check
from auricle.search.sound_index import SoundIndex

PLAIN = engine_options(text_tower=None, template=None, trust_remote_code=False)


def ask(url: str, path: str, body=None, *, method=None, **headers: str):
    """Status and JSON of an answer; headers are named with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    if data is not None:
        named = {"Content-Type": "application/json", **named}
    request = urllib.request.Request(f"{url}{path}", data, named, method=method)
    try:
        reply = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        reply = error
    with reply:
        content = reply.read()
    try:
        return reply.status, json.loads(content)
    except ValueError:
        return reply.status, content.decode()


def rows(hits) -> list[dict]:
    """Answers of an index as the API gives them."""
    return json.loads(json.dumps([asdict(hit) for hit in hits]))


def start(index_dir, *, mcp=False, options=PLAIN, host="127.0.0.1", port=None) -> SimpleNamespace:
    """A running engine, which ends with ``close()``."""
    engine = Engine(lambda: SoundIndex(index_dir), options, mcp=mcp)
    server = EngineServer(engine, host=host, port=port, middleware=host_check(host))
    note = engine.start(server.url)

    def close():
        engine.close()
        server.close()

    return SimpleNamespace(engine=engine, url=server.url, note=note, token=engine._token, close=close)
