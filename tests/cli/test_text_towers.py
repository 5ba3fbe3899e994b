"""`auricle search --text-tower auto`: exported at the first query, without torch from then on."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from sound_libraries import library
from tiny_models import saved_tiny_model
from tiny_recipes import environment
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.search.encoder_settings import EncoderSettings
from auricle.search.sound_index import SoundIndex

for package in ("lancedb", "onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package)
ASK = ["search", "a dog barks", "--no-server", "--json"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model and an index of it, and an empty cache."""
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    saved_tiny_model(tmp_path / "model")
    make(tmp_path, "index")
    return tmp_path


def make(place, name, **settings):
    index = SoundIndex.create(place / name, str(place / "model"), settings=EncoderSettings(**settings))
    index.update([library(place / "sounds", 4)], progress=False)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def towers(place):
    return sorted(path.name for path in (place / "cache" / "text_towers").glob("*") if path.is_dir())


def test_the_second_query_needs_neither_torch_nor_the_model(place):
    plain = json.loads(run(*ASK, "--index", place / "index").stdout)
    first = run(*ASK, "--index", place / "index", "--text-tower", "auto")
    assert first.exit_code == 0, first.output
    assert "exporting the text tower to" in first.stderr
    shutil.rmtree(place / "model")
    code = (
        "import sys\n"
        f"sys.argv = ['auricle', *{ASK!r}, '--index', {str(place / 'index')!r}, '--text-tower', 'auto']\n"
        "from auricle.cli.main import app\n"
        "app(standalone_mode=False)\n"
        "assert not {'torch', 'transformers', 'lancedb', 'pandas'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code]
    second = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    assert "exporting" not in second.stderr
    for found in (json.loads(first.stdout), json.loads(second.stdout)):
        assert [hit["path"] for hit in found] == [hit["path"] for hit in plain]
        scores = [[hit["score"] for hit in hits] for hits in (found, plain)]
        assert np.allclose(*scores, atol=2e-5, rtol=0)
    assert len(towers(place)) == 1


@pytest.mark.slow
def test_an_index_of_first_dimensions_has_its_own(place):
    saved_tiny_model(place / "model", matryoshka_dims=[8, 12])
    make(place, "narrow", truncate_dim=8)
    plain = json.loads(run(*ASK, "--index", place / "narrow").stdout)
    found = run(*ASK, "--index", place / "narrow", "--text-tower", "auto")
    assert found.exit_code == 0, found.output
    assert [hit["path"] for hit in json.loads(found.stdout)] == [hit["path"] for hit in plain]


@pytest.mark.slow
def test_another_model_in_the_place_is_refused_and_nothing_kept(place):
    shutil.rmtree(place / "model")
    saved_tiny_model(place / "model", seed=1)
    found = run(*ASK, "--index", place / "index", "--text-tower", "auto")
    assert found.exit_code != 0
    assert "the weights or settings differ from those that" in found.output
    assert not towers(place)


def test_it_is_refused_where_it_would_answer_differently_or_there_is_no_model(place):
    make(place, "small", precision="int8")
    found = run(*ASK, "--index", place / "small", "--text-tower", "auto")
    assert (
        found.exit_code != 0 and "was made in int8, and text towers are exported in float32" in found.output
    )
    shutil.rmtree(place / "model")
    found = run(*ASK, "--index", place / "index", "--text-tower", "auto")
    assert found.exit_code != 0 and str(place / "model") in found.output.replace("\n", "")
    assert not towers(place)
