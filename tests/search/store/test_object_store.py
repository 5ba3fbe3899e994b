"""An index in an object store: a server that speaks S3 on loopback, and two writers at once."""

import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from sound_libraries import contents, library
from tiny_models import saved_tiny_model
from tiny_recipes import environment

from auricle.search.sound_index import SearchError, SoundIndex

pytest.importorskip("lancedb")
pytest.importorskip("moto.server")
boto3 = pytest.importorskip("boto3")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    log = tmp_path_factory.mktemp("s3") / "log.txt"
    with log.open("w") as output:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment())
    end = time.monotonic() + 60
    while not (found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text())):
        assert time.monotonic() < end and server.poll() is None, log.read_text()
        time.sleep(0.1)
    settings = {
        "AWS_ENDPOINT_URL": found.group(1),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        # Set by the index itself for an endpoint without TLS; taken back at the end.
        patch.setenv("AWS_ALLOW_HTTP", "true")
        boto3.client("s3").create_bucket(Bucket="sounds")
        yield "s3://sounds"
    server.terminate()
    server.wait()


def index_command(folder, model, place):
    command = [sys.executable, "-m", "auricle", "index", str(folder), "--model", str(model)]
    return [*command, "--index", place, "--no-progress"]


def test_two_writers_at_once_lose_nothing(bucket, tmp_path):
    saved_tiny_model(tmp_path / "model")
    folders = [library(tmp_path / name, 25) for name in ("one", "two")]
    place = f"{bucket}/shared"
    writers = [
        subprocess.Popen(
            index_command(folder, tmp_path / "model", place),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        for folder in folders
    ]
    for writer in writers:
        out, err = writer.communicate(timeout=240)
        assert writer.returncode == 0, err
        assert out.startswith("25 added"), (out, err)
    alone = SoundIndex.create(tmp_path / "alone", str(tmp_path / "model"))
    alone.update(folders, progress=False)
    together, expected = contents(SoundIndex(place)), contents(alone)
    assert together.keys() == expected.keys() and len(expected) == 50
    # Whose turn a file came in decides nothing about its vectors.
    assert all(np.array_equal(together[path][1].vectors, expected[path][1].vectors) for path in expected)
    answers = SoundIndex(place).search("a dog barks", top=5)
    assert [(hit.path, hit.score) for hit in answers] == [
        (hit.path, hit.score) for hit in alone.search("a dog barks", top=5)
    ]
    again = SoundIndex(place).update(folders, progress=False)
    assert (again.unchanged, again.windows, again.removed) == (50, 0, 0)


def test_what_is_gone_leaves_it_and_what_is_wrong_is_said(bucket, tmp_path):
    saved_tiny_model(tmp_path / "model")
    folder = library(tmp_path / "sounds", 4)
    index = SoundIndex.create(f"{bucket}/changing", str(tmp_path / "model"))
    index.update([folder], progress=False)
    os.remove(folder / "rain" / "it's.wav")
    assert SoundIndex(f"{bucket}/changing").update([folder], progress=False).removed == 1
    assert len(SoundIndex(f"{bucket}/changing")) == 3
    with pytest.raises(SearchError, match="not an index"):
        SoundIndex(f"{bucket}/nothing")
    with pytest.raises(SearchError, match="no-such-bucket"):
        SoundIndex.create("s3://no-such-bucket/index", str(tmp_path / "model"))
