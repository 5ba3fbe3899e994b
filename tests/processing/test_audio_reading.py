"""Reading sound files: what comes out, and one clear error for everything that can be wrong with one."""

import ast
import os
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import auricle.processing.audio_reading as audio_reading
from auricle.processing import sound_source
from auricle.processing.audio_reading import (
    AudioReadError,
    audio_seconds,
    is_silent,
    load_waveform,
    read_audio,
    resample,
    supported_audio_extensions,
    to_mono,
)

RATE = 16_000


def noise(seconds: float = 1.0, channels: int = 1, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * RATE), channels))
    return samples.astype(np.float32)


def sine(frequency: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def write(path: Path, samples: np.ndarray | None = None, **options: object) -> Path:
    soundfile.write(path, noise() if samples is None else samples, options.pop("rate", RATE), **options)
    return path


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def message(path: Path, **options: object) -> str:
    with pytest.raises(AudioReadError) as caught:
        read_audio(path, **options)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_reads_float_wav_exactly_at_its_own_rate(tmp_path):
    path = write(tmp_path / "a.wav", subtype="FLOAT", rate=22_050)
    waveform, rate = read_audio(path)
    assert rate == 22_050
    assert waveform.dtype == np.float32
    np.testing.assert_array_equal(waveform, noise()[:, 0])


def test_averages_channels(tmp_path):
    samples = noise(channels=3)
    waveform, _ = read_audio(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    np.testing.assert_allclose(waveform, samples.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_16", 1e-4),
        ("a.flac", "PCM_16", 1e-4),
        ("a.aiff", "PCM_24", 1e-6),
        ("a.ogg", "VORBIS", 0.1),
        ("a.opus", "OPUS", 0.1),
        ("a.mp3", "MPEG_LAYER_III", 0.1),
    ],
)
def test_reads_every_common_format(tmp_path, name, subtype, tolerance):
    samples = 0.5 * sine(440, RATE)
    path = tmp_path / name
    write(path, samples, subtype=subtype, format="OGG" if name.endswith("opus") else None)
    waveform, rate = read_audio(path)
    assert (rate, len(waveform)) == (RATE, RATE)
    assert path.suffix in supported_audio_extensions()
    np.testing.assert_allclose(waveform[2000:-2000], samples[2000:-2000], atol=tolerance)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_reads_only_the_part_asked_for(tmp_path, name):
    path = write(tmp_path / name)
    whole, _ = read_audio(path)
    part, _ = read_audio(path, offset=0.25, duration=0.5)
    np.testing.assert_array_equal(part, whole[4_000:12_000])
    rest, _ = read_audio(path, offset=0.75, duration=10.0)
    np.testing.assert_array_equal(rest, whole[12_000:])


def test_part_of_a_long_file_is_not_decoded_with_the_rest(tmp_path):
    path = write(tmp_path / "a.wav", subtype="FLOAT")
    content = bytearray(path.read_bytes())
    content[-4:] = struct.pack("<f", float("nan"))
    path.write_bytes(content)
    assert len(read_audio(path, duration=0.5)[0]) == 8_000
    assert "NaN" in message(path)


def test_file_names_are_taken_as_they_are(tmp_path):
    path = write(tmp_path / "a bird's söng, 1 #2.wav")
    assert len(read_audio(str(path))[0]) == RATE


def test_missing_file(tmp_path):
    assert "no such file" in message(tmp_path / "a.wav")


def test_directory(tmp_path):
    assert "directory" in message(tmp_path)


def test_unreadable_file(tmp_path):
    # A link to itself cannot be opened even by root, who may read what permissions forbid.
    path = tmp_path / "a.wav"
    path.symlink_to(path)
    assert "cannot be read" in message(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_forbidden_file(tmp_path):
    path = write(tmp_path / "a.wav")
    path.chmod(0)
    assert "cannot be read" in message(path)


def test_empty_file(tmp_path):
    path = tmp_path / "a.wav"
    path.touch()
    assert "empty" in message(path)


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.ogg", "a.raw", "a"])
def test_text_is_not_audio(tmp_path, name):
    path = tmp_path / name
    path.write_text("These are words, and no sound at all.\n" * 20)
    assert "not an audio file" in message(path)


@pytest.mark.parametrize("name", ["a.wav", "a.aiff"])
def test_header_without_samples(tmp_path, name):
    assert "no samples" in message(write(tmp_path / name, np.zeros((0, 1))))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_samples_that_are_not_numbers(tmp_path, value):
    samples = noise(channels=2)
    samples[7, 1] = value
    text = message(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    assert "1 of 16000 samples are NaN or infinite, the first at sample 7" in text


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_16"),
        ("a.wav", "FLOAT"),
        ("a.w64", "PCM_16"),
        ("a.au", "PCM_16"),
        ("a.aiff", "PCM_16"),
        ("a.flac", "PCM_16"),
        ("a.ogg", "VORBIS"),
        ("a.ogg", "OPUS"),
        ("a.mp3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.parametrize("share", [0.9, 0.5])
def test_truncated(tmp_path, name, subtype, share):
    path = write(tmp_path / name, noise(3.0), subtype=subtype)
    assert len(read_audio(path)[0]) == 3 * RATE
    assert "truncated" in message(cut(path, share))


def test_truncated_ogg_at_a_page_boundary(tmp_path):
    path = write(tmp_path / "a.ogg", noise(3.0))
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"OggS")])
    assert "truncated" in message(path)


def test_wav_written_to_a_pipe_is_complete(tmp_path):
    path = write(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    size = content.index(b"data") + 4
    content[4:8] = content[size : size + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(read_audio(path)[0]) == RATE


def test_flac_of_undeclared_length_is_read_to_its_end(tmp_path):
    path = write(tmp_path / "a.flac")
    whole, _ = read_audio(path)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_audio(path)[0], whole)
    np.testing.assert_array_equal(read_audio(path, offset=0.75)[0], whole[12_000:])
    assert audio_seconds(path) == 1.0


@pytest.mark.parametrize("rate", [999, 768_001])
def test_rate_out_of_range(tmp_path, rate):
    assert f"{rate} Hz" in message(write(tmp_path / "a.wav", rate=rate))


@pytest.mark.parametrize("rate", [1_000, 6_000, 384_000, 768_000])
def test_rate_at_the_limits(tmp_path, rate):
    assert read_audio(write(tmp_path / "a.wav", rate=rate))[1] == rate


@pytest.mark.parametrize("offset", [1.0, 2.5])
def test_offset_beyond_the_end(tmp_path, offset):
    text = message(write(tmp_path / "a.wav"), offset=offset)
    assert f"offset is {offset}" in text and "ends at 1 s" in text


@pytest.mark.parametrize(
    "options",
    [
        {"offset": -0.1},
        {"offset": float("nan")},
        {"duration": 0.0},
        {"duration": -1.0},
        {"duration": float("inf")},
    ],
)
def test_part_out_of_range(tmp_path, options):
    (name,) = options
    assert f"{name} is {options[name]!r}" in message(write(tmp_path / "a.wav"), **options)


def test_errors_survive_pickling(tmp_path):
    # Loader workers send their errors to the main process this way.
    error = pickle.loads(pickle.dumps(AudioReadError("a.wav: no such file")))
    assert isinstance(error, ValueError) and str(error) == "a.wav: no such file"


@pytest.mark.parametrize(("source", "target"), [(44_100, 16_000), (8_000, 32_000), (192_000, 8_000)])
def test_resampling_keeps_a_sine(source, target):
    resampled = resample(sine(440, source), source_rate=source, target_rate=target)
    assert resampled.dtype == np.float32
    assert abs(len(resampled) - target) <= 1
    edge = target // 10
    np.testing.assert_allclose(
        resampled[edge : target - edge], sine(440, target)[edge : target - edge], atol=1e-3
    )


def test_resampling_removes_what_the_new_rate_cannot_hold():
    resampled = resample(sine(7_000, 32_000), source_rate=32_000, target_rate=8_000)
    assert np.abs(resampled[800:-800]).max() < 1e-3


def test_equal_rates_change_nothing():
    waveform = noise()[:, 0]
    np.testing.assert_array_equal(resample(waveform, source_rate=RATE, target_rate=RATE), waveform)


@pytest.mark.parametrize("samples", [1, 2, 5, 23])
def test_resampling_never_loses_everything(samples):
    resampled = resample(np.ones(samples, np.float32), source_rate=192_000, target_rate=8_000)
    assert resampled.size >= 1 and np.isfinite(resampled).all()


@pytest.mark.parametrize("rates", [(999, 16_000), (16_000, 768_001), (0, 16_000)])
def test_resampling_rates_out_of_range(rates):
    bad = next(rate for rate in rates if rate != 16_000)
    with pytest.raises(AudioReadError, match=f"{bad} Hz"):
        resample(np.ones(100, np.float32), source_rate=rates[0], target_rate=rates[1])


def test_resampling_needs_one_axis():
    with pytest.raises(AudioReadError, match=r"\(2, 50\)"):
        resample(np.ones((2, 50), np.float32), source_rate=8_000, target_rate=16_000)


def test_load_waveform_reads_a_part_and_resamples(tmp_path):
    path = write(tmp_path / "a.wav", sine(440, 48_000), rate=48_000)
    waveform = load_waveform(path, sampling_rate=16_000, offset=0.25, duration=0.5)
    assert waveform.shape == (8_000,)
    np.testing.assert_allclose(waveform[800:-800], sine(440, 16_000)[4_800:11_200], atol=1e-3)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, list])
@pytest.mark.parametrize("layout", ["samples", "channels first", "channels last"])
def test_to_mono_layouts(kind, layout):
    samples = noise(0.1, channels=2)
    given = {"samples": samples[:, 0], "channels first": samples.T, "channels last": samples}[layout]
    expected = samples[:, 0] if layout == "samples" else samples.mean(axis=1)
    waveform = to_mono(given.tolist() if kind is list else kind(given.copy()))
    assert waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, expected, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_to_mono_takes_every_floating_tensor(dtype):
    waveform = to_mono(torch.linspace(-1, 1, 100, dtype=dtype, requires_grad=True))
    np.testing.assert_allclose(waveform, np.linspace(-1, 1, 100), atol=5e-3)


def test_to_mono_scales_pcm():
    np.testing.assert_array_equal(to_mono(np.array([-32768, 0, 16384], np.int16)), [-1.0, 0.0, 0.5])
    np.testing.assert_array_equal(to_mono(np.array([-(2**31), 2**30], np.int32)), [-1.0, 0.5])


@pytest.mark.parametrize(
    ("audio", "fault"),
    [
        (np.zeros((40, 50)), "at most 32"),
        (np.zeros((2, 2)), "does not show which axis"),
        (np.zeros((1, 2, 100)), "(1, 2, 100)"),
        (np.float32(1.0), "shape is ()"),
        (np.zeros(0), "no samples"),
        (np.zeros((2, 0)), "no samples"),
        (np.zeros(100, np.uint8), "uint8"),
        (np.zeros(100, np.int64), "int64"),
        (np.zeros(100, np.complex64), "complex64"),
        (["a", "b"], "<U1"),
        ([[0.0], [0.0, 1.0]], "different lengths"),
        (np.array([0.0, np.nan]), "NaN"),
        (np.array([0.0, 1e300]), "infinite"),
    ],
)
def test_to_mono_errors(audio, fault):
    with pytest.raises(AudioReadError) as caught:
        to_mono(audio, name="clip 3")
    assert str(caught.value).startswith("clip 3: ") and fault in str(caught.value)


def test_is_silent():
    assert is_silent(np.zeros(100, np.float32))
    assert is_silent(np.full(100, -9e-7, np.float32))
    assert not is_silent(np.array([0.0, -2e-6], np.float32))
    assert is_silent(np.zeros(0, np.float32))


def test_only_numpy_and_the_decoders_are_imported():
    """Reading sound is part of commands that must not wait for torch or transformers."""
    read, foreign, waiting = set(), set(), ["audio_reading", "audio_streaming", "sound_mix"]
    folder = Path(audio_reading.__file__).parent
    while waiting:
        stem = waiting.pop()
        read.add(stem)
        for node in ast.walk(ast.parse((folder / f"{stem}.py").read_text())):
            if isinstance(node, ast.Import):
                foreign |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                foreign.add(str(node.module).split(".")[0])
            elif isinstance(node, ast.ImportFrom) and node.module not in read:
                waiting.append(str(node.module))
    assert {"sndfile_decoding", "container_opening", "resampling"} <= read
    assert foreign - set(sys.stdlib_module_names) == {"numpy", "soundfile", "soxr", "av"}


@pytest.mark.parametrize(
    ("path", "system", "hint"),
    [
        ("C:\\sounds\\" + "a" * 300 + ".wav", "nt", True),
        ("C:\\sounds\\" + "a" * 246 + ".wav", "nt", True),
        ("C:\\sounds\\" + "a" * 245 + ".wav", "nt", False),
        ("\\\\?\\C:\\sounds\\" + "a" * 300 + ".wav", "nt", False),
        ("/sounds/" + "a" * 300 + ".wav", "posix", False),
    ],
)
def test_a_path_that_is_too_long_for_windows_is_explained(path, system, hint):
    told = sound_source._long_path_hint(path, system)
    assert ("LongPathsEnabled" in told and str(len(path)) in told) == hint and bool(told) == hint


def test_the_explanation_stands_in_the_error_of_a_missing_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sound_source, "_long_path_hint", lambda path: "; explained")
    with pytest.raises(AudioReadError, match="no such file; explained"):
        read_audio(tmp_path / "missing.wav")
