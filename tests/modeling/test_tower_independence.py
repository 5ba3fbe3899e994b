"""A clip's embedding does not depend on what else is in the batch, whatever the tower."""

import numpy as np
import pytest
import soundfile
import torch

from auricle.modeling import AUDIO_CONFIGS, AuricleConfig, AuricleModel
from auricle.processing import AuricleFeatureExtractor

TOWERS = ["passt", "beats", "eat"]
TINY_TEXT = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
TINY = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
SECONDS = (1.0, 5.0, 12.0, 30.0)


def tiny_model(tower: str, seed: int = 0, **audio) -> AuricleModel:
    torch.manual_seed(seed)
    extra = {"patch_embed_dim": 32} if tower == "beats" else {}
    config = AuricleConfig(
        audio_config={"model_type": f"auricle_{tower}", **TINY, **extra, **audio},
        text_config=TINY_TEXT,
        projection_dim=64,
    )
    model = AuricleModel(config).eval()
    # Weights far from their start, so that attention and positions matter.
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.audio_model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def clip(seconds: float, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    samples = round(seconds * 32000)
    tone = np.sin(np.arange(samples) * generator.uniform(0.01, 0.3))
    return (0.1 * generator.standard_normal(samples) + 0.2 * tone).astype(np.float32)


def embed(model: AuricleModel, extractor: AuricleFeatureExtractor, clips: list[np.ndarray]) -> torch.Tensor:
    with torch.no_grad():
        return model.get_audio_features(**extractor(clips, sampling_rate=32000)).pooler_output


@pytest.mark.parametrize("tower", TOWERS)
def test_alone_and_in_a_batch_are_equal(tower):
    model, extractor = tiny_model(tower), AuricleFeatureExtractor.for_tower(tower)
    clips = [clip(seconds, seed) for seed, seconds in enumerate(SECONDS)]
    together = embed(model, extractor, clips)
    backwards = embed(model, extractor, clips[::-1]).flip(0)
    for index, one in enumerate(clips):
        alone = embed(model, extractor, [one])[0]
        assert (together[index] - alone).abs().max() <= 2e-6, f"{SECONDS[index]} s"
        assert (backwards[index] - alone).abs().max() <= 2e-6, f"{SECONDS[index]} s"
    distances = (together[:, None] - together[None]).abs().amax(dim=-1)
    assert (distances + torch.eye(len(clips)) > 1e-3).all(), "the embeddings say nothing about the sound"


@pytest.mark.parametrize("tower", TOWERS)
def test_the_eager_path_is_as_independent(tower):
    model, extractor = tiny_model(tower), AuricleFeatureExtractor.for_tower(tower)
    model.set_attn_implementation("eager")
    one, other = clip(1.0, 1), clip(12.0, 2)
    assert (embed(model, extractor, [one, other])[0] - embed(model, extractor, [one])[0]).abs().max() <= 2e-6


@pytest.mark.parametrize("tower", TOWERS)
def test_loudness_of_a_neighbour_changes_nothing(tower):
    model, extractor = tiny_model(tower), AuricleFeatureExtractor.for_tower(tower)
    one, other = clip(1.0, 1), clip(5.0, 2)
    quiet, loud = (embed(model, extractor, [one, gain * other])[0] for gain in (1e-3, 2.0))
    assert torch.equal(quiet, loud)


def test_without_its_mask_beats_would_hear_the_padding():
    """The mask is what makes the tests above pass, not a network that hears nothing."""
    model, extractor = tiny_model("beats"), AuricleFeatureExtractor.for_tower("beats")
    batch = extractor([clip(1.0, 1)], sampling_rate=32000)
    with torch.no_grad():
        masked = model.get_audio_features(**batch).pooler_output
        blind = model.get_audio_features(batch["input_features"]).pooler_output
    assert (masked - blind).abs().max() > 1e-3


def test_beats_equals_the_segment_that_was_never_padded():
    """Features of the short sound alone, no mask, no padding: what the published code calls without a batch."""
    model, extractor = tiny_model("beats"), AuricleFeatureExtractor.for_tower("beats")
    sound = clip(1.0, 1)
    waveform = torch.from_numpy(extractor.load(sound, 32000))
    bare = AuricleFeatureExtractor.for_tower("beats", segment_seconds=1.0).features(waveform[None])
    assert bare.shape == (1, 98, 128)
    with torch.no_grad():
        alone = model.get_audio_features(bare).pooler_output[0]
    in_batch = embed(model, extractor, [clip(12.0, 3), sound])[1]
    assert (alone - in_batch).abs().max() <= 2e-6


def test_the_reference_rule_does_depend_on_the_padding():
    model = tiny_model("beats", padding_mask="reference")
    vectors = []
    for seconds in (2.0, 10.0):
        extractor = AuricleFeatureExtractor.for_tower(
            "beats", segment_seconds=seconds, padding_rule="reference"
        )
        vectors.append(embed(model, extractor, [clip(1.003, 1)])[0])
    assert (vectors[0] - vectors[1]).abs().max() > 1e-5


@pytest.mark.parametrize("tower", TOWERS)
def test_a_tenth_of_a_second_is_enough(tower):
    model, extractor = tiny_model(tower), AuricleFeatureExtractor.for_tower(tower)
    embedding = embed(model, extractor, [clip(0.1, 1)])
    assert embedding.shape == (1, 64) and torch.isfinite(embedding).all()


@pytest.mark.parametrize("tower", TOWERS)
def test_block_after_block_equals_all_at_once(tower, tmp_path):
    """A recording that streams through gets the vector of the same file read at once."""
    model = tiny_model(tower)
    extractor = AuricleFeatureExtractor.for_tower(tower, segment_seconds=2.0)
    soundfile.write(tmp_path / "a.wav", clip(13.7, 1), 32000, subtype="FLOAT")
    with torch.no_grad():
        whole = model.get_audio_features(**extractor(str(tmp_path / "a.wav"))).pooler_output
    blocks = extractor.iter_segments(tmp_path / "a.wav", segments_per_block=3)
    streamed = model.embed_recording(block.inputs for block in blocks)
    assert (whole - streamed).abs().max() <= 2e-6
    with pytest.raises(ValueError, match="no blocks"):
        model.embed_recording([])


def test_extractor_and_tower_agree_on_the_geometry():
    for name, config_class in AUDIO_CONFIGS.items():
        config, extractor = config_class(), AuricleFeatureExtractor.for_tower(name)
        assert extractor.num_frames == config.num_frames, name
        assert extractor.sampling_rate == config.sampling_rate, name
        assert extractor.feature_size == config.num_mel_bins, name
