"""The bar of an update: a long recording counts while it is embedded, and nothing to do shows no bar."""

import numpy as np
import pytest
import soundfile
from sound_libraries import library
from tiny_models import SAMPLING_RATE, sound

from auricle.search.sound_index import SoundIndex
from auricle.search.update.index_progress import LONG_BYTES, IndexProgress

pytest.importorskip("lancedb")


def test_a_long_recording_counts_by_seconds(model, tmp_path, monkeypatch):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    part = sound(10.0, seed=1)
    times = LONG_BYTES // (2 * len(part)) + 2
    soundfile.write(sounds / "long.wav", np.tile(part, times), SAMPLING_RATE, subtype="PCM_16")
    soundfile.write(sounds / "short.wav", part, SAMPLING_RATE, subtype="PCM_16")
    shares, plain = [], IndexProgress._show

    def show(bar: IndexProgress) -> None:
        plain(bar)
        shares.append((bar.share, bar._bar.n))

    monkeypatch.setattr(IndexProgress, "_show", show)
    index = SoundIndex.create(tmp_path / "index", model)
    index.update([sounds])
    seen = [share for share, _ in shares]
    assert seen == sorted(seen) and seen[-1] == 1.0
    # Some piece of ten seconds each.
    assert len([share for share in seen if 0.01 < share < 0.9]) > times // 2
    total = sum(path.stat().st_size for path in sounds.iterdir())
    assert [count for _, count in shares] == pytest.approx([share * total for share in seen], abs=1)


def test_the_bar_tells_files_and_sound_and_nothing_to_do_shows_none(model, tmp_path, capfd):
    sounds = library(tmp_path / "sounds", 6)
    index = SoundIndex.create(tmp_path / "index", model)
    capfd.readouterr()
    index.update([sounds])
    shown = capfd.readouterr().err
    # Files of 0.5 to 2.5 seconds.
    assert "indexing: 100%" in shown and "6 of 6 files, 00:08 of sound" in shown
    # As `--watch` looks again and again.
    index.update([sounds])
    assert "indexing" not in capfd.readouterr().err
