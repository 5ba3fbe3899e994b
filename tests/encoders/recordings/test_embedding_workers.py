"""Several files at a time: the same bits in the same order; windows of silence pass the model once."""

import threading

import numpy as np
import pytest
import soundfile
import torch
from encoder_cases import save_auricle
from tiny_models import write_sound

from auricle.encoders import load_encoder
from auricle.encoders.recordings.embedding_workers import Stopped, embed_in_threads
from auricle.encoders.recordings.recording_windows import embed_files, embed_recording
from auricle.encoders.recordings.silent_windows import SilentWindows


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_auricle(folder)
    return load_encoder(folder, device="cpu")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    found = [str(folder / f"{number}.wav") for number in range(7)]
    for number in range(len(found)):
        write_sound(folder / f"{number}.wav", 1.0 + 2.5 * (number % 3), seed=number)
    (folder / "3.wav").write_bytes(b"no sound")
    return found


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_gives_the_bits_of_one_file_after_another(encoder, paths, one_thread, workers):
    heard = []
    how = {"hop_seconds": encoder.window_seconds}
    plain = list(embed_files(encoder, paths, **how))
    told = list(embed_files(encoder, paths, workers=workers, heard=lambda *one: heard.append(one), **how))
    assert [path for path, _ in told] == paths
    for (path, ours), (_, theirs) in zip(told, plain, strict=True):
        if path.endswith("3.wav"):
            assert str(ours) == str(theirs)
            continue
        assert (ours.vectors == theirs.vectors).all() and (ours.vector == theirs.vector).all()
        seconds = sum(part for name, part in heard if name == path)
        assert seconds == pytest.approx(theirs.duration)
    assert torch.get_num_threads() == 1


def test_the_encoder_says_how_many_workers_there_are(encoder, paths, monkeypatch):
    names = set()
    pool = encoder.pool_windows

    def pool_windows(*given):
        names.add(threading.current_thread().name)
        return pool(*given)

    monkeypatch.setattr(encoder, "pool_windows", pool_windows)
    monkeypatch.setattr(encoder, "workers", 2)
    list(embed_files(encoder, paths, hop_seconds=encoder.window_seconds))
    assert all(name.startswith("embed") for name in names)


def test_files_are_embedded_at_the_same_time():
    both = threading.Barrier(2, timeout=30)

    def embed(path, check):
        both.wait()
        return path.upper()

    assert list(embed_in_threads(["a", "b", "c", "d"], embed, 2)) == [
        ("a", "A"),
        ("b", "B"),
        ("c", "C"),
        ("d", "D"),
    ]


def test_whoever_stops_asking_stops_the_workers():
    stopped, begun = threading.Event(), threading.Event()

    def embed(path, check):
        if path == "first":
            begun.wait(30)
            return path
        begun.set()
        try:
            while True:
                check()
                threading.Event().wait(0.01)
        except Stopped:
            stopped.set()
            raise

    found = embed_in_threads(["first", "endless"], embed, 2)
    assert next(found) == ("first", "first")
    found.close()
    assert stopped.is_set()


def test_an_error_of_the_program_is_raised_at_its_file():
    def embed(path, check):
        if path == "b":
            raise ZeroDivisionError(path)
        return path

    found = embed_in_threads(["a", "b", "c"], embed, 2)
    assert next(found) == ("a", "a")
    with pytest.raises(ZeroDivisionError):
        next(found)


# -------------------------------------------------------------------------------------------- silence


def test_windows_of_silence_pass_the_model_once(encoder, tmp_path, monkeypatch):
    rate, length = encoder.sampling_rate, encoder.window_samples
    noise = 0.1 * np.random.default_rng(0).standard_normal(length).astype(np.float32)
    quiet = np.zeros(length, dtype=np.float32)
    for name, parts in {"a": [quiet, noise, quiet, quiet], "b": [quiet, quiet]}.items():
        soundfile.write(tmp_path / f"{name}.wav", np.concatenate(parts), rate, subtype="FLOAT")
    paths = [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
    plain = [encoder.embed_windows(part[None], [length])[0] for part in (quiet, noise)]
    passed = []
    pool = encoder.pool_windows
    monkeypatch.setattr(
        encoder, "pool_windows", lambda waves, lengths: passed.append(len(waves)) or pool(waves, lengths)
    )
    first, second = (found for _, found in embed_files(encoder, paths, hop_seconds=encoder.window_seconds))
    assert sum(passed) == 2
    assert (first.vectors[[0, 2, 3]] == second.vectors[0]).all()
    assert np.abs(first.vectors[:2] - plain).max() <= 2e-6
    # Nearly silent is not silent, and a short window of silence has a vector of its own.
    passed.clear()
    almost = quiet.copy()
    almost[7] = 1e-6
    SilentWindows(encoder).pool_windows(np.stack([almost, quiet]), [length, length // 2])
    assert passed == [2]


def test_a_silent_recording_alone_is_as_within_a_library(encoder, tmp_path):
    quiet = np.zeros(3 * encoder.window_samples, dtype=np.float32)
    soundfile.write(tmp_path / "quiet.wav", quiet, encoder.sampling_rate)
    alone = embed_recording(encoder, tmp_path / "quiet.wav", hop_seconds=encoder.window_seconds)
    ((_, found),) = embed_files(
        encoder, [str(tmp_path / "quiet.wav")], hop_seconds=encoder.window_seconds, workers=2
    )
    assert (alone.vectors == found.vectors).all() and (alone.vector == found.vector).all()
