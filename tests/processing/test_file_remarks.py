"""Remarks on files that are read all the same: collected where someone collects, logged once where not."""

import threading

import numpy as np
import soundfile
from sound_files import chunk, encoded, save, tones, wav, written

from auricle.processing import FileRemarks, add_remark, load_waveform, measure_sound, stream_waveform

RATE = 16_000
SOUND = tones(2, RATE)
CANCEL = "its channels cancel each other: their mean is more than 20 dB below the loudest"
OPEN = "its header leaves the length of the sound open: read to the end of the file"


def antiphase(path):
    soundfile.write(path, np.concatenate([SOUND, -SOUND], axis=1), RATE, subtype="FLOAT")
    return str(path)


def remarks_of(path, read=measure_sound):
    with FileRemarks() as remarks:
        read(path)
    return remarks.of(str(path))


def test_collected_and_then_not_logged(tmp_path, caplog):
    path = antiphase(tmp_path / "a.wav")
    with caplog.at_level("WARNING"):
        # Each collector hears all, however often the file was read before.
        for _ in range(2):
            assert remarks_of(path) == (CANCEL,)
        assert not caplog.records
        measure_sound(path)
        measure_sound(path)
    assert caplog.messages == [f"{path}: {CANCEL}"]
    with FileRemarks() as outer:
        assert remarks_of(path) == (CANCEL,)
        thread = threading.Thread(target=add_remark, args=("b.wav", "from a thread"))
        thread.start()
        thread.join()
    assert outer.found == [(path, CANCEL), ("b.wav", "from a thread")] and outer.of("c.wav") == ()


def test_what_is_remarked_on(tmp_path):
    two = save(tmp_path / "two.mka", encoded(SOUND, RATE, container="matroska", codec="flac", tracks=2))
    assert remarks_of(two) == ("contains 2 sound tracks, of which the first is read",)
    rest = bytes(range(128, 256)) * 64
    assert remarks_of(save(tmp_path / "behind.wav", wav(SOUND, RATE, behind=rest))) == (
        "8192 bytes after the end of its audio are neither audio nor a known chunk",
    )
    assert remarks_of(save(tmp_path / "crashed.wav", wav(SOUND, RATE, data_size=0))) == (OPEN,)
    au = written(SOUND, RATE, container="AU", subtype="PCM_16")
    au[8:12] = bytes(4)
    assert remarks_of(save(tmp_path / "open.au", bytes(au))) == (OPEN,)
    for name, behind in (("fine.wav", b""), ("chunk.wav", chunk(b"note", b"x" * 9000))):
        assert remarks_of(save(tmp_path / name, wav(SOUND, RATE, behind=behind))) == ()
    stereo = tmp_path / "stereo.wav"
    soundfile.write(stereo, np.concatenate([SOUND, 0.5 * SOUND], axis=1), RATE)
    assert remarks_of(stereo) == ()


def test_every_way_of_reading_remarks(tmp_path):
    path = antiphase(tmp_path / "a.wav")
    ways = (
        lambda path: load_waveform(path, sampling_rate=8000),
        lambda path: list(stream_waveform(path, sampling_rate=8000, downmix="mean")),
    )
    for read in ways:
        (remark,) = remarks_of(path, read)
        assert remark.startswith("its channels cancel each other: ")
