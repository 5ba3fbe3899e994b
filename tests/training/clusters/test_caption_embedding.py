"""Vectors of captions for clustering by a Hub id: an audio-text encoder is told from a sentence encoder."""

import shutil

import numpy as np
import pytest
from tiny_models import saved_tiny_model, tiny_text_encoder_dir

from auricle.training.clusters import caption_embedding
from auricle.training.clusters.caption_embedding import embed_captions_with
from auricle.training.models.pretrained_text import PretrainedError

CAPTIONS = ["a dog barks", "rain falls"]


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """The Hub's cache; returns a function that puts a directory there under a Hub id."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(folder, name, commit="c" * 40):
        repository = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        shutil.copytree(folder, repository / "snapshots" / commit)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(commit)

    return put


def test_an_encoder_by_its_hub_id_is_one(tmp_path, hub_cache):
    saved_tiny_model(tmp_path / "model")
    hub_cache(tmp_path / "model", "someone/sounds")
    here, source = embed_captions_with(str(tmp_path / "model"), CAPTIONS)
    there, of_hub = embed_captions_with("someone/sounds", CAPTIONS)
    assert np.array_equal(here, there)
    assert of_hub == {"name": "someone/sounds", "fingerprint": source["fingerprint"], "prompt": ""}


def test_a_sentence_encoder_by_its_hub_id_is_none(tmp_path, hub_cache, monkeypatch):
    hub_cache(tiny_text_encoder_dir(tmp_path / "text"), "someone/sentences")
    asked = []
    monkeypatch.setattr(
        caption_embedding,
        "_sentence_transformer",
        lambda name, *rest, **options: asked.append(name) or (np.eye(2), "f"),
    )
    for name in ("someone/sentences", "someone/not-in-the-cache", "all-MiniLM-L6-v2", str(tmp_path / "text")):
        embed_captions_with(name, CAPTIONS, prompt="query: ")
        assert asked.pop() == name


def test_a_broken_encoder_on_the_hub_is_named(tmp_path, hub_cache):
    saved_tiny_model(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    hub_cache(tmp_path / "model", "someone/broken")
    with pytest.raises(PretrainedError, match="someone/broken: weights cannot be loaded"):
        embed_captions_with("someone/broken", CAPTIONS)
