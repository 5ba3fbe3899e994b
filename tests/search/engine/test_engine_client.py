"""How commands find an engine: port file, lock and token; and everything for which they go without."""

import json
import os
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from engines import PLAIN, start
from tiny_recipes import environment

from auricle.search.engine import port_file
from auricle.search.engine.client import ask_engine
from auricle.search.engine.index_identity import index_identity
from auricle.search.engine.port_file import (
    EngineAddress,
    EngineRegistration,
    engine_options,
    running_engine,
    runtime_folder,
)
from auricle.search.errors import SearchError
from auricle.search.sound_index import SoundIndex

QUESTION = {"query": "a dog barks", "top": 3}


@pytest.fixture
def own_folder(running, monkeypatch, tmp_path):
    """A runtime folder without a file yet."""
    monkeypatch.setenv("AURICLE_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def at_home(running, monkeypatch):
    """The runtime folder of the running engine."""
    monkeypatch.setenv("AURICLE_RUNTIME_DIR", str(running.root / "run"))


def found(running, question=QUESTION, options=PLAIN, kind="search"):
    return ask_engine(str(running.root / "index"), kind, question, options)


def registered(place, running, **changes) -> EngineRegistration:
    """A registration as the running engine's, but for some fields."""
    port = int(running.url.rsplit(":", 1)[1].strip("/"))
    known = EngineRegistration(place)
    address = EngineAddress("127.0.0.1", port, os.getpid(), running.token, known.index, PLAIN)
    known.publish(replace(address, **changes))
    return known


def test_an_engine_answers_what_the_index_answers(running, at_home):
    hits, why, notes = found(running)
    assert hits == running.index.search(**QUESTION) and hits and why == notes == []
    path = str(running.root / "private" / "secret.wav")
    assert found(running, {"path": path}, kind="similar")[0] == running.index.similar(path)
    asked = {"path": path, "query": "rain", "top": None}
    assert found(running, asked, kind="moments")[0] == running.index.moments(path, "rain")
    assert "tokens; the model reads the first" in found(running, {"query": "rain " * 60}).notes[0]
    assert (
        found(running, {"query": "rain", "tag": "Rain"}).why_empty[0].startswith("--tag Rain matches no file")
    )
    with pytest.raises(SearchError, match=r"^The query is empty; it has no word to search for\.$"):
        found(running, {"query": " "})
    link = running.root / "a link"
    link.symlink_to(running.root / "index")
    assert ask_engine(str(link), "search", QUESTION, PLAIN)[0] == hits


def test_the_port_file_is_the_users_alone(running, at_home):
    (path,) = runtime_folder().glob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert set(json.loads(path.read_text())) == {
        "host", "port", "pid", "token", "index", "options", "version",
    }  # fmt: skip
    for place, mode in ((path, 0o644), (path.parent, 0o755)):
        before = stat.S_IMODE(place.stat().st_mode)
        place.chmod(mode)
        assert found(running) is None, place
        place.chmod(before)
    assert found(running) is not None


@pytest.mark.parametrize(
    "options",
    [
        engine_options(text_tower=None, template="a {}", trust_remote_code=False),
        engine_options(text_tower="tower", template=None, trust_remote_code=False),
        engine_options(text_tower=None, template=None, trust_remote_code=True),
    ],
)
def test_other_options_are_not_asked(running, at_home, options):
    assert found(running, options=options) is None


def test_no_engine_is_no_word(running, own_folder, tmp_path):
    assert found(running) is None and not own_folder.exists()
    assert ask_engine(str(tmp_path / "no index"), "search", QUESTION, PLAIN) is None
    assert ask_engine("s3://bucket/index", "search", QUESTION, PLAIN) is None


@pytest.mark.parametrize(
    "changes", [{"token": "wrong"}, {"version": "0.0.1"}, {"port": 1}, {"index": "/other"}]
)
def test_an_engine_that_cannot_be_used_is_no_word(running, own_folder, changes):
    known = registered(running.root / "index", running, **changes)
    assert found(running) is None
    known.close()
    known = registered(running.root / "index", running)
    assert found(running) is not None
    known.close()
    assert found(running) is None and not list(own_folder.glob("*.json"))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"port": 1}', "null", "\udcff"])
def test_a_damaged_port_file_is_no_word(running, own_folder, content):
    known = registered(running.root / "index", running)
    (path,) = own_folder.glob("*.json")
    path.write_text(content, errors="surrogateescape")
    assert found(running) is None
    known.close()


def test_another_index_in_its_place_is_no_word(running, own_folder, model, tmp_path):
    SoundIndex.create(tmp_path / "index", model, hop_seconds=0.25)
    known = registered(tmp_path / "index", running)
    assert ask_engine(str(tmp_path / "index"), "search", QUESTION, PLAIN) is None
    known.close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"hello"),
        (200, b""),
        (200, b"{}"),
        (200, b"[1]"),
        (200, b'{"results": [{}], "why_empty": [], "notes": []}'),
        (400, b"[]"),
        (400, b"{}"),
        (500, b"{}"),
    ],
)
def test_another_server_at_the_port_is_no_word(running, own_folder, status, body):
    class Other(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    known = registered(running.root / "index", running, port=server.server_port)
    try:
        assert found(running) is None
    finally:
        known.close()
        server.shutdown()
        server.server_close()


def test_a_proxy_is_no_way_to_the_engine(running, at_home, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert found(running) is not None


def test_of_two_engines_the_first_one_keeps_its_port_file(running, at_home):
    before = running_engine(running.root / "index")
    second = start(running.root / "index")
    try:
        assert second.note.startswith("another engine already serves this index (process ")
        assert running.url.rstrip("/") in second.note and "\n" not in second.note
        assert running_engine(running.root / "index") == before
    finally:
        second.close()
    # The second one's end takes nothing of the first one's away.
    assert running_engine(running.root / "index") == before and found(running) is not None


def test_a_folder_that_others_can_read_is_told(running, own_folder):
    own_folder.mkdir()
    own_folder.chmod(0o755)
    with pytest.raises(SearchError, match=r"must be a folder that only this user can access \(mode 0700\)"):
        EngineRegistration(running.root / "index")


def test_a_killed_engine_leaves_a_file_that_nobody_believes(running, own_folder):
    index = str(running.root / "index")
    script = (
        "import os, sys\n"
        "from auricle.search.engine.port_file import EngineAddress, EngineRegistration\n"
        "known = EngineRegistration(sys.argv[1])\n"
        "known.publish(EngineAddress('127.0.0.1', int(sys.argv[2]), os.getpid(), sys.argv[3], known.index,"
        " {'text_tower': None, 'template': None, 'trust_remote_code': False}))\n"
        "print('known', flush=True)\n"
        "sys.stdin.read()\n"
    )
    # Another server listens at its port by now, and takes the same token: the lock alone tells.
    port = running.url.rsplit(":", 1)[1].strip("/")
    command = [sys.executable, "-c", script, index, port, running.token]
    engine = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert engine.stdout.readline() == "known\n"
    assert found(running) is not None
    engine.kill()
    engine.wait()
    engine.stdin.close()
    engine.stdout.close()
    assert list(own_folder.glob("*.json")) and found(running) is None
    known = registered(index, running)
    assert found(running) is not None
    known.close()


def test_a_system_without_locks_does_without(running, at_home, monkeypatch):
    monkeypatch.setattr(port_file, "fcntl", None)
    assert found(running) is None
    with pytest.raises(SearchError, match="commands cannot use an engine on this system"):
        EngineRegistration(running.root / "index")


def test_the_folder_is_in_the_users_runtime_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("AURICLE_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder() == tmp_path / "auricle"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    assert runtime_folder().name == f"auricle-{os.getuid()}"


def test_the_identity_is_that_of_how_an_index_is_made(model, tmp_path):
    first, second = SoundIndex.create(tmp_path / "a", model), SoundIndex.create(tmp_path / "b", model)
    same = index_identity(tmp_path / "a")
    first.store.remember_model("/elsewhere", "abc")
    assert index_identity(tmp_path / "a") == same is not None
    # Equal settings, another table.
    assert index_identity(tmp_path / "b") != same
    record = Path(tmp_path / "b" / "index.json")
    before = index_identity(tmp_path / "b")
    for changed in ({"fingerprint": "x"}, {"settings": {"precision": "bfloat16"}}, {"hop_seconds": 0.1}):
        record.write_text(json.dumps({**second.store.record, **changed}))
        assert index_identity(tmp_path / "b") not in (before, None)
    for damaged in ("", "[]", "3", '{"settings": 3}'):
        record.write_text(damaged)
        assert index_identity(tmp_path / "b") is None
    assert index_identity(tmp_path / "none") is None


def test_asking_imports_nothing_heavy():
    script = (
        "import sys\n"
        "import auricle.cli.main, auricle.cli.search, auricle.cli.similar, auricle.cli.moments\n"
        "import auricle.search.engine.client, auricle.search.query.metadata_pairs\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pyarrow', 'lancedb', 'pydantic', 'fastapi', 'filelock'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment())
    assert done.stdout == "[]\n", done.stderr


def test_an_engine_at_another_loopback_address_is_found(running, own_folder):
    for host in ("127.0.0.2", "::1"):
        try:
            other = start(running.root / "index", host=host)
        except SearchError:
            continue  # a machine without IPv6
        try:
            assert other.note == "" and found(running).hits == running.index.search(**QUESTION), host
        finally:
            other.close()


def test_a_port_belongs_to_one_server_as_soon_as_it_is_taken():
    from auricle.search.engine.server import _listening

    one, other = _listening("127.0.0.1", None), _listening("127.0.0.1", None)
    try:
        assert one.getsockname() != other.getsockname()
    finally:
        one.close()
        other.close()
