"""An engine that serves an index on loopback."""

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("lancedb")

from engines import start
from sound_libraries import library
from tiny_models import write_sound

from auricle.search.sound_index import SoundIndex


@pytest.fixture(scope="module")
def running(model, tmp_path_factory):
    """``root``, ``index``, ``url``, ``token`` of an engine of a library of eight sounds."""
    root = tmp_path_factory.mktemp("engine")
    sounds = library(root / "sounds", 8)
    (sounds / "metadata.csv").write_text("file_name,license,place\nrain/a b.wav,CC0,wood\ne.wav,CC0,town\n")
    write_sound(root / "private" / "secret.wav", 1.0, seed=77)
    index = SoundIndex.create(root / "index", model)
    index.update([sounds], progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AURICLE_RUNTIME_DIR", str(root / "run"))
        pytest.importorskip("mcp")
        served = start(root / "index", mcp=True)
        assert served.note == ""
        served.root, served.index, served.sounds = root, index, sounds
        yield served
        served.close()
