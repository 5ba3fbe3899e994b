"""A frozen text tower sees each caption once: kept vectors are those it would give again."""

import logging

import numpy as np
import pytest
import torch
from tiny_models import tiny_model_and_processor

from auricle.encoders.auricle_embedding import embed_captions
from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.encoders.model_fingerprint import text_fingerprint
from auricle.training.teachers.pooled_captions import PooledCaptions

CAPTIONS = ["a dog barks", "rain falls on a roof", "a bell rings twice", "a dog barks"]


@pytest.fixture
def built(tmp_path):
    return tiny_model_and_processor(tmp_path / "model")


@pytest.fixture
def kept(tmp_path):
    return PooledCaptions(tmp_path / "kept")


def count_captions(model, monkeypatch) -> list[int]:
    """The number of captions of every call of the model's text tower from now on."""
    seen: list[int] = []
    original = model.pool_text

    def counting(input_ids, **more):
        seen.append(len(input_ids))
        return original(input_ids, **more)

    monkeypatch.setattr(model, "pool_text", counting)
    return seen


def test_the_vectors_are_those_of_the_tower_in_the_order_asked_for(built, kept):
    expected = embed_captions(*built, CAPTIONS, pooled=True)
    np.testing.assert_array_equal(kept.pooled(AuricleEncoder(*built), CAPTIONS), expected)
    np.testing.assert_array_equal(kept.pooled(AuricleEncoder(*built), CAPTIONS[::-1]), expected[::-1])


def test_each_caption_passes_the_tower_once_also_in_another_process_of_the_run(built, kept, monkeypatch):
    seen = count_captions(built[0], monkeypatch)
    kept.pooled(AuricleEncoder(*built), CAPTIONS)
    assert sum(seen) == 3
    both = PooledCaptions(kept.directory).pooled(AuricleEncoder(*built), [*CAPTIONS, "wind howls"])
    assert sum(seen) == 4 and len(both) == 5
    kept.pooled(AuricleEncoder(*built), ["wind howls", "a bell rings twice"])
    assert sum(seen) == 4


def test_projected_equals_the_models_own_embeddings_whatever_its_projection(built, kept):
    model, processor = built
    kept.pooled(AuricleEncoder(model, processor), CAPTIONS)
    with torch.no_grad():
        for parameter in model.text_projection.parameters():
            parameter.add_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
    assert kept.holds(AuricleEncoder(model, processor))
    np.testing.assert_allclose(
        kept.projected(AuricleEncoder(model, processor), CAPTIONS),
        embed_captions(model, processor, CAPTIONS),
        atol=1e-6,
    )


def test_another_state_of_the_tower_gets_vectors_of_its_own(built, kept):
    model, processor = built
    before = kept.pooled(AuricleEncoder(model, processor), CAPTIONS)
    with torch.no_grad():
        model.text_model.get_input_embeddings().weight.mul_(1.5).add_(0.1)
    assert not kept.holds(AuricleEncoder(model, processor))
    after = kept.pooled(AuricleEncoder(model, processor), CAPTIONS)
    np.testing.assert_array_equal(after, embed_captions(model, processor, CAPTIONS, pooled=True))
    assert np.abs(after - before).max() > 1e-3


def test_a_damaged_file_is_made_anew(built, kept, caplog):
    expected = kept.pooled(AuricleEncoder(*built), CAPTIONS)
    (path,) = kept.directory.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(kept.pooled(AuricleEncoder(*built), CAPTIONS), expected)
    assert "is damaged" in caplog.text
    caplog.clear()
    np.testing.assert_array_equal(kept.pooled(AuricleEncoder(*built), CAPTIONS), expected)
    assert not caplog.records


@pytest.mark.parametrize("what", ["pooling", "caption normalisation", "tokenizer"])
def test_the_text_fingerprint_changes_with_what_pools_a_caption(built, what):
    model, processor = built
    before = text_fingerprint(model, processor)
    if what == "pooling":
        model.config.text_pooling = "mean" if model.config.text_pooling != "mean" else "cls"
    elif what == "caption normalisation":
        processor.normalize_captions = not processor.normalize_captions
    else:
        processor.tokenizer.add_tokens(["klaxon"])
    assert text_fingerprint(model, processor) != before


def test_the_text_fingerprint_does_not_change_with_the_audio_tower_or_the_projections(built):
    model, processor = built
    before = text_fingerprint(model, processor)
    with torch.no_grad():
        for part in (model.audio_model, model.text_projection, model.audio_projection):
            for parameter in part.parameters():
                parameter.add_(0.1)
    assert text_fingerprint(model, processor) == before
