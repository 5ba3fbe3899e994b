"""The Kaldi filter bank and the front ends built on it."""

import math

import numpy as np
import pytest
import torch
from parity_cases import case_id, find_cases, read_case

from auricle.processing import AuricleFeatureExtractor, kaldi_mel_bank
from auricle.processing.kaldi_fbank import kaldi_fbank, kaldi_window

EDGES = [
    (model, path)
    for model in ("beats", "eat")
    for path in find_cases(model)
    if path.stem.startswith("frontend")
]
BANK = kaldi_mel_bank(128, 257, 16000, 20.0, 8000.0, torch.float32)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "model,path", EDGES, ids=lambda value: case_id(value) if hasattr(value, "stem") else value
)
def test_front_end_matches_on_edge_cases(model, path):
    case = read_case(path)
    for name, waveform in case.inputs.items():
        settings = {"segment_seconds": 1.0}
        if model == "eat":
            settings = {"segment_seconds": len(waveform) / 16000, "target_frames": case.meta["target_length"]}
        extractor = AuricleFeatureExtractor.for_tower(model, **settings)
        got = extractor.features(waveform.reshape(1, -1))[0]
        assert got.shape == case.outputs[name].shape, name
        difference = (got - case.outputs[name]).abs()
        rounding = rounding_of_the_transform(case.outputs[name], extractor)
        exact = 2 * rounding <= 1e-3
        assert difference[exact].max() <= 1e-3 and difference[exact].mean() <= 1e-5, name
        assert (difference <= (2 * rounding).clamp(min=1e-3)).all(), name
        assert exact.float().mean() > (0.5 if name.startswith("sine") else 0.98), name
    assert case.inputs


def rounding_of_the_transform(features, extractor):
    """
    What float32 leaves open in a cell, in units of the normalised features: ``eps sqrt(E_peak / E)`` nepers.

    A transform's error in amplitude is about eps times the frame's largest amplitude, on whichever bin. In a pure
    tone the bins far from it hold little else, and FFT kernels of two processors then differ there.
    """
    nepers = (features.amax(dim=-1, keepdim=True) - features) * (2 * extractor.std)
    return torch.finfo(torch.float32).eps * torch.exp(nepers / 2) / (2 * extractor.std)


def test_filters_follow_kaldi():
    """The third filter from below lies between two FFT bins: no bin, and always the floor."""
    assert BANK.shape == (128, 257)
    assert BANK[3].abs().sum() == 0 and (BANK.sum(dim=1) > 0).sum() == 127
    assert BANK[:, 256].abs().sum() == 0
    fbank = kaldi_fbank(noise(1, 16000) * 32768, BANK)
    assert torch.allclose(fbank[..., 3], torch.tensor(math.log(2**-23)))


def test_against_a_direct_transform_in_double_precision():
    """One frame written out: mean, pre-emphasis, window, power spectrum, filters, logarithm."""
    waveform = noise(1, 400, seed=3)
    frame = waveform[0].double().numpy() * 32768
    frame = frame - frame.mean()
    frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
    places = np.arange(400)
    frame = frame * (0.5 - 0.5 * np.cos(2 * np.pi * places / 399)) ** 0.85
    angles = -2j * np.pi * np.outer(np.arange(257), places) / 512
    power = np.abs(np.exp(angles) @ frame) ** 2
    expected = np.log(np.maximum(BANK.double().numpy() @ power, 2.0**-23))
    got = kaldi_fbank(waveform * 32768, BANK)[0, 0].double().numpy()
    assert np.abs(got - expected).max() < 1e-4


def test_batch_and_blocks_do_not_change_a_clip():
    clips = noise(5, 16000, seed=1)
    together = kaldi_fbank(clips, BANK)
    for index, clip in enumerate(clips):
        assert torch.allclose(together[index], kaldi_fbank(clip[None], BANK)[0], atol=2e-6)


def test_windows():
    hanning, povey = kaldi_window("hanning", 400), kaldi_window("povey", 400)
    assert hanning[0] == 0 and torch.allclose(hanning, hanning.flip(0), atol=1e-6)
    assert torch.allclose(povey, hanning**0.85)
    with pytest.raises(ValueError, match="'hamming'.*'hanning', 'povey'"):
        kaldi_window("hamming", 400)


def test_too_short_and_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 399\).*at least 400"):
        kaldi_fbank(torch.zeros(1, 399), BANK)
    with pytest.raises(ValueError, match=r"\(16000,\).*\(clips, samples\)"):
        kaldi_fbank(torch.zeros(16000), BANK)


def test_constants_of_silence_and_padding():
    """Digital silence, and what EAT's training filled up with, which is neither 0 nor silence."""
    silence = np.zeros(16000, dtype=np.float32)
    beats = AuricleFeatureExtractor.for_tower("beats")(silence, sampling_rate=16000)
    assert torch.allclose(beats["input_features"][0, :98], torch.tensor(-2.39169), atol=1e-5)
    eat = AuricleFeatureExtractor.for_tower("eat")(silence, sampling_rate=16000)["input_features"]
    assert eat.shape == (1, 1024, 128)
    assert torch.allclose(eat[0, :98], torch.tensor(-1.27757), atol=1e-5)
    assert torch.allclose(eat[0, 98:], torch.tensor(0.46706), atol=1e-5)


def test_presets_know_their_tower():
    frames = {"passt": 1000, "beats": 998, "eat": 1024}
    for tower, expected in frames.items():
        extractor = AuricleFeatureExtractor.for_tower(f"auricle_{tower}")
        assert extractor.front_end == tower and extractor.num_frames == expected
        names = ["input_features", "segment_counts"]
        assert extractor.model_input_names == names + ["audio_attention_mask"] * (tower == "beats")
        again = AuricleFeatureExtractor.from_dict(extractor.to_dict())
        assert again.to_dict() == extractor.to_dict()
        batch = extractor(noise(3 * 16000).numpy(), sampling_rate=16000)
        assert list(batch) == extractor.model_input_names
        assert batch["input_features"].shape == (1, expected, 128)


@pytest.mark.parametrize("seconds,frames", [(5.0, 512), (1.0, 112), (10.0, 1024), (7.5, 752)])
def test_eat_fills_up_to_whole_patches_and_ten_seconds_to_its_training_length(seconds, frames):
    assert AuricleFeatureExtractor.for_tower("eat", segment_seconds=seconds).num_frames == frames


def test_mask_counts_frames_of_nothing_but_real_samples():
    extractor = AuricleFeatureExtractor.for_tower("beats")
    clips = [noise(16000 * 12).numpy(), noise(16000).numpy(), noise(1600).numpy()]
    batch = extractor(clips, sampling_rate=16000)
    assert batch["segment_counts"].tolist() == [2, 1, 1]
    # 10 s, 2 s, 1 s, and 0.1 s, which is filled with silence to the 2,800 samples of one patch.
    assert batch["audio_attention_mask"].sum(dim=1).tolist() == [998, 198, 98, 16]
    assert (batch["audio_attention_mask"].diff(dim=1) <= 0).all()


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"tower": "clap"}, "front_end='clap'.*beats.*eat.*passt"),
        ({"tower": "beats", "segment_seconds": 0.1}, "segment_seconds=0.1 is too short.*0.175 s"),
        ({"tower": "beats", "std": 0.0}, r"std=0.0 must be above 0"),
        ({"tower": "passt", "mean": 1.0}, "'passt' has its own normalisation"),
        ({"tower": "beats", "target_frames": 1024}, "only the front end 'eat'"),
        ({"tower": "beats", "padding_rule": "guess"}, "padding_rule='guess'.*exact"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        AuricleFeatureExtractor.for_tower(**settings)


def test_mel_ranges_are_refused_where_they_mean_nothing():
    extractor = AuricleFeatureExtractor.for_tower("eat")
    with pytest.raises(ValueError, match="PaSST's mel filters.*'eat'"):
        extractor(noise(16000).numpy(), sampling_rate=16000, mel_ranges=[(20.0, 7000.0)])
