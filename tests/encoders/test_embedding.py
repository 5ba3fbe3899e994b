"""Embedding lists of sounds and sentences: the same as one at a time, whatever the batches."""

import numpy as np
import pytest
import torch
from tiny_models import (
    SAMPLING_RATE,
    sound,
    tiny_front_end,
    tiny_model,
    tiny_model_and_processor,
    write_sound,
)

from auricle.encoders.auricle_embedding import distinct_in_order, embed_captions, embed_clips, evaluation_mode
from auricle.processing import AudioReadError, AuricleFeatureExtractor, AuricleProcessor

SECONDS = [0.4, 3.2, 1.0, 7.5, 2.0, 0.2]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return tiny_model_and_processor(tmp_path_factory.mktemp("parts"))


def clips_of(folder):
    paths = [write_sound(folder / f"{i}.wav", seconds, seed=i) for i, seconds in enumerate(SECONDS)]
    return [
        str(paths[0]),
        paths[1],
        {"path": str(paths[2]), "offset": 0.25, "duration": 0.5},
        {"array": sound(SECONDS[3], seed=3), "sampling_rate": SAMPLING_RATE},
        {"path": str(paths[4]), "offset": 0.0, "duration": None},
        {"array": sound(SECONDS[5], 44_100, seed=5), "sampling_rate": 44_100},
    ]


def one_by_one(model, processor, clips):
    with torch.no_grad():
        rows = [model.get_audio_features(**processor(audio=[clip])).pooler_output[0] for clip in clips]
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 64])
def test_batches_bound_memory_and_not_the_result(parts, tmp_path, batch_size):
    model, processor = parts
    clips, seen = clips_of(tmp_path), []
    handle = model.audio_model.register_forward_hook(lambda _, __, out: seen.append(len(out.pooler_output)))
    embeddings, failures = embed_clips(model, processor, clips, batch_size=batch_size)
    handle.remove()
    assert failures == []
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, one_by_one(model, processor, clips), atol=1e-6)
    assert max(seen) <= batch_size
    assert sum(seen) == sum(-(-int(s * 1000) // 1000) for s in (0.4, 3.2, 0.5, 7.5, 2.0, 0.2))


def test_no_clip_and_no_sentence_give_no_rows(parts):
    assert embed_clips(*parts, [])[0].shape == (0, 12)
    assert embed_captions(*parts, []).shape == (0, 12)
    assert embed_captions(*parts, [], pooled=True).shape == (0, 16)


@pytest.mark.parametrize("bad", [0, 2, 5])
def test_unreadable_clips_are_left_out_and_told(parts, tmp_path, bad):
    model, processor = parts
    clips = clips_of(tmp_path)
    good = embed_clips(model, processor, clips)[0]
    broken = tmp_path / "broken.wav"
    broken.write_text("no sound")
    clips[bad] = str(broken)
    embeddings, failures = embed_clips(model, processor, clips, batch_size=4, skip_unreadable=True)
    assert [index for index, _ in failures] == [bad]
    assert str(broken) in failures[0][1]
    assert not embeddings[bad].any()
    others = [index for index in range(6) if index != bad]
    np.testing.assert_allclose(embeddings[others], good[others], atol=1e-6)
    with pytest.raises(AudioReadError, match="broken.wav"):
        embed_clips(model, processor, clips)


def test_only_unreadable_clips(parts, tmp_path):
    missing = [str(tmp_path / name) for name in ("a.wav", "b.wav")]
    embeddings, failures = embed_clips(*parts, missing, skip_unreadable=True)
    assert not embeddings.any()
    assert [index for index, _ in failures] == [0, 1]


def test_a_caller_mistake_is_not_an_unreadable_clip(parts):
    with pytest.raises(ValueError, match="sampling rate is needed"):
        embed_clips(*parts, [sound(1.0)], skip_unreadable=True)


def test_towers_that_mask_their_padding_get_the_mask(parts):
    _, processor = parts
    extractor = AuricleFeatureExtractor.for_tower("beats", feature_size=32, segment_seconds=1.0)
    processor = AuricleProcessor(extractor, processor.tokenizer)
    tower = {
        "model_type": "auricle_beats",
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "num_mel_bins": 32,
        "initializer_range": 0.2,
        "patch_embed_dim": 16,
        "num_conv_pos_embedding_groups": 4,
    }
    model = tiny_model(audio_config=tower)
    clips = [
        {"array": sound(s, seed=i), "sampling_rate": SAMPLING_RATE} for i, s in enumerate((0.4, 2.3, 1.7))
    ]
    inputs = processor(audio=clips)
    assert inputs["audio_attention_mask"].min() == 0
    embeddings, _ = embed_clips(model, processor, clips, batch_size=2)
    expected = one_by_one(model, processor, clips)
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)
    with torch.no_grad():
        unmasked = model.get_audio_features(inputs["input_features"], inputs["segment_counts"]).pooler_output
    assert np.abs(unmasked.numpy() - expected).max() > 1e-3


def test_settings_of_the_front_end_fit_the_tiny_tower(parts):
    model, processor = parts
    assert processor.feature_extractor.num_frames == model.config.audio_config.num_frames
    assert processor.feature_extractor.feature_size == model.config.audio_config.num_mel_bins
    assert processor.feature_extractor.sampling_rate == tiny_front_end()["sampling_rate"]


# ---------------------------------------------------------------------------------------- sentences

SENTENCES = ["rain", "a dog barks", "Rain", "rain", "a bell rings and then a dog barks", "a dog barks"]


@pytest.mark.parametrize("batch_size", [1, 2, 64])
@pytest.mark.parametrize("pooled", [False, True])
def test_sentences_in_their_own_order(parts, batch_size, pooled):
    model, processor = parts
    with torch.no_grad():
        method = (
            model.pool_text if pooled else lambda **inputs: model.get_text_features(**inputs).pooler_output
        )
        expected = torch.cat([method(**processor(text=sentence)) for sentence in SENTENCES]).numpy()
    got = embed_captions(model, processor, SENTENCES, batch_size=batch_size, pooled=pooled)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=2e-6)
    np.testing.assert_array_equal(got[0], got[3])
    np.testing.assert_array_equal(got[1], got[5])
    assert np.abs(got[0] - got[1]).max() > 1e-3


def test_equal_sentences_are_embedded_once(parts):
    model, processor = parts
    seen = []
    handle = model.text_model.register_forward_hook(
        lambda _, __, out: seen.append(len(out.last_hidden_state))
    )
    embed_captions(model, processor, SENTENCES, batch_size=3)
    handle.remove()
    assert sum(seen) == 4  # "Rain" is a text of its own; the processor makes it equal later
    assert max(seen) <= 3


def test_faulty_sentences_are_named(parts):
    with pytest.raises(ValueError, match="contains no word"):
        embed_captions(*parts, ["rain", "..."])


# -------------------------------------------------------------------------------------------- modes


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_is_put_back(parts, tmp_path, training):
    model, processor = parts
    clip = str(write_sound(tmp_path / "a.wav"))
    expected = embed_clips(model.eval(), processor, [clip])[0]
    model.train(training)
    model.text_model.eval()  # a frozen tower has a mode of its own
    before = [module.training for module in model.modules()]
    got = embed_clips(model, processor, [clip])[0]
    embed_captions(model, processor, ["rain"])
    assert [module.training for module in model.modules()] == before
    np.testing.assert_array_equal(got, expected)
    with pytest.raises(AudioReadError):
        embed_clips(model, processor, [str(tmp_path / "missing.wav")])
    assert [module.training for module in model.modules()] == before
    model.eval()


def test_the_mode_within(parts):
    model, _ = parts
    with evaluation_mode(model.train()):
        assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.modules())
    model.eval()


def test_embedding_keeps_no_gradient(parts, tmp_path):
    model, processor = parts
    states = []
    handle = model.audio_model.register_forward_hook(
        lambda _, __, out: states.append(out.pooler_output.requires_grad)
    )
    embed_clips(model, processor, [str(write_sound(tmp_path / "a.wav"))])
    handle.remove()
    assert states == [False]


def test_distinct_values_keep_their_order():
    assert distinct_in_order(["b", "a", "b", "c", "a"]) == ["b", "a", "c"]
