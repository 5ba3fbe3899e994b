"""Sounds like a sound: whole files are compared with whole files, parts with windows; copies come first and score 1."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from tiny_models import SAMPLING_RATE, saved_tiny_model, sound
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.search.errors import SearchError
from auricle.search.sound_index import SoundIndex

pytest.importorskip("lancedb")
PARTS = 6


@pytest.fixture(scope="module", params=[250_000, 0], ids=["exact", "approximate"])
def copies(request, tmp_path_factory):
    """A recording of unlike parts, copies of it, every part by itself, and other recordings."""
    root = tmp_path_factory.mktemp("copies")
    saved_tiny_model(root / "model")
    sounds = root / "sounds"
    sounds.mkdir()
    parts = [sound(1.0, seed=part) * (0.02 if part % 2 else 0.9) for part in range(PARTS)]
    whole = np.concatenate(parts)
    soundfile.write(sounds / "whole.wav", whole, SAMPLING_RATE, subtype="PCM_16")
    pcm, _ = soundfile.read(sounds / "whole.wav", dtype="int16")
    soundfile.write(sounds / "z copy.flac", pcm, SAMPLING_RATE, subtype="PCM_16")
    shutil.copy(sounds / "whole.wav", sounds / "y copy.wav")
    for part in range(PARTS):
        piece = pcm[part * SAMPLING_RATE : (part + 1) * SAMPLING_RATE]
        soundfile.write(sounds / f"a part {part}.wav", piece, SAMPLING_RATE, subtype="PCM_16")
    for number in range(4):
        soundfile.write(
            sounds / f"b other {number}.wav", sound(4.0, seed=40 + number), SAMPLING_RATE, subtype="PCM_16"
        )
    index = SoundIndex.create(root / "index", str(root / "model"), exact_windows=request.param)
    assert not index.update([sounds], progress=False).faults
    return sounds, index


def test_copies_come_first_and_score_one(copies, tmp_path):
    sounds, index = copies
    names = ["whole.wav", "y copy.wav", "z copy.flac"]
    for name in names:
        hits = index.similar(sounds / name, top=20)
        assert sorted(hit.path for hit in hits[:2]) == sorted(
            str(sounds / other) for other in names if other != name
        )
        assert [hit.cosine for hit in hits[:2]] == pytest.approx([1.0, 1.0], abs=1e-6)
        assert all(hit.cosine < 0.99999 for hit in hits[2:]) and len(hits) == len(index) - 1
    # Also of a file that the index has not.
    shutil.copy(sounds / "whole.wav", tmp_path / "elsewhere.wav")
    hits = index.similar(tmp_path / "elsewhere.wav", top=3)
    assert {hit.path for hit in hits} == {str(sounds / name) for name in names}
    assert [f"{hit.cosine:.3f}" for hit in hits] == ["1.000"] * 3


def test_whole_files_are_compared_by_the_vectors_of_whole_files(copies):
    sounds, index = copies
    asked = index.store.entry(str(sounds / "b other 0.wav")).vector
    hits = index.similar(sounds / "b other 0.wav", top=20)
    for hit in hits:
        held = index.store.entry(hit.path)
        expected = held.vector @ asked / np.linalg.norm(held.vector) / np.linalg.norm(asked)
        assert hit.cosine == pytest.approx(float(expected), abs=1e-6)
        best = int(np.argmax(held.vectors @ asked))
        assert (hit.start, hit.end) == (held.starts[best], held.ends[best])
    assert [hit.cosine for hit in hits] == sorted((hit.cosine for hit in hits), reverse=True)


def test_a_part_and_the_ranking_by_windows_find_what_lies_within(copies):
    sounds, index = copies
    own = {"whole.wav", "y copy.wav", "z copy.flac", "a part 2.wav"}
    hits = index.similar(sounds / "whole.wav", start=2.0, end=3.0, top=3)
    assert {hit.path for hit in hits} == {str(sounds / name) for name in own - {"whole.wav"}}
    assert all(hit.cosine > 0.999 for hit in hits)
    hits = index.similar(sounds / "a part 2.wav", rank="window", top=3)
    assert {hit.path for hit in hits} == {str(sounds / name) for name in own - {"a part 2.wav"}}
    assert all((hit.start, hit.end) == (2.0, 3.0) and hit.cosine > 0.999 for hit in hits)
    with pytest.raises(SearchError, match="rank 'best'"):
        index.similar(sounds / "whole.wav", rank="best")


def test_the_command_compares_likewise(copies):
    sounds, index = copies
    command = ["similar", str(sounds / "whole.wav"), "--index", str(index.directory), "--json"]
    for options, found in (([], index.similar(sounds / "whole.wav")), (["--rank", "window"], None)):
        answer = CliRunner().invoke(app, [*command, *options])
        assert answer.exit_code == 0, answer.output
        expected = found or index.similar(sounds / "whole.wav", rank="window")
        assert [hit["path"] for hit in json.loads(answer.stdout)] == [hit.path for hit in expected]
