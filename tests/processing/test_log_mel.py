"""Mel filters and log-mel against definitions written out here in double precision."""

import math

import numpy as np
import pytest
import torch
from tiny_models import sound

from auricle.processing import kaldi_mel_bank, passt_log_mel
from auricle.processing.log_mel import num_frames


def brute_mel_bank(bins, fft_bins, rate, fmin, fmax):
    """Triangles on the mel axis, one weight at a time, in double precision."""

    def mel(hertz):
        return 1127.0 * math.log(1.0 + hertz / 700.0)

    step = (mel(fmax) - mel(fmin)) / (bins + 1)
    bank = np.zeros((bins, fft_bins))
    for row in range(bins):
        left, centre, right = (mel(fmin) + (row + k) * step for k in range(3))
        for column in range(fft_bins - 1):
            place = mel(column * rate / (2 * (fft_bins - 1)))
            if left < place <= centre:
                bank[row, column] = (place - left) / (centre - left)
            elif centre < place < right:
                bank[row, column] = (right - place) / (right - centre)
    return bank


def brute_log_mel(wave, bank, n_fft, hop, window_length, preemphasis=0.97):
    """The front end frame by frame with numpy's transform, in double precision."""
    wave = wave.astype(np.float64)
    emphasised = wave[1:] - preemphasis * wave[:-1]
    padded = np.pad(emphasised, n_fft // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window_length) / (window_length - 1))
    margin = (n_fft - window_length) // 2
    window = np.pad(window, (margin, n_fft - window_length - margin))
    rows = []
    for start in range(0, len(emphasised) + 1, hop):
        power = np.abs(np.fft.rfft(padded[start : start + n_fft] * window)) ** 2
        rows.append((np.log(bank @ power + 1e-5) + 4.5) / 5)
    return np.stack(rows)


BANKS = [(128, 513, 32_000, 0.0, 15_000.0), (64, 257, 16_000, 20.0, 7_800.0), (32, 257, 16_000, 0.0, 8_000.0)]


@pytest.mark.parametrize("settings", BANKS)
def test_filters_are_kaldis_triangles(settings):
    bank = kaldi_mel_bank(*settings)
    assert bank.shape == settings[:2]
    assert bank.dtype == torch.float32
    np.testing.assert_allclose(bank.numpy(), brute_mel_bank(*settings), atol=1e-6)
    assert bank[:, -1].abs().max() == 0
    assert bank.min() >= 0 and bank.max() <= 1


@pytest.mark.parametrize(
    ("fmin", "fmax"), [(-1.0, 8_000.0), (0.0, 8_001.0), (5_000.0, 5_000.0), (6_000.0, 5_000.0)]
)
def test_impossible_ranges_are_named(fmin, fmax):
    with pytest.raises(ValueError, match=f"fmin={fmin}, fmax={fmax} Hz; it must satisfy .* <= 8000.0"):
        kaldi_mel_bank(32, 257, 16_000, fmin, fmax)


SETTINGS = [
    (32_000, {"n_fft": 1024, "hop_length": 320, "win_length": 800}),
    (16_000, {"n_fft": 512, "hop_length": 160, "win_length": 400}),
]


@pytest.mark.parametrize(("rate", "settings"), SETTINGS)
@pytest.mark.parametrize("samples", [5_000, 8_000, 8_001, 8_160])
def test_log_mel_equals_the_definition(rate, settings, samples):
    wave = sound(1.0, rate, seed=1)[:samples]
    bank = kaldi_mel_bank(32, settings["n_fft"] // 2 + 1, rate, 0.0, 0.45 * rate)
    got = passt_log_mel(torch.from_numpy(wave)[None], bank, **settings)[0].numpy()
    expected = brute_log_mel(
        wave, bank.double().numpy(), settings["n_fft"], settings["hop_length"], settings["win_length"]
    )
    assert got.shape == expected.shape == (num_frames(samples, settings["hop_length"]), 32)
    assert np.abs(got - expected).max() <= 1e-3
    assert np.abs(got - expected).mean() <= 1e-5


def test_published_settings_are_the_default():
    bank = kaldi_mel_bank(128, 513, 32_000, 0.0, 15_000.0)
    wave = torch.from_numpy(sound(0.5, 32_000, seed=2))[None]
    explicit = passt_log_mel(wave, bank, **SETTINGS[0][1], preemphasis=0.97)
    assert torch.equal(passt_log_mel(wave, bank), explicit)


BANK = kaldi_mel_bank(32, 257, 16_000, 0.0, 7_500.0)
TINY = SETTINGS[1][1]


def test_digital_silence():
    got = passt_log_mel(torch.zeros(1, 16_000), BANK, **TINY)
    torch.testing.assert_close(got, torch.full_like(got, -1.40259), atol=1e-5, rtol=0)


def test_a_tone_rises_where_it_belongs():
    # At ten times the amplitude the power is a hundredfold: ln(100) / 5 more.
    times = torch.arange(16_000) / 16_000
    wave = torch.sin(2 * torch.pi * 1_000 * times)[None]
    quiet, loud = (passt_log_mel(wave * gain, BANK, **TINY)[0, 50] for gain in (0.05, 0.5))
    peak = int(BANK[:, round(1_000 / 16_000 * 512)].argmax())
    assert int(loud.argmax()) == peak
    assert (loud - quiet)[peak].item() == pytest.approx(math.log(100) / 5, abs=1e-3)


def test_preemphasis_weakens_the_bass():
    wave = torch.sin(2 * torch.pi * 200 * torch.arange(16_000) / 16_000)[None] * 0.5
    with_it, without = (
        passt_log_mel(wave, BANK, **TINY, preemphasis=value)[0, 50].max().item() for value in (0.97, 0.0)
    )
    # |1 - 0.97 e^(-jw)|^2 at 200 of 16,000 Hz
    gain = 1 + 0.97**2 - 2 * 0.97 * math.cos(2 * math.pi * 200 / 16_000)
    assert with_it - without == pytest.approx(math.log(gain) / 5, abs=0.02)


def test_clips_of_a_batch_are_independent():
    waves = torch.from_numpy(np.stack([sound(0.5, seed=seed) for seed in range(3)]))
    together = passt_log_mel(waves, BANK, **TINY)
    for row, wave in enumerate(waves):
        torch.testing.assert_close(
            together[row], passt_log_mel(wave[None], BANK, **TINY)[0], atol=1e-6, rtol=0
        )


def test_every_clip_may_have_its_own_filters():
    waves = torch.from_numpy(np.stack([sound(0.5, seed=seed) for seed in range(2)]))
    other = kaldi_mel_bank(32, 257, 16_000, 40.0, 7_000.0)
    got = passt_log_mel(waves, torch.stack([BANK, other]), **TINY)
    for row, bank in enumerate((BANK, other)):
        expected = passt_log_mel(waves[row : row + 1], bank, **TINY)[0]
        torch.testing.assert_close(got[row], expected, atol=1e-6, rtol=0)


def test_half_precision_around_it_changes_nothing():
    waves = torch.from_numpy(sound(0.5, seed=4))[None]
    expected = passt_log_mel(waves, BANK, **TINY)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = passt_log_mel(waves, BANK, **TINY)
    assert got.dtype == torch.float32
    assert torch.equal(got, expected)


@pytest.mark.parametrize("shape", [(16_000,), (1, 257), (1, 2, 16_000)])
def test_other_shapes_are_named(shape):
    with pytest.raises(ValueError, match="needed: .clips, samples. with at least 258 samples"):
        passt_log_mel(torch.zeros(shape), BANK, **TINY)


def test_the_shortest_input_gives_finite_numbers():
    assert passt_log_mel(torch.rand(1, 258), BANK, **TINY).isfinite().all()
