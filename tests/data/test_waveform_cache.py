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

from auricle.data import DataError, waveform_writing
from auricle.data.waveform_cache import WaveformCache, cache_root
from auricle.data.waveform_writing import WaveformForm, estimated_bytes, write_waveforms
from auricle.processing import AudioReadError, load_channels, load_waveform

FORM = WaveformForm(SAMPLING_RATE)


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


def test_a_clip_that_cannot_be_read_stops_nothing_and_is_named(clips, tmp_path, caplog):
    expected = build(clips, tmp_path / "good")[2]
    Path(clips[0]["path"]).write_text("no sound")
    Path(clips[1]["path"]).unlink()
    for _ in range(2):
        cache = build(clips, tmp_path / "cache")
        assert sorted(cache.unreadable) == [0, 1] and np.array_equal(cache[2], expected)
        with pytest.raises(AudioReadError, match="a.wav"):
            cache[0]
        with pytest.raises(AudioReadError, match="b.wav"):
            cache[np.int64(1)]
    assert "a.wav" in caplog.text and "b.wav" in caplog.text


def test_clips_none_of_which_can_be_read(clips, tmp_path):
    for clip in clips:
        Path(clip["path"]).write_text("no sound")
    assert len(build(clips, tmp_path / "cache").unreadable) == 3


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def kill_at(monkeypatch, number: int):
    """Decoding stops dead at the clip of this number; threads decode ahead of what is written."""
    real, calls = waveform_writing.np.rint, []

    def rint(values):
        calls.append(1)
        if len(calls) == number:
            raise Killed
        return real(values)

    monkeypatch.setattr(waveform_writing, "_MOST_THREADS", 1)
    monkeypatch.setattr(waveform_writing.np, "rint", rint)
    return calls


def unfinished(folder: Path) -> Path:
    (found,) = folder.glob("*.part")
    return found


def test_a_killed_build_goes_on_where_it_stopped(clips, tmp_path, monkeypatch):
    whole = build(clips, tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_at(patch, 3)
        with pytest.raises(Killed):
            build(clips, tmp_path / "cache")
    with monkeypatch.context() as patch:
        calls = kill_at(patch, 99)
        cache = build(clips, tmp_path / "cache")
    assert len(calls) == 1
    assert (cache.directory / "samples.int16").read_bytes() == (
        whole.directory / "samples.int16"
    ).read_bytes()
    assert np.array_equal(cache.offsets, whole.offsets)
    assert not list((tmp_path / "cache").glob("*.part"))


@pytest.mark.parametrize("lost", ["samples behind a noted clip", "half a note", "samples before their note"])
def test_whatever_a_kill_or_a_power_cut_leaves_is_put_right(clips, tmp_path, monkeypatch, lost):
    Path(clips[0]["path"]).write_text("no sound")
    whole = build(clips, tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_at(patch, 2)
        with pytest.raises(Killed):
            build(clips, tmp_path / "cache")
    directory = unfinished(tmp_path / "cache")
    if lost == "samples behind a noted clip":
        with open(directory / "samples.int16", "ab") as file:
            file.write(b"12345")
        with open(directory / "unreadable.jsonl", "ab") as file:
            file.write(b'[2, "noted before the kill"]\n[2, "cut')
    elif lost == "half a note":
        os.truncate(directory / "lengths.int64", 24)
    else:
        os.truncate(directory / "samples.int16", 100)
    cache = build(clips, tmp_path / "cache")
    assert (cache.directory / "samples.int16").read_bytes() == (
        whole.directory / "samples.int16"
    ).read_bytes()
    assert cache.offsets.tolist() == whole.offsets.tolist() and cache.unreadable == whole.unreadable


def test_channels_are_kept_where_they_are_mixed_by_segments(tmp_path):
    folder = tmp_path / "sounds"
    paths = [write_sound(folder / f"{n}.wav", 0.5, channels=n, seed=n) for n in (1, 2, 6)]
    clips = [{"path": str(path), "offset": None, "duration": None} for path in paths]
    active = {"sampling_rate": SAMPLING_RATE, "downmix": "active", "progress": False}
    cache = WaveformCache.build(clips, cache_dir=tmp_path / "cache", **active)
    for place, path in enumerate(paths):
        channels = load_channels(path, sampling_rate=SAMPLING_RATE)
        assert cache[place].shape == channels.shape
        assert np.abs(cache[place] - channels).max() <= 0.5 / 32768 + 1e-7
    size = (cache.directory / "samples.int16").stat().st_size
    assert estimated_bytes(clips, WaveformForm(SAMPLING_RATE, "active")) == size == 2 * 8000 * 9
    mean = build(clips, tmp_path / "cache")
    assert mean.directory != cache.directory and mean[2].shape == (8000,)


def test_a_killed_build_of_channels_is_continued(tmp_path, monkeypatch):
    paths = [write_sound(tmp_path / f"{n}.wav", 0.5, channels=n, seed=n) for n in (2, 1, 3)]
    clips = [{"path": str(path), "offset": None, "duration": None} for path in paths]
    active = {"sampling_rate": SAMPLING_RATE, "downmix": "active", "progress": False}
    whole = WaveformCache.build(clips, cache_dir=tmp_path / "whole", **active)
    with monkeypatch.context() as patch:
        kill_at(patch, 2)
        with pytest.raises(Killed):
            WaveformCache.build(clips, cache_dir=tmp_path / "cache", **active)
    cache = WaveformCache.build(clips, cache_dir=tmp_path / "cache", **active)
    assert cache.channels == whole.channels == [2, 1, 3]
    assert all(np.array_equal(cache[place], whole[place]) for place in range(3))


def test_the_estimate_is_what_is_written(clips, tmp_path):
    written = (build(clips, tmp_path / "cache").directory / "samples.int16").stat().st_size
    assert estimated_bytes(clips, FORM) == written
    assert estimated_bytes(clips * 1000, FORM) == pytest.approx(1000 * written, rel=0.1)
    assert estimated_bytes([], FORM) == 0


def test_too_small_a_disk_is_told_before_anything_is_decoded(clips, tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=70_000)
    monkeypatch.setattr(waveform_writing.shutil, "disk_usage", lambda path: free)
    with pytest.raises(DataError, match=r"3 decoded clips need about 0.0 GB, but .* free. Choose another"):
        build(clips, tmp_path / "cache")
    assert not (unfinished(tmp_path / "cache") / "samples.int16").exists()
    monkeypatch.setattr(waveform_writing.shutil, "disk_usage", lambda path: free._replace(free=80_000))
    assert len(build(clips, tmp_path / "cache")) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_keeps_what_is_done(clips, tmp_path):
    directory = tmp_path / "cache"
    directory.mkdir()
    (directory / "samples.int16").symlink_to("/dev/full")
    with pytest.raises(
        DataError, match="the disk is full: .*samples.int16. The clips decoded so far are kept"
    ):
        write_waveforms(clips, FORM, directory, False)


def test_a_cache_without_its_index_is_made_again(clips, tmp_path):
    (build(clips, tmp_path / "cache").directory / "index.json").unlink()
    assert len(build(clips, tmp_path / "cache")) == 3


def test_a_cache_with_samples_missing_is_refused(clips, tmp_path):
    directory = build(clips, tmp_path / "cache").directory
    os.truncate(directory / "samples.int16", 1000)
    with pytest.raises(DataError, match="500 samples instead of 40000; delete the cache"):
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

    monkeypatch.setattr(waveform_writing, "load_waveform", slow)
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
