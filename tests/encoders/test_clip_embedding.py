"""Vectors of whole clips against brute force, with an encoder whose vectors can be computed by hand."""

import numpy as np
import pytest
import soundfile

from auricle.encoders import AudioTextEncoder
from auricle.encoders.interface import unit_rows
from auricle.processing import AudioReadError

RATE = 8_000


class Moments(AudioTextEncoder):
    """A window's row is the mean, the spread and the length of what is real of it."""

    sampling_rate, window_seconds, embedding_dim = RATE, 1.0, 3
    fingerprint, precision, min_tail_seconds = "moments", "float32", 0.25

    def __init__(self):
        self.calls = []

    def prepare_texts(self, sentences):
        return list(sentences)

    def embed_texts(self, sentences, *, batch_size=64, progress=False):
        return np.zeros((len(sentences), 3), dtype=np.float32)

    def pool_windows(self, waveforms, lengths):
        self.calls.append(len(lengths))
        assert waveforms.shape == (len(lengths), self.window_samples)
        assert all(not row[length:].any() for row, length in zip(waveforms, lengths, strict=True))
        return np.stack([row_of(row[:length]) for row, length in zip(waveforms, lengths, strict=True)])


def row_of(samples):
    return np.array([samples.mean(), samples.std(), len(samples) / RATE], dtype=np.float32)


def by_hand(samples):
    """Windows one behind the other; a rest of under a quarter of a second is left out."""
    rows = [row_of(samples[start : start + RATE]) for start in range(0, len(samples), RATE)]
    if len(rows) > 1 and len(samples) % RATE and len(samples) % RATE < RATE // 4:
        rows.pop()
    return unit_rows(np.mean(rows, axis=0)[None])[0]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Waveforms of many lengths and their files, at the encoder's rate."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    seconds = (0.01, 0.6, 1.0, 1.2, 1.3, 2.0, 3.249, 3.25, 25.5)
    waves = [
        rng.normal(scale=0.2, size=round(length * RATE)).clip(-1, 1).astype(np.float32) for length in seconds
    ]
    paths = []
    for number, wave in enumerate(waves):
        paths.append(str(folder / f"{number}.wav"))
        soundfile.write(paths[-1], wave, RATE, subtype="FLOAT")
    return waves, paths


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16, 1000])
def test_files_and_arrays_as_by_hand(clips, batch_size):
    waves, paths = clips
    expected = np.stack([by_hand(wave) for wave in waves])
    encoder = Moments()
    rows, failures = encoder.embed_clips(paths, batch_size=batch_size)
    assert failures == [] and np.abs(rows - expected).max() <= 1e-6
    assert max(encoder.calls) <= batch_size
    arrays = [{"array": wave, "sampling_rate": RATE} for wave in waves]
    assert np.abs(encoder.embed_clips(arrays, batch_size=batch_size)[0] - expected).max() <= 1e-6


def test_a_part_of_a_file(clips):
    waves, paths = clips
    part = {"path": paths[-1], "offset": 2.5, "duration": 3.5}
    expected = by_hand(waves[-1][round(2.5 * RATE) : round(6.0 * RATE)])
    rows, _ = Moments().embed_clips([part, {"path": paths[-1], "offset": None, "duration": None}])
    assert np.abs(rows[0] - expected).max() <= 1e-6
    assert np.abs(rows[1] - by_hand(waves[-1])).max() <= 1e-6


def test_a_file_that_breaks_off_leaves_the_others_alone(clips, tmp_path):
    waves, paths = clips
    # Its first 10 s can be read and are embedded before the fault is met.
    broken = tmp_path / "broken.wav"
    bad = np.concatenate([waves[-1], np.full(10, np.nan, dtype=np.float32)])
    soundfile.write(broken, bad, RATE, subtype="FLOAT")
    given = [paths[3], str(broken), paths[4], str(tmp_path / "none.wav"), paths[5]]
    for batch_size in (1, 4, 7, 64):
        rows, failures = Moments().embed_clips(given, batch_size=batch_size, skip_unreadable=True)
        assert [index for index, _ in failures] == [1, 3]
        assert "broken.wav" in failures[0][1] and "none.wav" in failures[1][1]
        for place, wave in ((0, waves[3]), (2, waves[4]), (4, waves[5])):
            assert np.abs(rows[place] - by_hand(wave)).max() <= 1e-6
        assert not rows[[1, 3]].any()
    with pytest.raises(AudioReadError, match=r"broken\.wav"):
        Moments().embed_clips(given)


def test_numbers_that_overflow_are_named(clips, monkeypatch):
    _, paths = clips
    encoder = Moments()
    monkeypatch.setattr(encoder, "pool_windows", lambda rows, lengths: np.full((len(rows), 3), np.inf))
    rows, failures = encoder.embed_clips(paths[:2], skip_unreadable=True)
    assert not rows.any() and [index for index, _ in failures] == [0, 1]
    assert "0.wav: its samples are too large" in failures[0][1]
    with pytest.raises(AudioReadError, match="too large"):
        encoder.embed_clips(paths[:2])


def test_a_long_file_is_never_in_memory_at_once(tmp_path):
    import tracemalloc

    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as file:
        minute = np.sin(np.arange(60 * RATE) / 50).astype(np.float32) * 0.5
        for _ in range(20):
            file.write(minute)
    encoder = Moments()
    tracemalloc.start()
    rows, failures = encoder.embed_clips([str(path)], batch_size=8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert failures == [] and rows.any() and sum(encoder.calls) == 1200
    assert peak < 6e6  # as float32 the 20 minutes have 38 MB
