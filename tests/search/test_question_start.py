"""A question from a cold start loads the text side of a model alone, and answers as the whole model does."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sound_libraries import library
from tiny_models import saved_tiny_model

from auricle.encoders import load_encoder
from auricle.encoders.engines import known_fingerprints
from auricle.encoders.engines.known_fingerprints import files_of, known_fingerprint, remember_fingerprint
from auricle.encoders.engines.text_part import MissingTower, load_text_part
from auricle.search.index_creation import loader_by_engine
from auricle.search.sound_index import SoundIndex

pytest.importorskip("lancedb")
QUESTION = "a dog barks while rain falls"


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A model that was saved a while ago, and an empty cache."""
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(known_fingerprints, "_SETTLED_SECONDS", 0.0)
    saved_tiny_model(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def index(tmp_path, saved):
    index = SoundIndex.create(tmp_path / "index", str(saved), loader=loader_by_engine(None))
    index.update([library(tmp_path / "sounds", 4)], progress=False)
    return index


def test_the_text_side_alone_gives_the_bits_of_the_whole_model(saved):
    whole = load_encoder(saved, device="cpu")
    assert type(whole).load_for_texts(saved, whole.fingerprint) is None
    remember_fingerprint(saved, whole.loaded_files, whole.fingerprint)
    part = type(whole).load_for_texts(saved, whole.fingerprint)
    assert (part.embed_texts([QUESTION, "rain"]) == whole.embed_texts([QUESTION, "rain"])).all()
    assert (part.fingerprint, part.text_fingerprint) == (whole.fingerprint, whole.text_fingerprint)
    assert isinstance(part.model.audio_model, MissingTower)
    with pytest.raises(RuntimeError, match="only the text tower"):
        part.pool_windows(np.zeros((1, part.window_samples), dtype=np.float32), [part.window_samples])


def test_its_weights_are_mapped_and_not_copied(saved):
    model = load_text_part(saved)
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("no /proc")
    lines = maps.read_text().splitlines()
    spans = [line.split()[0].split("-") for line in lines if line.endswith("/model/model.safetensors")]
    address = model.text_projection.weight.data_ptr()
    assert any(int(low, 16) <= address < int(high, 16) for low, high in spans)


def test_a_cold_question_loads_no_audio_tower(index, saved):
    expected = [(hit.path, hit.score) for hit in index.search(QUESTION)]
    cold = SoundIndex(index.directory, loader=loader_by_engine(None))
    assert [(hit.path, hit.score) for hit in cold.search(QUESTION)] == expected
    assert cold._encoder._encoder is None
    assert isinstance(cold._encoder._text_encoder.model.audio_model, MissingTower)
    # A sound loads the rest.
    assert (
        cold._encoder.embed_part(expected[0][0], 0.0, None).vectors.shape[1]
        == index._encoder.encoder.embedding_dim
    )
    assert [(hit.path, hit.score) for hit in cold.search(QUESTION)] == expected


def test_changed_weights_are_noticed(index, saved):
    from auricle.encoders.auricle_checkpoint import load_pretrained
    from auricle.search.errors import SearchError

    model, _ = load_pretrained(saved)
    with torch.no_grad():
        model.text_projection.weight.add_(0.1)
    model.save_pretrained(saved)
    cold = SoundIndex(index.directory, loader=loader_by_engine(None))
    with pytest.raises(SearchError, match="the weights or settings differ"):
        cold.search(QUESTION)


def test_other_precisions_and_engines_load_the_whole_model(index):
    for engine in ("packed", "onnx"):
        assert loader_by_engine(engine).for_texts is None
    index._encoder.record["settings"]["truncate_dim"] = 4
    cold = SoundIndex(index.directory, loader=loader_by_engine(None))
    cold._encoder.record = index._encoder.record
    assert cold._encoder._for_texts() is None


def test_what_is_remembered_and_what_not(tmp_path, saved, monkeypatch):
    files = files_of(saved)
    remember_fingerprint(saved, files, "f" * 64)
    assert known_fingerprint(saved) == "f" * 64
    # A file written over with its size and time kept still has another change time.
    config = saved / "config.json"
    status = config.stat()
    config.write_text(config.read_text()[::-1])
    os.utime(config, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert known_fingerprint(saved) is None
    remember_fingerprint(saved, files_of(saved), "e" * 64)
    assert known_fingerprint(saved) == "e" * 64
    path = tmp_path / "cache" / known_fingerprints.FILE
    path.write_text(json.dumps({str(saved): {"form": 0, "files": files_of(saved), "fingerprint": "e"}}))
    assert known_fingerprint(saved) is None
    path.write_text("{")
    assert known_fingerprint(saved) is None
    monkeypatch.setattr(known_fingerprints, "_SETTLED_SECONDS", 3600.0)
    assert files_of(saved) is None and files_of(tmp_path / "nowhere") is None


def test_directories_that_are_no_whole_model_in_float32(saved, tmp_path):
    (saved / "model.safetensors").write_bytes(b"no weights")
    assert load_text_part(saved) is None
    (saved / "model.safetensors").unlink()
    assert load_text_part(saved) is None
    assert load_text_part(tmp_path / "nowhere") is None
