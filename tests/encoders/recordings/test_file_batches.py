"""Windows of several files in one batch: batches of one size, the vectors of each file alone, in order."""

import os
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import soundfile
from encoder_cases import save_auricle, save_auricle_beats
from public_models import save_clap
from tiny_models import write_sound

from auricle.encoders import load_encoder
from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.encoders.recordings.file_batches import (
    MOST_BATCHES_OF_FILES,
    MOST_ROWS_WAITING,
    ROWS_AT_A_TIME,
    embed_in_batches,
)
from auricle.encoders.recordings.pooled_recording import PooledRecording
from auricle.encoders.recordings.recording_windows import embed_files
from auricle.encoders.recordings.silent_windows import SilentWindows
from auricle.processing import AudioReadError

SAVERS = {"passt": save_auricle, "beats": save_auricle_beats, "clap": save_clap}


@pytest.fixture(scope="module", params=["passt", "beats", pytest.param("clap", marks=pytest.mark.slow)])
def encoder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    SAVERS[request.param](folder)
    return load_encoder(folder, device="cpu", **({"window_seconds": 1.0} if request.param == "clap" else {}))


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Short and long files, one of them damaged, one silent, one silent in the middle."""
    folder = tmp_path_factory.mktemp("sounds")
    found = [str(folder / f"{number}.wav") for number in range(8)]
    for number, seconds in enumerate((0.4, 3.3, 0.9, 22.0, 2.0, 0.3, 5.0, 1.5)):
        write_sound(folder / f"{number}.wav", seconds, seed=number)
    (folder / "2.wav").write_bytes(b"no sound")
    rate = soundfile.info(found[4]).samplerate
    soundfile.write(found[4], np.zeros(4 * rate), rate)
    samples = soundfile.read(found[6])[0]
    samples[rate : 3 * rate] = 0
    soundfile.write(found[6], samples, rate)
    return found


def shapes_of(encoder, monkeypatch):
    """Numbers of windows that the model gets at a time."""
    sizes, plain = [], encoder.pool_windows
    monkeypatch.setattr(
        encoder, "pool_windows", lambda waves, lengths: (sizes.append(len(waves)), plain(waves, lengths))[1]
    )
    return sizes


@pytest.mark.parametrize(
    ("windows_at_a_time", "overlap"), [(4, 2), *(pytest.param(n, 1, marks=pytest.mark.slow) for n in (1, 33))]
)
def test_each_file_gets_the_vectors_that_it_has_alone(encoder, paths, windows_at_a_time, overlap):
    heard = []
    how = {"hop_seconds": encoder.window_seconds / overlap}
    plain = list(embed_files(encoder, paths, **how))
    batched = embed_files(
        encoder, paths, windows_at_a_time=windows_at_a_time, heard=lambda *one: heard.append(one), **how
    )
    for (path, ours), (expected_path, theirs) in zip(batched, plain, strict=True):
        assert path == expected_path
        if isinstance(theirs, Exception):
            assert isinstance(ours, AudioReadError) and str(ours) == str(theirs)
            continue
        assert np.abs(ours.vectors - theirs.vectors).max() <= 2e-6
        assert np.abs(ours.vector - theirs.vector).max() <= 2e-6
        assert (ours.starts == theirs.starts).all() and (ours.ends == theirs.ends).all()
        assert (ours.duration, ours.remarks) == (theirs.duration, theirs.remarks)
        assert sum(part for name, part in heard if name == path) == pytest.approx(theirs.duration)
    assert sum(isinstance(one, Exception) for _, one in plain) == 1
    assert max(len(one.vectors) for _, one in plain if not isinstance(one, Exception)) > ROWS_AT_A_TIME


def test_every_batch_has_one_size_and_silence_passes_once(encoder, paths, monkeypatch):
    how = {"hop_seconds": encoder.window_seconds}
    length, loud, silent = encoder.window_samples, 0, 0
    for path in paths[:2] + paths[3:]:
        samples = np.concatenate([encoder.mix(piece) for piece in encoder.pieces(path)])
        tail = len(samples) % length
        full = samples[: len(samples) - tail].reshape(-1, length)
        silent += int((~full.any(axis=1)).sum())
        loud += int(full.any(axis=1).sum()) + (tail >= encoder.min_tail_samples or not len(full))
    assert silent >= 3
    sizes = shapes_of(encoder, monkeypatch)
    list(embed_files(encoder, paths, windows_at_a_time=5, **how))
    assert sizes.count(1) == 1 and set(sizes) == {1, 5}
    assert -(-loud // 5) <= sizes.count(5) <= -(-loud // 4)


def test_windows_pass_the_tower_in_one_shape(tmp_path):
    """BEATs cuts off the padding that all windows of a batch share: each batch has a full window."""
    save_auricle_beats(tmp_path / "model")
    encoder = load_encoder(tmp_path / "model", device="cpu")
    paths = [str(tmp_path / f"{number}.wav") for number in range(9)]
    for number, path in enumerate(paths):
        write_sound(Path(path), encoder.window_seconds * (0.2 + 0.05 * number), seed=number)
    lengths, plain = [], encoder.pool_windows

    def pool(waveforms, given):
        lengths.append(list(given))
        return plain(waveforms, given)

    encoder.pool_windows = pool
    found = dict(embed_files(encoder, paths, hop_seconds=encoder.window_seconds, windows_at_a_time=4))
    assert [len(one.vectors) for one in found.values()] == [1] * 9
    assert len(lengths) == 3 and all(len(one) == 4 for one in lengths)
    assert all(max(one) == encoder.window_samples for one in lengths)


def test_the_order_of_files_changes_no_bit_of_a_file(encoder, paths):
    """The bits depend on the shape of a batch, and neither on its other windows nor on the place in it."""
    how = {"hop_seconds": encoder.window_seconds, "windows_at_a_time": 4}
    one = dict(embed_files(encoder, paths, **how))
    other = dict(embed_files(encoder, paths[::-1], **how))
    alone = {path: dict(embed_files(encoder, [path], **how))[path] for path in paths}
    for path in paths:
        if not isinstance(one[path], Exception):
            for given in (other, alone):
                assert (one[path].vectors == given[path].vectors).all(), path
                assert (one[path].vector == given[path].vector).all(), path


def test_a_batch_is_not_waited_for_when_no_file_follows(encoder, paths):
    ((path, found),) = embed_files(
        encoder, paths[:1], hop_seconds=encoder.window_seconds, windows_at_a_time=64
    )
    assert path == paths[0] and len(found.vectors) == 1


@pytest.mark.parametrize("error", [RuntimeError, OSError, AudioReadError])
def test_an_error_of_the_model_ends_the_run(encoder, paths, monkeypatch, error):
    """Also one of a kind that reading raises: it is not the fault of the file that is being cut."""
    calls, plain = [], encoder.pool_windows

    def fail(waveforms, lengths):
        calls.append(len(waveforms))
        if len(calls) == 2:
            raise error("out of memory")
        return plain(waveforms, lengths)

    monkeypatch.setattr(encoder, "pool_windows", fail)
    with pytest.raises(error, match="out of memory"):
        list(embed_files(encoder, paths, hop_seconds=encoder.window_seconds, windows_at_a_time=2))
    assert not threads_of("embed-batches", "decode-ahead")


def threads_of(*names):
    for _ in range(50):
        left = [one.name for one in threading.enumerate() if one.name.startswith(names)]
        if not left:
            break
        time.sleep(0.1)
    return left


def test_the_threads_end_when_the_reader_leaves(encoder, paths):
    found = embed_files(encoder, paths, hop_seconds=encoder.window_seconds, windows_at_a_time=1)
    assert next(found)[0] == paths[0]
    assert any(one.name.startswith("embed-batches") for one in threading.enumerate())
    found.close()
    assert not threads_of("embed-batches", "decode-ahead")


class Drawn:
    """An encoder of one-second windows of ten samples, whose rows are their windows."""

    sampling_rate, window_seconds, window_samples, min_tail_samples = 10, 1.0, 10, 1
    workers = windows_at_a_time = None

    def mix(self, samples, *, name=None):
        return samples

    def pool_windows(self, waveforms, lengths):
        assert len(waveforms) in (1, 8)
        return waveforms.copy()

    def project_windows(self, pooled):
        return pooled


def embedded(files):
    """(files waiting, rows waiting, path, result) at each result."""
    encoder, alive = Drawn(), []

    def recordings():
        for path, pieces in files:
            recording = PooledRecording(encoder, hop_seconds=1.0, clip_vector="model", name=path)
            alive.append(weakref.ref(recording))
            yield recording, path, iter(pieces)

    for path, found in embed_in_batches(recordings(), SilentWindows(encoder), 8):
        yield sum(one() is not None for one in alive), path, found


def broken():
    raise AudioReadError("no sound")
    yield


def test_files_without_windows_do_not_wait_for_a_full_batch():
    loud = [np.ones(10, dtype=np.float32)]
    files = [("first", loud), *((f"broken {number}", broken()) for number in range(1000)), ("last", loud)]
    results = list(embedded(files))
    assert [path for _, path, _ in results] == [path for path, _ in files]
    assert sum(isinstance(found, AudioReadError) for _, _, found in results) == 1000
    assert max(waiting for waiting, _, _ in results) <= 8 * MOST_BATCHES_OF_FILES + 2


def test_silence_behind_a_window_does_not_wait_for_a_full_batch(monkeypatch):
    read, waiting, plain = [], [], PooledRecording.add

    def add(self, cuts, pooled):
        waiting.append(len(read) - cuts[-1].end // 10)
        plain(self, cuts, pooled)

    def pieces():
        yield np.ones(10, dtype=np.float32)
        for number in range(5000):
            read.append(number)
            yield np.zeros(10, dtype=np.float32)

    monkeypatch.setattr(PooledRecording, "add", add)
    ((_, _, found),) = embedded([("recorder", pieces())])
    assert len(found.vectors) == 5001 and (found.vectors[0] == 1).all() and not found.vectors[1:].any()
    assert 200 < max(waiting) <= MOST_ROWS_WAITING


def test_the_command_takes_a_batch_size(tmp_path, monkeypatch, capsys):
    pytest.importorskip("lancedb")
    from typer.testing import CliRunner

    from auricle.cli.main import app
    from auricle.search.store.index_store import Store

    save_auricle(tmp_path / "model")
    for number in range(3):
        write_sound(tmp_path / "sounds" / f"{number}.wav", 1.3 + number, seed=number)
    command = ["index", str(tmp_path / "sounds"), "--model", str(tmp_path / "model"), "--no-progress"]
    entries, sizes, plain = [], [], AuricleEncoder.pool_windows
    monkeypatch.setattr(
        AuricleEncoder,
        "pool_windows",
        lambda self, waves, lengths: (sizes.append(len(waves)), plain(self, waves, lengths))[1],
    )
    for name, options in (("plain", []), ("batched", ["--batch-size", "4"])):
        done = CliRunner().invoke(app, [*command, "--index", str(tmp_path / name), *options])
        assert done.exit_code == 0, done.output
        store = Store(tmp_path / name)
        entries.append({os.path.basename(path): store.entry(path) for path in store.files()})
    assert entries[0].keys() == entries[1].keys() and len(entries[0]) == 3
    assert sizes == [2, 3, 4, 4, 4, 4]
    for name, entry in entries[0].items():
        # Stored in half precision.
        assert np.abs(entry.vectors - entries[1][name].vectors).max() <= 1e-3
    done = CliRunner().invoke(
        app, [*command, "--index", str(tmp_path / "third"), "--ray", "auto", "--batch-size", "4"]
    )
    assert done.exit_code != 0 and "leave out --workers and --batch-size" in done.output
