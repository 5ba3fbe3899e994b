"""What every encoder class promises, whatever its kind (`AudioTextEncoder`'s docstring)."""

import subprocess
import sys

import numpy as np
import pytest
from encoder_cases import CASES, missing_packages, save_case
from tiny_models import sound, write_sound

from auricle.encoders import AudioTextEncoder, EncoderError, load_encoder
from auricle.encoders.recordings.recording_windows import embed_recording
from auricle.processing import AudioReadError

SENTENCES = ["a dog barks", "rain", "two short tones then a long low tone while a bell rings"]


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    """Folder of each kind that can be made here, by name."""
    root = tmp_path_factory.mktemp("encoders")
    return {
        name: root / name for name in CASES if not missing_packages(name) and save_case(name, root / name)
    }


@pytest.fixture(scope="module", params=list(CASES))
def made(request, directories):
    """(case, directory, encoder) of every kind."""
    if request.param not in directories:
        pytest.skip(f"{', '.join(missing_packages(request.param))} is not installed")
    case, folder = CASES[request.param], directories[request.param]
    return case, folder, load_encoder(folder, device="cpu", **case.options)


@pytest.fixture(scope="module")
def other_process(directories, tmp_path_factory):
    """What one fresh process makes of the same sentences and the same file, by name; it loads every kind."""
    folder = tmp_path_factory.mktemp("process")
    path = write_sound(folder / "a.wav", 2.3, 44_100, channels=2)
    kinds = {name: (str(where), CASES[name].options) for name, where in directories.items()}
    code = (
        "import numpy as np\n"
        "from auricle.encoders import load_encoder\n"
        "rows = {}\n"
        # The kind that needs least comes first: it may not live on what another one has loaded.
        f"for name, (where, options) in reversed({kinds!r}.items()):\n"
        "    encoder = load_encoder(where, device='cpu', **options)\n"
        f"    clips, _ = encoder.embed_clips([{str(path)!r}])\n"
        f"    rows[name] = np.concatenate([encoder.embed_texts({SENTENCES!r}), clips])\n"
        f"np.savez({str(folder / 'rows.npz')!r}, **rows)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    return path, np.load(folder / "rows.npz")


@pytest.fixture(scope="module")
def encoder(made):
    return made[2]


def windows_of(encoder, lengths, seed=0):
    """Waveforms with so many real samples and silence behind them."""
    waveforms = np.zeros((len(lengths), encoder.window_samples), dtype=np.float32)
    for row, length in enumerate(lengths):
        samples = sound(length / encoder.sampling_rate + 0.01, encoder.sampling_rate, seed=seed + row)
        waveforms[row, :length] = samples[:length]
    return waveforms


def lengths_of(encoder):
    """A full window, half of one, and nearly nothing."""
    return [encoder.window_samples, encoder.window_samples // 2, encoder.sampling_rate // 10]


def is_unit(rows):
    return rows.dtype == np.float32 and np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_the_directory_finds_its_class_and_says_what_it_is(made):
    case, folder, encoder = made
    assert type(encoder).__name__ == case.class_name
    assert isinstance(encoder, AudioTextEncoder)
    assert encoder.name == str(folder) and encoder.precision == case.precision
    assert encoder.sampling_rate > 0 and encoder.embedding_dim > 0
    assert encoder.window_samples == round(encoder.window_seconds * encoder.sampling_rate)
    assert 1 <= encoder.min_tail_samples <= encoder.window_samples
    assert encoder.max_text_tokens is None or encoder.max_text_tokens > 0
    assert encoder.license is None or isinstance(encoder.license, str)


def test_sentences(encoder):
    rows = encoder.embed_texts(SENTENCES)
    assert rows.shape == (3, encoder.embedding_dim) and is_unit(rows)
    assert np.array_equal(encoder.embed_texts(SENTENCES), rows)
    assert np.array_equal(
        encoder.embed_texts([SENTENCES[1], SENTENCES[1]])[0], encoder.embed_texts(["rain"])[0]
    )
    # The sentences differ: an encoder that gives one vector to all of them would pass everything else.
    assert np.abs(rows[0] - rows[1]).max() > 1e-3


def test_a_sentence_alone_and_in_a_batch(made):
    case, _, encoder = made
    if not case.exact_in_batch:
        pytest.skip(f"{case.precision} rounds by what stands beside it")
    rows = encoder.embed_texts(SENTENCES)
    alone = np.concatenate([encoder.embed_texts([sentence]) for sentence in SENTENCES])
    assert np.abs(alone - rows).max() <= 2e-6
    assert np.abs(encoder.embed_texts(SENTENCES, batch_size=1) - rows).max() <= 2e-6


def test_pooled_sentences_become_vectors(encoder):
    pooled = encoder.pool_texts(SENTENCES)
    assert pooled.shape == (3, encoder.pooled_text_dim)
    assert np.abs(encoder.project_texts(pooled) - encoder.embed_texts(SENTENCES)).max() <= 2e-6


def test_windows(encoder):
    lengths = lengths_of(encoder)
    waveforms = windows_of(encoder, lengths)
    rows = encoder.embed_windows(waveforms, lengths)
    assert rows.shape == (3, encoder.embedding_dim) and is_unit(rows)
    assert np.array_equal(encoder.embed_windows(waveforms, lengths), rows)
    assert np.abs(rows[0] - rows[1]).max() > 1e-3


def test_a_window_alone_and_in_a_batch(made):
    case, _, encoder = made
    if not case.exact_in_batch:
        pytest.skip(f"{case.precision} rounds by what stands beside it")
    lengths = lengths_of(encoder)
    waveforms = windows_of(encoder, lengths)
    rows = encoder.embed_windows(waveforms, lengths)
    for place, length in enumerate(lengths):
        alone = encoder.embed_windows(waveforms[place : place + 1], [length])
        assert np.abs(alone[0] - rows[place]).max() <= 2e-6


def test_a_recording_is_the_mean_of_its_windows_pooled_rows(encoder, tmp_path):
    path = write_sound(tmp_path / "a.wav", 2 * encoder.window_seconds, encoder.sampling_rate)
    found = embed_recording(encoder, path, hop_seconds=encoder.window_seconds)
    samples = sound(2 * encoder.window_seconds, encoder.sampling_rate)[: 2 * encoder.window_samples]
    windows = samples.reshape(2, encoder.window_samples)
    pooled = encoder.pool_windows(windows, [encoder.window_samples] * 2)
    mean = pooled.mean(axis=0, dtype=np.float64).astype(np.float32)[None]
    assert np.abs(found.vector - encoder.project_windows(mean)[0]).max() <= 2e-6
    clips, failures = encoder.embed_clips([str(path)])
    assert failures == [] and np.abs(clips[0] - found.vector).max() <= 5e-6


def test_clips(encoder, tmp_path):
    files = [
        str(write_sound(tmp_path / f"{number}.wav", seconds * encoder.window_seconds, 16_000, seed=number))
        for number, seconds in enumerate((0.4, 1.0, 2.3))
    ]
    rows, failures = encoder.embed_clips(files)
    assert failures == [] and rows.shape == (3, encoder.embedding_dim) and is_unit(rows)
    again, _ = encoder.embed_clips(files)
    assert np.array_equal(rows, again)
    part = {"path": files[2], "offset": 0.0, "duration": encoder.window_seconds}
    assert np.abs(encoder.embed_clips([part])[0][0] - rows[2]).max() > 1e-4


def test_clips_that_cannot_be_read_are_left_out_on_request(encoder, tmp_path):
    good = str(write_sound(tmp_path / "a.wav", 0.5))
    (tmp_path / "b.wav").write_bytes(b"no sound")
    given = [good, str(tmp_path / "b.wav"), str(tmp_path / "none.wav")]
    rows, failures = encoder.embed_clips(given, skip_unreadable=True)
    assert [index for index, _ in failures] == [1, 2]
    assert all(name in reason for name, (_, reason) in zip(("b.wav", "none.wav"), failures, strict=True))
    assert np.array_equal(rows[0], encoder.embed_clips([good])[0][0]) and not rows[1:].any()
    with pytest.raises(AudioReadError, match=r"b\.wav"):
        encoder.embed_clips(given)


def test_nothing_gives_no_rows(encoder):
    assert encoder.embed_texts([]).shape == (0, encoder.embedding_dim)
    assert encoder.embed_clips([])[0].shape == (0, encoder.embedding_dim)


@pytest.mark.parametrize("sentence", ["", "   ", "\n\t"])
def test_a_sentence_without_a_word_is_refused(encoder, sentence):
    with pytest.raises(ValueError, match="word"):
        encoder.prepare_texts(["rain", sentence])
    with pytest.raises(ValueError, match="word"):
        encoder.embed_texts(["rain", sentence])


def test_a_sentence_longer_than_the_model_takes(encoder):
    rows = encoder.embed_texts(["dog rain bell siren bird engine " * 200])
    assert is_unit(rows)


def test_silence_and_loud_sound_have_finite_vectors(encoder):
    length = encoder.window_samples
    silence = np.zeros((1, length), dtype=np.float32)
    square = np.where(np.arange(length) % 50 < 25, 1.0, -1.0).astype(np.float32)[None]
    rows = encoder.embed_windows(np.concatenate([silence, square]), [length, length])
    assert np.isfinite(rows).all() and is_unit(rows)


def test_a_single_sample_has_a_vector(encoder):
    waveforms = np.zeros((2, encoder.window_samples), dtype=np.float32)
    waveforms[:, 0] = 0.5
    rows = encoder.embed_windows(waveforms, [1, 1])
    assert np.isfinite(rows).all() and is_unit(rows)


def test_frames_are_there_or_refused_by_name(encoder):
    waveforms = windows_of(encoder, [encoder.window_samples])
    if encoder.frame_seconds is None:
        with pytest.raises(EncoderError, match="no frame vectors"):
            encoder.embed_frames(waveforms, [encoder.window_samples])
        return
    rows = encoder.embed_frames(waveforms, [encoder.window_samples])
    assert rows.shape[0] == 1 and rows.shape[2] == encoder.embedding_dim
    assert is_unit(rows[0])


def test_loaded_again_and_moved_it_is_the_same(made, tmp_path):
    case, folder, encoder = made
    again = load_encoder(folder, device="cpu", **case.options)
    assert np.array_equal(again.embed_texts(SENTENCES), encoder.embed_texts(SENTENCES))
    if case.precision == "float32":
        assert again.fingerprint == encoder.fingerprint and len(encoder.fingerprint) == 64


def test_another_process_gives_the_same_bits(made, directories, other_process):
    _, folder, encoder = made
    path, rows = other_process
    (name,) = (name for name, where in directories.items() if where == folder)
    here = np.concatenate([encoder.embed_texts(SENTENCES), encoder.embed_clips([str(path)])[0]])
    assert np.array_equal(rows[name], here)


def test_a_precision_that_it_lacks_is_refused_by_name(made):
    _, folder, _ = made
    with pytest.raises(EncoderError, match="float5"):
        load_encoder(folder, precision="float5")


def test_decoding_ahead_changes_no_bit(encoder, tmp_path):
    """Short and long clips, parts of files, arrays, and files that end in a fault, embedded in batches of three."""
    clips = [
        write_sound(tmp_path / f"{number}.wav", seconds, 22_050, seed=number)
        for number, seconds in enumerate((0.5, 6 * encoder.window_seconds + 0.3, 1.0, 2.1))
    ]
    (tmp_path / "bad.wav").write_text("no sound")
    whole = clips[1].read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: 2 * len(whole) // 3])
    clips += [
        tmp_path / "bad.wav",
        {"path": str(clips[3]), "offset": 0.4, "duration": 0.7},
        tmp_path / "cut.wav",
        tmp_path / "gone.wav",
        clips[0],
    ]
    alone = encoder.embed_clips(clips, batch_size=3, skip_unreadable=True)
    assert {index for index, _ in alone[1]} >= {4, 7}
    for num_workers in (1, 3):
        vectors, failures = encoder.embed_clips(
            clips, batch_size=3, skip_unreadable=True, num_workers=num_workers
        )
        assert np.array_equal(vectors, alone[0]) and failures == alone[1]
    with pytest.raises(AudioReadError, match="bad.wav"):
        encoder.embed_clips(clips, num_workers=2)
