"""What questions of programs leave in a server's memory: each is a visitor of its own."""

import json
import os
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")
psutil = pytest.importorskip("psutil")

from tiny_models import saved_tiny_model, write_sound  # noqa: E402
from tiny_recipes import environment  # noqa: E402

from auricle.search.sound_index import SoundIndex  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
# 10,000 take many minutes: fewer are asked by default, of which each used to leave 0.37 MB.
CALLS = int(os.environ.get("AURICLE_PAGE_CALLS", "600"))
MOST_MEGABYTES = 50
# Until imports, caches and the sessions that are kept have their usual size.
WARM_UP = 150


def test_many_questions_add_little(tmp_path):
    saved_tiny_model(tmp_path / "model")
    for number in range(30):
        write_sound(tmp_path / "sounds" / f"{number}.wav", 0.5, seed=number)
    SoundIndex.create(tmp_path / "index", str(tmp_path / "model")).update(
        [tmp_path / "sounds"], progress=False
    )
    command = [sys.executable, "-u", "-m", "auricle", "serve", str(tmp_path / "index")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        url = server.stdout.readline().split(" ")[0]
        process = psutil.Process(server.pid)

        def ask(number: int) -> None:
            data = [f"a dog barks {number % 7}", "", False, "", "", 0, 0, -1, "", ""]
            body = json.dumps({"data": data, "session_hash": f"visitor{number}"}).encode()
            request = urllib.request.Request(
                f"{url}gradio_api/run/search", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=120) as reply:
                assert "audio" in reply.read().decode()

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
