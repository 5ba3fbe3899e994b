"""The resampler is a setting: torchaudio's where it is installed, and a clear message where it is not."""

import math
import os
import re
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from parity_cases import find_cases, read_case

from auricle.processing import (
    AudioReadError,
    AuricleFeatureExtractor,
    load_waveform,
    resampling,
    stream_waveform,
)
from auricle.processing.resampling import resample, resample_pieces

try:
    import torchaudio
except (ImportError, OSError):
    torchaudio = None

PAIRS = [
    (44_100, 16_000),
    (48_000, 16_000),
    (8_000, 16_000),
    (96_000, 32_000),
    (22_050, 16_000),
    (384_000, 16_000),
]


def documented_sinc(waveform, orig_freq, new_freq, lowpass_filter_width, rolloff, resampling_method):
    """
    What torchaudio documents of `resample`: at every output time a sinc at ``rolloff`` times the lower rate, six
    zero crossings to each side under a Hann window. Written from that, sample by sample.
    """
    assert (lowpass_filter_width, rolloff, resampling_method) == (6, 0.99, "sinc_interp_hann")
    divisor = math.gcd(orig_freq, new_freq)
    orig, new = orig_freq // divisor, new_freq // divisor
    base = min(orig, new) * rolloff
    width = math.ceil(lowpass_filter_width * orig / base)
    length = waveform.shape[-1]
    out = torch.zeros(*waveform.shape[:-1], math.ceil(new * length / orig), dtype=torch.float64)
    padded = torch.nn.functional.pad(waveform.double(), (width, width + orig))
    for place in range(out.shape[-1]):
        block, phase = divmod(place, new)
        times = (torch.arange(-width, width + orig, dtype=torch.float64) / orig - phase / new) * base
        times = times.clamp(-lowpass_filter_width, lowpass_filter_width)
        window = torch.cos(times * math.pi / lowpass_filter_width / 2) ** 2
        kernel = torch.sinc(times) * window * base / orig
        out[..., place] = padded[..., block * orig : block * orig + len(kernel)] @ kernel
    return out.to(waveform.dtype)


@pytest.fixture
def resampler(monkeypatch):
    """torchaudio itself, or its documentation carried out."""
    if torchaudio is None:
        own = types.SimpleNamespace(functional=types.SimpleNamespace(resample=documented_sinc))
        monkeypatch.setattr(resampling, "require_torchaudio", lambda: (torch, own))


def noise(samples: int) -> np.ndarray:
    return (0.2 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_pieces_are_what_the_whole_is(resampler, source, target):
    for length in (1, 40, 1500):
        sound = noise(length)
        whole = resample(sound, source_rate=source, target_rate=target, resampler="torchaudio")
        assert len(whole) == math.ceil(length * target / source)
        for size in (7, 500, 1499):
            if length // size > 100:
                continue
            pieces = (sound[start : start + size] for start in range(0, length, size))
            rates = {"source_rate": source, "target_rate": target}
            streamed = np.concatenate(list(resample_pieces(pieces, **rates, resampler="torchaudio")))
            assert streamed.shape == whole.shape and np.abs(streamed - whole).max() < 1e-5


def test_it_differs_from_soxr_in_the_top_bands_only(resampler):
    """What the choice is for: below three quarters of the new band they agree."""
    time = np.arange(4410) / 44_100
    for frequency, most, least in ((1000, 2e-3, 0), (7800, 1, 0.05)):
        tone = np.sin(2 * np.pi * frequency * time).astype(np.float32)
        both = [
            resample(tone, source_rate=44_100, target_rate=16_000, resampler=one)
            for one in ("soxr", "torchaudio")
        ]
        difference = np.abs(both[0] - both[1])[200:-200].max()
        assert least <= difference <= most, (frequency, difference)


def test_channels_are_resampled_one_by_one(resampler):
    sound = np.stack([noise(2000), noise(2100)[100:]], axis=1)
    rates = {"source_rate": 44_100, "target_rate": 16_000, "resampler": "torchaudio"}
    both = resampling.resample_channels(sound, **rates)
    for channel in (0, 1):
        np.testing.assert_allclose(both[:, channel], resample(sound[:, channel], **rates), atol=1e-6)


def test_a_file_is_read_with_the_chosen_one(resampler, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(3000), 44_100, subtype="FLOAT")
    chosen = load_waveform(path, sampling_rate=16_000, resampler="torchaudio")
    assert np.array_equal(
        chosen, resample(noise(3000), source_rate=44_100, target_rate=16_000, resampler="torchaudio")
    )
    streamed = np.concatenate(
        list(stream_waveform(path, sampling_rate=16_000, resampler="torchaudio", piece_seconds=0.02))
    )
    assert np.abs(streamed - chosen).max() < 1e-5
    plain = AuricleFeatureExtractor.for_tower("beats")
    other = AuricleFeatureExtractor.for_tower("beats", resampler="torchaudio")
    assert np.array_equal(other.load(path), chosen) and not np.array_equal(plain.load(path), chosen)
    (block,) = other.iter_segments(path)
    assert torch.equal(block.inputs["input_features"], other(str(path))["input_features"])


def _recorded_spans() -> list[tuple[Path, int, str, float, float]]:
    clip = re.compile(r"(\d-\d+-[A-Z]\.ogg)\D*?(?: \([^)]*\))? ([\d.]+)-([\d.]+) s")
    return [
        (case, number, name, float(start), float(end))
        for model in ("beats", "eat")
        for case in find_cases(model)
        for number, (name, start, end) in enumerate(clip.findall(read_case(case).meta.get("audio") or ""))
    ]


@pytest.mark.slow
@pytest.mark.skipif("AURICLE_DATA_DIR" not in os.environ, reason="needs the clips of ESC-10")
def test_a_file_resampled_by_torchaudio_is_what_the_references_recorded():
    if torchaudio is None:
        pytest.skip("needs torchaudio itself")
    clips = {path.name: path for path in Path(os.environ["AURICLE_DATA_DIR"]).rglob("esc10/**/*.ogg")}
    compared = 0
    for case, number, name, start, end in _recorded_spans():
        inputs = read_case(case).inputs
        recorded = inputs.get(f"waveform_{number}", inputs.get("waveform"))
        if name not in clips or recorded is None:
            continue
        recorded = recorded[number if recorded.shape[0] > 1 else 0].numpy()
        first, count = round(start * 16_000), round((end - start) * 16_000)
        found = {
            resampler: load_waveform(clips[name], sampling_rate=16_000, downmix="mean", resampler=resampler)[
                first : first + count
            ]
            for resampler in ("torchaudio", "soxr")
        }
        np.testing.assert_allclose(found["torchaudio"], recorded[:count], atol=1e-6)
        assert np.abs(found["soxr"] - recorded[:count]).max() > 1e-5
        compared += 1
    assert compared >= 10


def test_other_resamplers_are_refused():
    with pytest.raises(ValueError, match="resampler='sox'; known: 'soxr', 'torchaudio'"):
        resample(noise(10), source_rate=8000, target_rate=16_000, resampler="sox")
    with pytest.raises(ValueError, match="resampler='sox'"):
        AuricleFeatureExtractor(resampler="sox")


def test_rates_without_a_common_divisor_are_refused_and_do_not_take_hours(resampler):
    with pytest.raises(
        AudioReadError, match="from 44101 to 16000 Hz torchaudio would need a filter of 16,000 phases"
    ):
        resample(noise(10), source_rate=44_101, target_rate=16_000, resampler="torchaudio")


@pytest.mark.parametrize(
    "fault", [ImportError("No module named 'torchaudio'"), OSError("undefined symbol: _ZN3c10\nhere")]
)
def test_a_missing_or_broken_torchaudio_is_met_by_who_asks_for_it_alone(monkeypatch, fault):
    def importing(name: str):
        if name == "torchaudio":
            raise fault
        return __import__(name)

    monkeypatch.setattr(resampling.importlib, "import_module", importing)
    sound = {"array": noise(20_000), "sampling_rate": 44_100}
    AuricleFeatureExtractor.for_tower("beats")(sound)
    chosen = AuricleFeatureExtractor.for_tower("beats", resampler="torchaudio")
    # A sound of the model's own rate is not resampled.
    chosen({**sound, "sampling_rate": 16_000})
    with pytest.raises(
        ImportError, match="resampler='torchaudio' needs the package 'torchaudio'.*pip install"
    ) as caught:
        chosen(sound)
    assert "\n" not in str(caught.value)
