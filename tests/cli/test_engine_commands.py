"""`auricle search`, `similar` and `moments` beside a running engine: the same output, and no model loaded."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("lancedb")

from engines import ask, start
from sound_libraries import library
from tiny_models import saved_tiny_model
from tiny_recipes import environment
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.cli.quick_start import ask_at_once
from auricle.search.index_encoder import IndexEncoder
from auricle.search.sound_index import SoundIndex


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    root = tmp_path_factory.mktemp("commands")
    saved_tiny_model(root / "model")
    SoundIndex.create(root / "index", str(root / "model")).update(
        [library(root / "sounds", 8)], progress=False
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AURICLE_RUNTIME_DIR", str(root / "run"))
        patch.chdir(root)
        running = start(root / "index")
        running.root = root
        # Its model is loaded, with what that prints.
        assert ask(running.url, "api/v1/search?query=rain")[0] == 200
        yield running
        running.close()


def run(*arguments: str):
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.stdout, done.stderr


def at_once(capsys, *arguments: str):
    code = ask_at_once(arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.fixture
def no_model(served, monkeypatch):
    """Every encoder that a command makes counts; the engine has made its own."""
    made = []
    before = IndexEncoder.__init__

    def count(self, *arguments, **options):
        made.append(self)
        before(self, *arguments, **options)

    monkeypatch.setattr(IndexEncoder, "__init__", count)
    return made


QUESTIONS = [
    ("search", "a dog barks", "--json"),
    ("search", "a dog barks"),
    ("search", "rain", "--top", "3", "--negative", "wind", "--names", "--rank", "clip", "--json"),
    ("search", "rain", "--tag", "Rain"),
    ("search", "rain", "--path", "nope/*", "--json"),
    ("search", "rain", "--min-score", "5"),
    ("search", "rain", "--in", "sounds/e.wav", "--json"),
    ("search", "rain", "--min-duration", "1", "--max-duration", "2", "--exact", "--json"),
    ("search", "rain", "--rank", "best"),
    ("search", "rain", "--metadata", "wood"),
    ("similar", "sounds/e.wav", "--json"),
    ("similar", "sounds/e.wav", "--start", "0.5", "--end", "1.5", "--rank", "window", "--json"),
    ("similar", "sounds/not there.wav"),
    ("similar", "sounds/e.wav", "--start", "3", "--end", "2"),
    ("moments", "sounds/e.wav", "rain", "--json"),
    ("moments", "sounds/e.wav", "rain", "--hop", "0.25", "--top", "1"),
    ("moments", "sounds/e.wav", "rain", "--edges", "frames"),
]


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_what_is_printed_is_the_same(served, no_model, capsys, question):
    asked = [*question, "--index", "index"]
    by_engine, quick = run(*asked), at_once(capsys, *asked)
    # What the API refuses, the command refuses itself, in its own words.
    itself = 2 if "best" in question else 0
    assert len(no_model) == itself
    assert by_engine == run(*asked, "--no-server") and quick == by_engine
    # What is no filter is seen before anything is opened.
    assert len(no_model) == itself + ("--metadata" not in question)


def test_a_question_that_is_cut_is_told(served, no_model, caplog):
    asked = ("search", "a dog barks and then it rains " * 20, "--index", "index", "--json")
    code, out, told = run(*asked)
    assert code == 0 and "tokens; the model reads the first" in told and not no_model
    caplog.clear()
    assert run(*asked, "--no-server")[:2] == (0, out)
    assert f"{caplog.messages[-1]}\n" == told


def test_exports_are_the_same(served, no_model, tmp_path):
    for name in ("a.csv", "a.json", "a.m3u"):
        for place, more in ((tmp_path / "warm", []), (tmp_path / "cold", ["--no-server"])):
            place.mkdir(exist_ok=True)
            asked = ("search", "a dog barks", "--index", "index", "--export", str(place / name))
            assert run(*asked, *more)[0] == 0
        assert (tmp_path / "warm" / name).read_bytes() == (tmp_path / "cold" / name).read_bytes()
    assert len(no_model) == 3


@pytest.mark.parametrize(
    "more", [("--template", "a {}"), ("--no-server",), ("--model", "model")], ids=" ".join
)
def test_other_options_open_the_index(served, no_model, more):
    code, out, err = run("search", "rain", "--index", "index", "--json", *more)
    assert code == 0 and len(json.loads(out)) == 8 and not err and len(no_model) == 1


def test_many_questions_open_the_index(served, no_model, tmp_path):
    (tmp_path / "questions.txt").write_text("rain\n")
    code, _, _ = run("search", "--from", str(tmp_path / "questions.txt"), "--index", "index", "--json")
    assert code == 0 and len(no_model) == 1


def test_a_dead_engine_is_no_word(served, no_model):
    expected = run("search", "rain", "--index", "index", "--json")
    (path,) = (served.root / "run").glob("*.json")
    before = path.read_text()
    try:
        for changes in ({"port": 1}, {"token": "wrong"}):
            path.write_text(json.dumps(json.loads(before) | changes))
            del no_model[:]
            assert run("search", "rain", "--index", "index", "--json") == expected and len(no_model) == 1
    finally:
        path.write_text(before)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("only", [["--api-only"], []])
def test_a_server_is_found_and_gone_at_its_end(served, tmp_path, only):
    if not only:
        pytest.importorskip("gradio")
    run_dir = tmp_path / "run"
    env = environment(AURICLE_RUNTIME_DIR=str(run_dir), PYTHONUNBUFFERED="1")
    index = str(served.root / "index")
    asked = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "auricle",
        "search",
        "rain",
        "--index",
        index,
        "--json",
    ]

    def ask() -> tuple[list, set[str]]:
        done = subprocess.run(asked, capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stderr
        imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
        return json.loads(done.stdout), imported

    serve = [sys.executable, "-m", "auricle", "serve", index, *only]
    servers = []
    try:
        for _ in range(2):
            servers.append(
                subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
            )
            assert servers[-1].stdout.readline().startswith("http://127.0.0.1:")
        warm, imported = ask()
        assert not {"torch", "numpy", "pyarrow", "pydantic", "lancedb"} & imported
        servers[1].send_signal(signal.SIGTERM)
        _, told = servers[1].communicate(timeout=60)
        assert told.startswith("note: another engine already serves this index (process ")
        assert not {"torch", "numpy"} & ask()[1]
        servers[0].send_signal(signal.SIGINT)
        _, told = servers[0].communicate(timeout=60)
        assert servers[0].returncode == 130 and told == "interrupted\n"
        assert not list(Path(run_dir).glob("*.json"))
        cold, imported = ask()
        assert cold == warm and "numpy" in imported
    finally:
        for server in servers:
            server.kill()
            server.wait()
            server.stdout.close()
            server.stderr.close()
    assert os.listdir(run_dir)
