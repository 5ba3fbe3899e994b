"""Ranking by best window or by the vector of the whole file, exact and approximate, against brute force."""

import json

import numpy as np
import pytest
from sound_libraries import library
from tiny_models import saved_tiny_model, write_sound
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.encoders import load_encoder
from auricle.search.errors import SearchError
from auricle.search.sound_index import SoundIndex

pytest.importorskip("lancedb")
HALF = 2**-9  # the index keeps float16


@pytest.fixture(scope="module", params=[250_000, 0], ids=["exact", "approximate"])
def long_files(request, tmp_path_factory):
    """Files of one to five windows, their index and the encoder."""
    root = tmp_path_factory.mktemp("clips")
    saved_tiny_model(root / "model")
    sounds = library(root / "sounds", 9)
    for number in range(6):
        write_sound(sounds / f"long/{number}.wav", 1.3 + 0.7 * number, seed=50 + number)
    index = SoundIndex.create(root / "index", str(root / "model"), exact_windows=request.param)
    index.update([sounds], progress=False)
    return sounds, index, load_encoder(root / "model", device="cpu")


def test_files_rank_by_the_models_own_clip_vectors(long_files):
    sounds, index, encoder = long_files
    files = sorted(str(path) for path in sounds.rglob("*.wav"))
    clips, _ = encoder.embed_clips(files)
    for question in ("a dog barks", "rain", "a long low tone"):
        cosines = clips @ encoder.embed_texts([question])[0]
        hits = index.search(question, top=len(files), rank="clip")
        assert sorted(hit.path for hit in hits) == files
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        for hit in hits:
            assert hit.cosine == pytest.approx(cosines[files.index(hit.path)], abs=HALF)
            assert hit.score == hit.cosine


def test_the_span_is_the_files_best_window(long_files):
    _, index, _ = long_files
    for question in ("a dog barks", "rain"):
        spans = {hit.path: (hit.start, hit.end) for hit in index.search(question, top=50, rank="window")}
        assert {
            hit.path: (hit.start, hit.end) for hit in index.search(question, top=50, rank="clip")
        } == spans


def test_rankings_differ_where_files_have_several_windows(long_files):
    _, index, _ = long_files
    orders = [
        [hit.path for hit in index.search(question, top=50, rank=rank)]
        for question in ("a dog barks", "rain", "a bell rings")
        for rank in ("window", "clip")
    ]
    assert any(one != other for one, other in zip(orders[::2], orders[1::2], strict=True))


def test_filters_negatives_names_and_least_score_hold_for_clips(long_files):
    _, index, encoder = long_files
    hits = index.search("rain", top=50, rank="clip", min_duration=2.0)
    assert hits and all(hit.duration >= 2.0 for hit in hits)
    cut = np.median([hit.score for hit in hits])
    assert all(hit.score >= cut for hit in index.search("rain", top=50, rank="clip", min_score=float(cut)))
    plain = {hit.path: hit.score for hit in index.search("rain", top=50, rank="clip")}
    less = {hit.path: hit.score for hit in index.search("rain", top=50, rank="clip", negative="a dog")}
    files = sorted(plain)
    unwanted = encoder.embed_clips(files)[0] @ encoder.embed_texts(["a dog"])[0]
    for path, cosine in zip(files, unwanted, strict=True):
        assert less[path] == pytest.approx(plain[path] - 0.5 * max(cosine, 0), abs=2 * HALF) or less[
            path
        ] == pytest.approx(plain[path] - 0.5 * cosine, abs=2 * HALF)
    named = index.search("bark", top=3, rank="clip", names=True)
    assert "bark" in named[0].path


def test_an_unknown_ranking_is_refused(long_files):
    _, index, _ = long_files
    with pytest.raises(SearchError, match="rank 'best'.*window, clip"):
        index.search("rain", rank="best")


def test_the_command_ranks_by_clip(long_files):
    _, index, _ = long_files
    answer = CliRunner().invoke(
        app, ["search", "rain", "--index", str(index.directory), "--rank", "clip", "--json"]
    )
    assert answer.exit_code == 0, answer.output
    assert [hit["path"] for hit in json.loads(answer.stdout)] == [
        hit.path for hit in index.search("rain", rank="clip")
    ]
