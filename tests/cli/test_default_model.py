"""The README's first commands for a stranger: no model named, an empty cache, then offline, then a newer commit."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Commit, Repo, hub_server
from public_models import save_clap
from tiny_models import write_sound

from auricle.encoders.default_model import DEFAULT_MODEL

pytest.importorskip("lancedb")


class Stranger:
    """Runs commands with a cache of their own against a Hub on loopback."""

    def __init__(self, url: str, home: Path):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        self.env = {**kept, "HF_ENDPOINT": url, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1"}
        self.home = home

    def run(self, *arguments, code=0, **env):
        done = subprocess.run(
            [sys.executable, "-m", "auricle", *map(str, arguments)],
            env={**self.env, **env},
            cwd=self.home,
            text=True,
            capture_output=True,
        )
        assert done.returncode == code, done.stderr
        return done


def files_of(folder: Path) -> dict[str, bytes]:
    card = b"---\nlicense: apache-2.0\n---\nA tiny CLAP.\n"
    return {"README.md": card} | {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def commits(tmp_path_factory):
    """Two commits of a tiny CLAP, with different weights."""
    made = []
    for seed in (0, 1):
        folder = tmp_path_factory.mktemp(f"clap{seed}")
        save_clap(folder, seed=seed)
        made.append(Commit(hashlib.sha1(bytes([seed])).hexdigest(), f"commit {seed}", files_of(folder)))
    return made


@pytest.mark.slow
def test_a_stranger_indexes_and_searches_without_naming_a_model(commits, tmp_path):
    first, second = commits
    for number in range(3):
        write_sound(tmp_path / f"sounds/{number}.wav", 1.5 + number, 44_100, seed=number)
    with hub_server() as server:
        repo = Repo(False, {first.oid: first}, {"main": first.oid})
        server.repos["models", DEFAULT_MODEL] = repo
        stranger = Stranger(server.url, tmp_path)
        # The Hub's client draws its bars on terminals only, or where it is asked to.
        made = stranger.run("index", "sounds", TQDM_POSITION="-1")
        assert f"using {DEFAULT_MODEL} (license apache-2.0, downloading" in made.stderr
        assert "model.safetensors" in made.stderr  # its bar
        assert "3 added" in made.stdout
        record = json.loads((tmp_path / "sounds.auricle/index.json").read_text())
        assert record["model"] == DEFAULT_MODEL and record["settings"]["revision"] == first.oid
        expected = stranger.run("search", "a dog barks", "--json").stdout
        assert len(json.loads(expected)) == 3

        # The repository moves on: the index goes on with its commit, also for new files.
        repo.commits[second.oid], repo.refs["main"] = second, second.oid
        assert stranger.run("search", "a dog barks", "--json").stdout == expected
        write_sound(tmp_path / "sounds/new.wav", 1.0, 44_100, seed=9)
        again = stranger.run("index", "sounds")
        assert "1 added, 0 changed" in again.stdout and "using" not in again.stderr
        answers = stranger.run("search", "a dog barks", "--json").stdout
    # Nobody answers any more.
    assert stranger.run("search", "a dog barks", "--json", HF_HUB_OFFLINE="1").stdout == answers
    offline = stranger.run("index", "sounds", HF_HUB_OFFLINE="1")
    assert "4 unchanged" in offline.stdout


@pytest.mark.slow
def test_without_the_hub_and_a_cache_the_ways_out_are_named(tmp_path):
    write_sound(tmp_path / "sounds/a.wav", 1.0, 44_100)
    done = Stranger("http://127.0.0.1:9", tmp_path).run("index", "sounds", code=2, HF_HUB_OFFLINE="1")
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {DEFAULT_MODEL}: ") and "auricle convert retrieval" in last
    assert "make demo" in last and "--model" in last
    assert not (tmp_path / "sounds.auricle").exists()
