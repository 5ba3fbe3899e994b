"""A small model, and a library with its index, for the tests of searching."""

import pytest
from sound_libraries import library
from tiny_models import saved_tiny_model

from auricle.search.sound_index import SoundIndex


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    saved_tiny_model(folder)
    return str(folder)


@pytest.fixture
def made(model, tmp_path):
    """Six files and their index."""
    pytest.importorskip("lancedb")
    sounds = library(tmp_path / "sounds", 6)
    index = SoundIndex.create(tmp_path / "index", model)
    index.update([sounds], progress=False)
    return sounds, index
