"""The cache of decoded training clips: what it holds, when it is made anew, and what a kill leaves."""

import multiprocessing
import os
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_models import SAMPLING_RATE, sound, write_sound

from auricle.data import DataError, waveform_cache
from auricle.data.waveform_cache import WaveformCache, cache_root
from auricle.processing import AudioReadError, load_waveform


@pytest.fixture
def clips(tmp_path) -> list[dict]:
    """Three sounds: whole, a part of a longer one, and one of another rate."""
    folder = tmp_path / "sounds"
    parts = [
        (write_sound(folder / "a.wav", 0.5, seed=1), 0.0, None),
        (write_sound(folder / "b.wav", 2.0, seed=2), 0.5, 1.0),
        (write_sound(folder / "c.wav", 1.0, rate=44100, seed=3), None, None),
    ]
    return [{"path": str(path), "offset": offset, "duration": length} for path, offset, length in parts]


def build(clips, folder: Path, rate: int = SAMPLING_RATE) -> WaveformCache:
    return WaveformCache.build(clips, sampling_rate=rate, cache_dir=folder, progress=False)


def test_clips_come_back_to_16_bits(clips, tmp_path):
    cache = build(clips, tmp_path / "cache")
    assert len(cache) == 3 and cache.sampling_rate == SAMPLING_RATE
    for index, clip in enumerate(clips):
        whole = load_waveform(
            clip["path"],
            sampling_rate=SAMPLING_RATE,
            offset=clip["offset"] or 0.0,
            duration=clip["duration"],
        )
        assert cache[index].dtype == np.float32 and cache[index].shape == whole.shape
        assert np.abs(cache[index] - whole).max() <= 0.5 / 32768 + 1e-7
    assert [len(cache[index]) for index in range(3)] == [8000, 16000, 16000]


def test_full_scale_is_clipped_and_does_not_wrap(tmp_path):
    loud = np.array([1.5, -1.5, 1.0, -1.0, 0.0] * 100, dtype=np.float32)
    soundfile.write(tmp_path / "loud.wav", loud, SAMPLING_RATE, subtype="FLOAT")
    clip = {"path": str(tmp_path / "loud.wav"), "offset": 0.0, "duration": None}
    cached = build([clip], tmp_path / "cache")[0]
    assert np.abs(cached - np.clip(loud, -1, 1)).max() <= 1 / 32768


def test_the_second_call_decodes_nothing(clips, tmp_path):
    first = build(clips, tmp_path / "cache")
    stamp = (first.directory / "samples.int16").stat().st_mtime_ns
    second = build(clips, tmp_path / "cache")
    assert second.directory == first.directory
    assert (second.directory / "samples.int16").stat().st_mtime_ns == stamp


def test_whatever_changes_the_samples_makes_a_new_cache(clips, tmp_path):
    folder = tmp_path / "cache"
    places = {build(clips, folder).directory, build(clips, folder, rate=8000).directory}
    places.add(build(clips[::-1], folder).directory)
    places.add(build([{**clips[0], "duration": 0.2}, *clips[1:]], folder).directory)
    places.add(build([{**clips[0], "offset": 0.1}, *clips[1:]], folder).directory)
    write_sound(Path(clips[0]["path"]), 0.5, seed=9)
    changed = build(clips, folder)
    places.add(changed.directory)
    assert len(places) == 6
    assert np.abs(changed[0] - sound(0.5, seed=9)).max() <= 1 / 32768


def test_a_clip_that_cannot_be_read_leaves_nothing_behind(clips, tmp_path):
    Path(clips[1]["path"]).write_text("no sound")
    with pytest.raises(AudioReadError, match="b.wav"):
        build(clips, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []
    Path(clips[2]["path"]).unlink()
    with pytest.raises(AudioReadError, match="c.wav"):
        build(clips, tmp_path / "cache")


def test_what_a_killed_build_left_is_replaced(clips, tmp_path):
    whole = build(clips, tmp_path / "cache")
    expected = [whole[index] for index in range(3)]
    unfinished = whole.directory.with_name(f"{whole.directory.name}.part")
    whole.directory.rename(unfinished)
    (unfinished / "index.json").unlink()
    again = build(clips, tmp_path / "cache")
    assert all(np.array_equal(again[index], expected[index]) for index in range(3))
    assert not unfinished.exists()


def test_a_cache_without_its_index_is_made_again(clips, tmp_path):
    (build(clips, tmp_path / "cache").directory / "index.json").unlink()
    assert len(build(clips, tmp_path / "cache")) == 3


def test_a_cache_with_samples_missing_is_refused(clips, tmp_path):
    directory = build(clips, tmp_path / "cache").directory
    os.truncate(directory / "samples.int16", 1000)
    with pytest.raises(DataError, match="holds 500 samples instead of 40000; delete it"):
        build(clips, tmp_path / "cache")


def test_a_place_that_cannot_be_written(clips, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match="cannot write the waveform cache"):
        build(clips, tmp_path / "cache")


def test_workers_get_the_place_and_not_the_samples(clips, tmp_path):
    cache = build(clips, tmp_path / "cache")
    pickled = pickle.dumps(cache)
    assert len(pickled) < 1000
    assert np.array_equal(pickle.loads(pickled)[2], cache[2])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_of_two_processes_at_once_one_decodes(clips, tmp_path, monkeypatch):
    context = multiprocessing.get_context("fork")
    decoded, answers, start = context.Value("i", 0), context.SimpleQueue(), context.Barrier(2)

    def slow(*arguments, **options):
        with decoded:
            decoded.value += 1
        time.sleep(0.05)
        return load_waveform(*arguments, **options)

    def work():
        start.wait()
        answers.put(float(build(clips, tmp_path / "cache")[1].sum()))

    monkeypatch.setattr(waveform_cache, "load_waveform", slow)
    both = [context.Process(target=work, daemon=True) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert answers.get() == answers.get() and decoded.value == 3


def test_the_root_is_the_argument_then_the_variable_then_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "variable"))
    assert cache_root(tmp_path / "given") == tmp_path / "given"
    assert cache_root() == tmp_path / "variable"
    monkeypatch.delenv("AURICLE_CACHE")
    assert cache_root() == Path.home() / ".cache" / "auricle"


def test_a_copied_cache_is_as_good(clips, tmp_path):
    cache = build(clips, tmp_path / "cache")
    shutil.copytree(cache.directory, tmp_path / "copy")
    assert np.array_equal(WaveformCache(tmp_path / "copy")[1], cache[1])
