"""A cluster of two Ray nodes on loopback: what it indexes and answers is what one process indexes and answers."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sound_libraries import library
from tiny_models import saved_tiny_model
from tiny_recipes import environment

from auricle.search.sound_index import SoundIndex

pytest.importorskip("lancedb")
pytest.importorskip("ray")
pytest.importorskip("lance_ray")
DRILL = Path(__file__).with_name("ray_cluster_drill.py")
# Ray takes the first address that is not loopback: in a network of its own there is none. Its processes outlive
# what started them: those of a process namespace end with the first of them.
NAMESPACE = [
    *("unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("sh", "-c", 'ip link set lo up && exec "$@"', "sh"),
]


def can_make_a_network() -> bool:
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not can_make_a_network(), reason="needs unshare and ip, and the right to use them"),
    pytest.mark.timeout(600),
]


def drill(folder: Path, model: Path, folders: list[Path]) -> dict:
    process = subprocess.Popen(
        [*NAMESPACE, sys.executable, str(DRILL), str(folder), str(model), *map(str, folders)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(RAY_DISABLE_IMPORT_WARNING="1", RAY_USAGE_STATS_ENABLED="0"),
    )
    try:
        out, err = process.communicate(timeout=500)
    finally:
        process.kill()
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


def test_a_cluster_answers_as_one_machine_does(tmp_path):
    saved_tiny_model(tmp_path / "model", projection_dim=16)
    folders = [library(tmp_path / name, count) for name, count in (("one", 40), ("two", 80))]
    # The paths of Ray's sockets may be 107 bytes long.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:
        found = drill(Path(folder), tmp_path / "model", folders)
    assert found["nodes"] == 2
    # Each node built the index of its share of the rows.
    assert len(found["segments"]) == 2 and all(len(pieces) == 1 for pieces in found["segments"])
    alone, together = found["alone"], found["together"]
    assert alone["approximate"] and together["approximate"] and len(alone["vectors"]) == 120
    assert together["vectors"] == alone["vectors"]
    assert together["answers"] == alone["answers"] and all(
        len(hits) == 8 for hits in alone["answers"].values()
    )
    assert together["filtered"] == alone["filtered"] and alone["filtered"]
    # The table of a cluster is a table like any other.
    assert found["read_by_one"] == together


def test_no_cluster_at_the_address_is_one_line(tmp_path):
    saved_tiny_model(tmp_path / "model")
    folder = library(tmp_path / "sounds", 2)
    SoundIndex.create(tmp_path / "index", str(tmp_path / "model")).update([folder], progress=False)
    command = [sys.executable, "-m", "auricle", "search", "rain", "--index", str(tmp_path / "index")]
    done = subprocess.run(
        [*command, "--ray", "127.0.0.1:6391"], capture_output=True, text=True, env=environment(), timeout=120
    )
    assert done.returncode == 2 and "--ray 127.0.0.1:6391: cannot connect to a Ray cluster" in done.stderr
    assert "Traceback" not in done.stderr
