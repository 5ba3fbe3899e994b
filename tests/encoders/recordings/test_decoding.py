"""Files decoded ahead: the same samples in the same order, errors in their place, nothing left behind."""

import threading
import time

import numpy as np
import pytest
from tiny_models import write_sound

from auricle.encoders.recordings.decoding import decode_ahead
from auricle.processing import AudioReadError, stream_waveform
from auricle.processing.audio_streaming import PIECE_SECONDS

RATE = 8000


def read(path):
    return stream_waveform(path, sampling_rate=RATE)


@pytest.fixture
def paths(tmp_path):
    return [
        str(write_sound(tmp_path / f"{number}.wav", 0.3 + 0.1 * number, seed=number)) for number in range(7)
    ]


def decoders() -> int:
    return sum(thread.name.startswith("decode-ahead") for thread in threading.enumerate())


def until_they_end() -> bool:
    end = time.monotonic() + 10
    while decoders() and time.monotonic() < end:
        time.sleep(0.01)
    return not decoders()


@pytest.mark.parametrize("threads", [1, 3, 20])
def test_every_file_has_its_own_samples_in_order(paths, threads):
    seen = []
    for path, pieces in decode_ahead(iter(paths), read, threads=threads):
        expected = np.concatenate(list(stream_waveform(path, sampling_rate=RATE)))
        assert np.array_equal(np.concatenate(list(pieces)), expected)
        seen.append(path)
    assert seen == paths and until_they_end()
    assert list(decode_ahead(iter([]), read)) == []


def test_an_error_comes_with_its_file_and_the_next_goes_on(paths, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF no sound")
    gone = tmp_path / "gone.wav"
    told = {}
    for path, pieces in decode_ahead([paths[0], str(broken), str(gone), paths[1]], read):
        try:
            told[path] = len(np.concatenate(list(pieces)))
        except (AudioReadError, OSError) as error:
            told[path] = type(error)
    assert told[paths[0]] > 0 and told[paths[1]] > 0
    assert issubclass(told[str(broken)], AudioReadError) and issubclass(
        told[str(gone)], (AudioReadError, OSError)
    )


def test_it_runs_ahead_by_some_files_and_no_further(paths):
    taken = []

    def source():
        for path in paths:
            taken.append(path)
            yield path

    running = decode_ahead(source(), read, threads=2)
    next(running)
    assert taken == paths[:3]
    next(running)
    assert taken == paths[:4]
    running.close()
    assert until_they_end()


def test_a_long_file_waits_in_few_pieces_and_can_be_left(tmp_path):
    long = write_sound(tmp_path / "long.wav", 30 * PIECE_SECONDS, seed=1)
    short = write_sound(tmp_path / "short.wav", 0.5, seed=2)
    running = decode_ahead([str(long), str(short)], read, threads=1)
    _, pieces = next(running)
    next(pieces)
    time.sleep(0.5)
    # All of it would have been decoded by now, and the short one too.
    short.unlink()
    path, pieces = next(running)
    assert path == str(short)
    with pytest.raises((AudioReadError, OSError)):
        next(pieces)
    running.close()
    assert until_they_end()
