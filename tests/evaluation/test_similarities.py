"""Similarity matrices: made by a model, kept on disk, combined, and refused where they do not fit."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from planted import planted_similarities
from tiny_models import tiny_model_and_processor, write_sound

from auricle.data import CaptionedClip, build_table
from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.evaluation.similarities import Similarities, SimilarityError, compute_similarities, weighted_sum


def test_a_models_similarities_are_its_cosines(tmp_path):
    model, processor = tiny_model_and_processor(tmp_path)
    clips = [
        CaptionedClip(
            "set",
            "test",
            f"{n}.wav",
            write_sound(tmp_path / f"{n}.wav", seed=n),
            [f"a dog {n}", "rain falls"],
        )
        for n in range(3)
    ]
    table = build_table(row for clip in clips for row in clip.rows())
    found = compute_similarities(AuricleEncoder(model, processor), table, name="tiny")
    assert found.scores.shape == (6, 3)
    assert found.clip_ids == ["set/test/0.wav", "set/test/1.wav", "set/test/2.wav"]
    assert found.clip_of_query.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.query_ids[3] == "set/test/1.wav#1" and found.queries[3] == "rain falls"
    inputs = processor(text=["a dog 2"])
    text = model.get_text_features(**inputs).pooler_output
    audio = model.get_audio_features(**processor(audio=[str(tmp_path / "1.wav")])).pooler_output
    assert found.scores[4][1] == pytest.approx((text @ audio.T).item(), abs=1e-6)


def test_clips_are_decoded_ahead_with_the_same_bits(tmp_path, monkeypatch):
    model, processor = tiny_model_and_processor(tmp_path)
    paths = [write_sound(tmp_path / f"{n}.wav", 1.0 + n, seed=n) for n in range(5)]
    clips = [CaptionedClip("set", "test", path.name, path, [f"a dog {n}"]) for n, path in enumerate(paths)]
    table = build_table(row for clip in clips for row in clip.rows())
    encoder, threads = AuricleEncoder(model, processor), []
    read = type(processor.feature_extractor).__call__

    def noting(extractor, clip, **options):
        threads.append(threading.current_thread() is threading.main_thread())
        return read(extractor, clip, **options)

    monkeypatch.setattr(type(processor.feature_extractor), "__call__", noting)
    ahead = compute_similarities(encoder, table, name="tiny")
    assert threads == [False] * 5
    between = compute_similarities(encoder, table, name="tiny", num_workers=0)
    assert threads[5:] == [True] * 5
    assert np.array_equal(np.asarray(ahead.scores[:]), np.asarray(between.scores[:]))


def test_they_come_back_as_they_were(tmp_path):
    planted = planted_similarities()
    planted.save(tmp_path / "s")
    loaded = Similarities.load(tmp_path / "s")
    assert Similarities.is_one(tmp_path / "s") and not Similarities.is_one(tmp_path)
    assert np.array_equal(loaded.scores, planted.scores)
    assert np.array_equal(loaded.clip_of_query, planted.clip_of_query)
    loaded.check_same_pairs(planted)
    assert (loaded.source, loaded.split, loaded.name) == ("set", "test", "planted")


def test_a_directory_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SimilarityError, match="contains other files"):
        planted_similarities().save(tmp_path)
    with pytest.raises(SimilarityError, match="the similarities are incomplete|not of this program"):
        Similarities.load(tmp_path)


def test_damaged_files_are_refused(tmp_path):
    planted_similarities().save(tmp_path / "s")
    weights = tmp_path / "s" / "similarities.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(SimilarityError, match="the similarities are incomplete"):
        Similarities.load(tmp_path / "s")
    info = tmp_path / "s" / "similarities.json"
    info.write_text(json.dumps({**json.loads(info.read_text()), "version": 99}))
    with pytest.raises(SimilarityError, match="version 1"):
        Similarities.load(tmp_path / "s")


def test_what_is_not_finite_is_named():
    planted = planted_similarities()
    scores = planted.scores.copy()
    scores[4, 2] = np.nan
    with pytest.raises(SimilarityError, match=r"query 'set/test/1\.wav#1', clip 'set/test/2\.wav' is nan"):
        replace(planted, scores=scores)


def test_the_weighted_sum_adds_up():
    members = [planted_similarities(seed=seed) for seed in range(3)]
    total = weighted_sum(members, [0.5, 0.0, 1.5], "sum")
    np.testing.assert_allclose(total.scores, 0.5 * members[0].scores + 1.5 * members[2].scores, rtol=1e-6)
    assert total.name == "sum"


@pytest.mark.parametrize("weights", [[1.0], [1.0, -0.1], [0.0, 0.0], [1.0, float("nan")]])
def test_bad_weights_are_refused(weights):
    with pytest.raises(SimilarityError, match="weight"):
        weighted_sum([planted_similarities(), planted_similarities()], weights, "sum")


def test_other_clips_or_another_order_are_refused():
    planted = planted_similarities()
    order = [*range(1, 12), 0]
    turned = replace(planted, scores=planted.scores[:, order], clip_ids=[planted.clip_ids[n] for n in order])
    with pytest.raises(SimilarityError, match="same clips in another order"):
        weighted_sum([planted, turned], [1, 1], "sum")
    other = replace(planted, clip_ids=[*planted.clip_ids[:-1], "set/test/new.wav"])
    with pytest.raises(SimilarityError, match=r"differ, for example in 'set/test/new\.wav'"):
        weighted_sum([planted, other], [1, 1], "sum")
    captions = replace(planted, queries=["other", *planted.queries[1:]])
    with pytest.raises(SimilarityError, match="has 36 captions"):
        weighted_sum([planted, captions], [1, 1], "sum")
