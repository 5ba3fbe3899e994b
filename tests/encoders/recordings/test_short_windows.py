"""A vector a second: against windows cut by hand, in any pieces, at the ends of recordings, and for other towers."""

import numpy as np
import pytest
import soundfile
from tiny_models import SAMPLING_RATE, sound, tiny_model_and_processor

from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.encoders.interface import AudioTextEncoder
from auricle.encoders.recordings import short_windows
from auricle.encoders.recordings.short_windows import (
    embed_short_windows,
    short_window_count,
    short_window_seconds,
    stream_short_windows,
)
from auricle.processing import AudioReadError

HOP = 0.5


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return AuricleEncoder(*tiny_model_and_processor(tmp_path_factory.mktemp("tokenizer")))


@pytest.fixture(autouse=True)
def shorter(monkeypatch):
    # The tiny model's own windows last a second.
    monkeypatch.setattr(short_windows, "SHORT_WINDOW_SECONDS", 0.64)


def by_hand(encoder, samples):
    length, vectors = round(0.64 * SAMPLING_RATE), []
    for number in range(short_window_count(len(samples) / SAMPLING_RATE, HOP)):
        start = round((number + 0.5) * HOP * SAMPLING_RATE - length / 2)
        start = max(0, min(start, len(samples) - length))
        window = np.zeros(length, dtype=np.float32)
        part = samples[start : start + length]
        window[: len(part)] = part
        vectors.append(encoder.embed_short_windows(window[None])[0])
    return np.stack(vectors)


@pytest.mark.parametrize("seconds", [0.2, 0.5, 0.64, 0.66, 1.0, 2.3, 5.01])
@pytest.mark.parametrize("piece", [97, 4000, 10**6])
def test_windows_are_those_cut_by_hand_whatever_the_pieces(encoder, seconds, piece):
    samples = sound(seconds).astype(np.float32)
    pieces = (samples[start : start + piece] for start in range(0, len(samples), piece))
    batches = list(stream_short_windows(encoder, pieces, hop_seconds=HOP, batch_size=3))
    assert all(len(batch) <= 3 for batch in batches)
    assert np.abs(np.concatenate(batches) - by_hand(encoder, samples)).max() < 2e-6


def test_a_file_tells_its_duration(encoder, tmp_path):
    samples = np.stack([sound(2.3), sound(2.3, seed=1)], axis=1)
    soundfile.write(tmp_path / "a.wav", samples, SAMPLING_RATE, subtype="FLOAT")
    found = embed_short_windows(encoder, tmp_path / "a.wav", hop_seconds=HOP)
    assert found.vectors.shape == (5, encoder.embedding_dim) and found.duration == pytest.approx(2.3)
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)


def test_passt_sees_the_sound_alone_and_others_fill_up(encoder):
    waveforms = np.stack([sound(0.64), sound(0.64, seed=3)]).astype(np.float32)
    whole = encoder.embed_short_windows(waveforms)
    filled = AudioTextEncoder.embed_short_windows(encoder, waveforms)
    full = np.zeros((2, encoder.window_samples), dtype=np.float32)
    full[:, : waveforms.shape[1]] = waveforms
    assert np.array_equal(filled, encoder.embed_windows(full, [waveforms.shape[1]] * 2))
    assert encoder.embeds_short_windows and np.abs(whole - filled).max() > 1e-3


def test_what_cannot_be_embedded_is_refused(encoder):
    with pytest.raises(ValueError, match="hop_seconds=0 must be above 0 and at most a window"):
        next(stream_short_windows(encoder, [sound(1.0)], hop_seconds=0))
    with pytest.raises(ValueError, match="hop_seconds=9"):
        next(stream_short_windows(encoder, [sound(1.0)], hop_seconds=9))
    with pytest.raises(AudioReadError, match="contains no audio"):
        next(stream_short_windows(encoder, [], hop_seconds=HOP))
    with pytest.raises(AudioReadError, match="too large"):
        next(stream_short_windows(encoder, [np.full(16000, 1e30, dtype=np.float32)], hop_seconds=HOP))


def test_lengths_and_counts(encoder):
    assert short_window_seconds(encoder, 0.9) == 0.9
    assert short_window_seconds(encoder) == encoder.window_seconds == 1.0
    assert [short_window_count(seconds) for seconds in (0.1, 1.0, 1.1, 60.0)] == [1, 1, 2, 60]
