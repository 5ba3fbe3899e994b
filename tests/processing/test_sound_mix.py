"""Mix files: rendered alike by every reader, whole or in part, and refused where they are wrong."""

import json

import numpy as np
import pytest
from tiny_models import sound, write_sound

from auricle.processing import AudioReadError, audio_seconds, load_waveform, read_audio, stream_waveform

RATE = 16_000


@pytest.fixture
def mix(tmp_path):
    """A second at half volume from 0.25 s on beneath two seconds; the paths are relative."""
    write_sound(tmp_path / "long.wav", 2.0, RATE, seed=1)
    write_sound(tmp_path / "short.wav", 1.5, RATE, seed=2)
    description = {
        "format": "auricle mix",
        "version": 1,
        "sampling_rate": RATE,
        "seconds": 2.0,
        "parts": [
            {"path": "long.wav", "offset": 0.0, "duration": None, "start": 0.0, "gain": 1.0},
            {"path": "short.wav", "offset": 0.5, "duration": 1.0, "start": 0.25, "gain": 0.5},
        ],
    }
    (tmp_path / "a.mix").write_text(json.dumps(description))
    return tmp_path / "a.mix"


def expected():
    whole = sound(2.0, RATE, seed=1).astype(np.float64)
    whole[4000:20000] += 0.5 * sound(1.5, RATE, seed=2)[8000:]
    return whole


def test_a_mix_is_the_sum_of_its_parts_at_their_places(mix):
    waveform, rate = read_audio(mix)
    assert rate == RATE and waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, expected(), atol=1e-4)
    assert audio_seconds(mix) == 2.0


def test_a_part_of_it_is_that_part_and_other_rates_are_made(mix):
    part, _ = read_audio(mix, offset=0.5, duration=1.0)
    np.testing.assert_allclose(part, expected()[8000:24000], atol=1e-4)
    assert len(read_audio(mix, offset=1.5, duration=9.0)[0]) == 8000
    assert len(load_waveform(mix, sampling_rate=8000)) == 16_000


def test_reading_it_in_pieces_gives_the_same(mix):
    pieces = np.concatenate(list(stream_waveform(mix, sampling_rate=RATE, offset=0.25)))
    np.testing.assert_array_equal(pieces, read_audio(mix, offset=0.25)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "not a mix file of version 1"),
        ({"parts": []}, "'parts' must be a list of sounds"),
        ({"parts": [{"start": 0, "gain": 1}]}, "a part has no 'path'"),
        (
            {"parts": [{"path": "long.wav", "start": -1, "gain": 1}]},
            "'start' is -1, but must be a number from 0",
        ),
        ({"parts": [{"path": "long.wav", "start": 0, "gain": "1"}]}, "'gain' is '1'"),
        ({"parts": [{"path": "gone.wav", "start": 0, "gain": 1}]}, r"gone\.wav: no such file"),
        ({"sampling_rate": 10}, "'sampling_rate' is 10, but must be a number from 8000 to 192000"),
        ({"seconds": None}, "'seconds' is None"),
    ],
)
def test_wrong_fields_are_named(mix, change, message):
    mix.write_text(json.dumps(json.loads(mix.read_text()) | change))
    with pytest.raises(AudioReadError, match=message):
        read_audio(mix)


def test_text_that_is_none_and_places_behind_the_end_are_refused(mix):
    with pytest.raises(AudioReadError, match=r"offset is 3 s, but the mix ends at 2 s"):
        read_audio(mix, offset=3)
    mix.write_text("{")
    for reading in (read_audio, audio_seconds):
        with pytest.raises(AudioReadError, match="not a readable mix file"):
            reading(mix)
