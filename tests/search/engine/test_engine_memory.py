"""What questions of programs to the JSON API leave in an engine's memory."""

import json
import os
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("lancedb")
psutil = pytest.importorskip("psutil")

from tiny_models import saved_tiny_model, write_sound  # noqa: E402
from tiny_recipes import environment  # noqa: E402

from auricle.search.sound_index import SoundIndex  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
CALLS = int(os.environ.get("AURICLE_ENGINE_CALLS", "2000"))
MOST_MEGABYTES = 50
WARM_UP = 150


def test_many_questions_add_little(tmp_path):
    saved_tiny_model(tmp_path / "model")
    for number in range(30):
        write_sound(tmp_path / "sounds" / f"{number}.wav", 0.5, seed=number)
    SoundIndex.create(tmp_path / "index", str(tmp_path / "model")).update(
        [tmp_path / "sounds"], progress=False
    )
    command = [sys.executable, "-u", "-m", "auricle", "serve", str(tmp_path / "index"), "--api-only"]
    env = environment(AURICLE_RUNTIME_DIR=str(tmp_path / "run"))
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    try:
        url = server.stdout.readline().split(" ")[0]
        process = psutil.Process(server.pid)

        def ask(number: int) -> None:
            body = json.dumps({"query": f"a dog barks {number % 7}"}).encode()
            request = urllib.request.Request(
                f"{url}api/v1/search", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=120) as reply:
                assert len(json.load(reply)["results"]) == 10

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(ask, range(WARM_UP)))
            before = process.memory_info().rss
            list(pool.map(ask, range(WARM_UP, WARM_UP + CALLS)))
        added = (process.memory_info().rss - before) / 1e6
        if "AURICLE_MEMORY_REPORT" in os.environ:
            Path(os.environ["AURICLE_MEMORY_REPORT"]).write_text(f"{before / 1e6:.0f} MB, {added:+.1f} MB\n")
        assert added < MOST_MEGABYTES, f"{added:.1f} MB were added to {before / 1e6:.0f} MB"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
