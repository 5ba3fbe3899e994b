"""Channels become one by segment, by the samples of that segment alone, the same way however a file is read."""

import json

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoFeatureExtractor

from auricle.processing import AuricleFeatureExtractor, load_channels, mix_channels, stream_channels
from auricle.processing.audio_streaming import regroup

RATE = 16_000


def noise(seconds: float, channels: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((round(seconds * RATE), channels))).astype(
        np.float32
    )


def active(**settings: object) -> AuricleFeatureExtractor:
    return AuricleFeatureExtractor.for_tower("beats", downmix="active", segment_seconds=1.0, **settings)


def slow_active(samples: np.ndarray) -> np.ndarray:
    """The definition, channel by channel in double precision."""
    powers = [float(np.mean(samples[:, one].astype(np.float64) ** 2)) for one in range(samples.shape[1])]
    sounding = [one for one, power in enumerate(powers) if 10 * np.log10(power + 1e-30) > -90]
    mean = samples[:, sounding or list(range(samples.shape[1]))].astype(np.float64).mean(axis=1)
    loudest = max(powers)
    if sounding and 10 * np.log10(np.mean(mean**2) + 1e-30) < 10 * np.log10(loudest) - 20:
        return samples[:, next(one for one, power in enumerate(powers) if power >= 0.9 * loudest)]
    return mean


SOUNDS = {
    "two": noise(1, 2),
    "one of six": np.pad(noise(1, 1), ((0, 0), (2, 3))),
    "two of four, one soft": noise(1, 4) * np.array([1, 0, 1e-3, 0], np.float32),
    "dither beside a sound": np.concatenate([noise(1, 1), 1e-5 * noise(1, 1, seed=1)], axis=1),
    "inverse": noise(1, 1) * np.array([1, -1], np.float32),
    "nearly inverse": noise(1, 1) * np.array([1, -1], np.float32) + 1e-3 * noise(1, 2, seed=2),
    "inverse of half the level": noise(1, 1) * np.array([1, -0.5], np.float32),
    "silence": np.zeros((RATE, 3), np.float32),
    "dither alone": 1e-5 * noise(1, 2),
    "huge": np.full((100, 2), 3e38, np.float32),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_active_is_its_definition(name):
    samples = SOUNDS[name]
    with np.errstate(over="ignore"):
        mixed = mix_channels(samples, "active")
        expected = slow_active(samples)
    assert mixed.dtype == np.float32 and mixed.shape == (len(samples),)
    if name != "huge":
        np.testing.assert_allclose(mixed, expected, atol=1e-7)
    # Ordinary sounds are what they were.
    if name in ("two", "silence", "inverse of half the level"):
        np.testing.assert_array_equal(mixed, samples.mean(axis=1, dtype=np.float32))


def test_the_mean_is_the_mean_whatever_sounds():
    for samples in SOUNDS.values():
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(
                mix_channels(samples, "mean"), samples.mean(axis=1, dtype=np.float32)
            )


def test_one_channel_is_itself():
    mono = noise(1, 1)
    for rule in ("mean", "active"):
        np.testing.assert_array_equal(mix_channels(mono, rule), mono[:, 0])
        np.testing.assert_array_equal(mix_channels(mono[:, 0], rule), mono[:, 0])


def test_other_rules_are_refused():
    with pytest.raises(ValueError, match="downmix='loudest'; known: 'mean', 'active'"):
        mix_channels(noise(1, 2), "loudest")
    with pytest.raises(ValueError, match="downmix='loudest'"):
        AuricleFeatureExtractor(downmix="loudest")


@pytest.fixture
def changing(tmp_path):
    """A second each of both channels, the left one alone, a channel and its inverse, and nothing."""
    both, one = noise(1, 2), noise(1, 1, seed=3)
    parts = [
        both,
        np.pad(one, ((0, 0), (0, 1))),
        one * np.array([1, -1], np.float32),
        0 * both,
        both[: RATE // 2],
    ]
    path = tmp_path / "changing.wav"
    soundfile.write(path, np.concatenate(parts), RATE, subtype="FLOAT")
    return path, [slow_active(part).astype(np.float32) for part in parts]


def test_each_segment_is_mixed_by_its_own_samples(changing):
    path, expected = changing
    extractor = active()
    segments = extractor.cut(extractor.load(path))
    for segment, samples in zip(segments, expected, strict=True):
        np.testing.assert_allclose(segment[: len(samples)], samples, atol=1e-7)
        assert not segment[len(samples) :].any()


def test_whole_blocks_parts_and_arrays_agree(changing):
    path, _ = changing
    extractor = active()
    whole = extractor(str(path))["input_features"]
    assert len(whole) == 5
    for size in (1, 2, 7):
        blocks = list(extractor.iter_segments(path, segments_per_block=size))
        assert torch.equal(torch.cat([block.inputs["input_features"] for block in blocks]), whole)
    part = extractor({"path": str(path), "offset": 2.0, "duration": 2.0})["input_features"]
    assert torch.equal(part, whole[2:4])
    samples, rate = soundfile.read(path, dtype="float32")
    for array in (samples, samples.T):
        given = extractor({"array": array, "sampling_rate": rate})["input_features"]
        assert torch.equal(given, whole)


@pytest.mark.parametrize("rate", [RATE, 44_100])
@pytest.mark.parametrize("channels", [2, 6])
def test_channels_are_the_same_read_at_once_and_in_pieces(tmp_path, rate, channels):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(3.3, channels), rate)
    for part in ({}, {"offset": 0.7}, {"offset": 0.31, "duration": 0.45}):
        whole = load_channels(path, sampling_rate=RATE, **part)
        pieces = list(stream_channels(path, sampling_rate=RATE, piece_seconds=0.2, **part))
        assert whole.ndim == 2 and whole.shape[1] == channels
        streamed = np.concatenate(pieces)
        assert streamed.shape == whole.shape
        assert np.abs(streamed - whole).max() <= (0 if rate == RATE else 1e-5)
        # Each channel is what it would be alone.
        alone = tmp_path / "alone.flac"
        soundfile.write(alone, noise(3.3, channels)[:, 1], rate)
        np.testing.assert_allclose(load_channels(alone, sampling_rate=RATE, **part), whole[:, 1], atol=1e-6)


def test_regroup_keeps_channels_apart():
    sound = np.arange(60, dtype=np.float32).reshape(30, 2)
    groups = list(regroup([sound[:7], sound[7:8], sound[8:]], 4))
    assert [len(group) for group in groups] == [4] * 7 + [2]
    np.testing.assert_array_equal(np.concatenate(groups), sound)


def test_the_setting_is_saved_and_older_directories_mean_the_mean(tmp_path):
    active(resampler="torchaudio").save_pretrained(tmp_path)
    loaded = AuricleFeatureExtractor.from_pretrained(tmp_path)
    assert (loaded.downmix, loaded.resampler) == ("active", "torchaudio")
    file = tmp_path / "preprocessor_config.json"
    settings = json.loads(file.read_text())
    del settings["downmix"], settings["resampler"]
    file.write_text(json.dumps(settings))
    loaded = AuricleFeatureExtractor.from_pretrained(tmp_path)
    assert (loaded.downmix, loaded.resampler) == ("mean", "soxr")
    assert AuricleFeatureExtractor.from_dict(settings).downmix == "mean"
    assert AuricleFeatureExtractor.from_pretrained(tmp_path, downmix="active").downmix == "active"
    # As a processor saves it: within its own file.
    (tmp_path / "processor_config.json").write_text(json.dumps({"feature_extractor": settings}))
    file.unlink()
    assert AuricleFeatureExtractor.from_pretrained(tmp_path).downmix == "mean"
    assert AutoFeatureExtractor.from_pretrained(tmp_path).downmix == "mean"
    # One that is made anew.
    assert AuricleFeatureExtractor().downmix == AuricleFeatureExtractor.for_tower("eat").downmix == "active"


def test_with_the_mean_nothing_changes(tmp_path):
    """Averaged before it is resampled, as it always was: to the bit."""
    path = tmp_path / "a.wav"
    sound = noise(2.5, 2)
    soundfile.write(path, sound, 44_100, subtype="FLOAT")
    mono = tmp_path / "mono.wav"
    soundfile.write(mono, sound.mean(axis=1, dtype=np.float32), 44_100, subtype="FLOAT")
    extractor = AuricleFeatureExtractor.for_tower("passt", downmix="mean")
    assert torch.equal(extractor(str(path))["input_features"], extractor(str(mono))["input_features"])
    assert extractor.load(path).ndim == 1
