"""From any form of sound to segments: forms, rates, segments, what is refused, saving."""

import json
import random

import numpy as np
import pytest
import soundfile
import torch
from tiny_models import sound, tiny_front_end, write_sound

from auricle.processing import AudioReadError, AuricleFeatureExtractor

RATE = 16_000
SILENCE = (np.log(1e-5) + 4.5) / 5


def extractor(**settings):
    return AuricleFeatureExtractor(**tiny_front_end(**settings))


WAVE = sound(1.5, seed=3)


@pytest.mark.parametrize("name", ["clip.wav", "clip.flac"])
def test_files(tmp_path, name):
    path = write_sound(tmp_path / name, 1.5, seed=3)
    plain = extractor()(WAVE, sampling_rate=RATE)["input_features"]
    tolerance = 0.0 if name.endswith("wav") else 0.05  # FLAC holds 16 bits
    for audio in (str(path), path, {"path": str(path)}, {"path": path, "array": None}, [str(path)]):
        got = extractor()(audio)
        assert got["segment_counts"].tolist() == [2]
        torch.testing.assert_close(got["input_features"], plain, atol=tolerance, rtol=0)


def test_a_part_of_a_file(tmp_path):
    path = write_sound(tmp_path / "clip.wav", 3.0, seed=4)
    part = {"path": str(path), "offset": 0.5, "duration": 1.25}
    expected = extractor()(sound(3.0, seed=4)[8_000:28_000], sampling_rate=RATE)
    assert torch.equal(extractor()(part)["input_features"], expected["input_features"])
    rest = extractor()({"path": str(path), "offset": 2.5, "duration": None})
    assert torch.equal(
        rest["input_features"], extractor()(sound(3.0, seed=4)[40_000:], sampling_rate=RATE)["input_features"]
    )


def test_whole_numbers_are_pcm():
    pcm = (WAVE * 32768).round().astype(np.int16)
    expected = extractor()(pcm.astype(np.float32) / 32768, sampling_rate=RATE)["input_features"]
    for audio in (pcm, torch.from_numpy(pcm), pcm.astype(np.int32) * 65536):
        got = extractor()(audio, sampling_rate=RATE)["input_features"]
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


def test_a_batch_of_all_forms(tmp_path):
    path = write_sound(tmp_path / "clip.wav", 2.2, seed=1)
    batch = [str(path), WAVE, {"array": sound(0.4, 44_100, seed=2), "sampling_rate": 44_100}]
    got = extractor()(batch, sampling_rate=RATE)
    assert got["segment_counts"].tolist() == [3, 2, 1]
    assert got["input_features"].shape == (6, 100, 32)
    alone = [extractor()(clip, sampling_rate=RATE)["input_features"] for clip in batch]
    torch.testing.assert_close(got["input_features"], torch.cat(alone), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["pt", "np", None])
def test_the_type_asked_for(kind):
    got = extractor()(WAVE, sampling_rate=RATE, return_tensors=kind)
    assert set(got) == {"input_features", "segment_counts"} == set(extractor().model_input_names)
    features, counts = got["input_features"], got["segment_counts"]
    expected = torch.Tensor if kind == "pt" else np.ndarray
    assert isinstance(features, expected)
    assert features.dtype == (torch.float32 if kind == "pt" else np.float32)
    assert counts.dtype == (torch.int64 if kind == "pt" else np.int64)


def test_padding_arguments_of_generic_callers_change_nothing():
    plain = extractor()(WAVE, sampling_rate=RATE)["input_features"]
    options = {"padding": True, "truncation": True, "max_length": 9, "return_attention_mask": True}
    options["pad_to_multiple_of"] = 8
    assert torch.equal(extractor()(WAVE, sampling_rate=RATE, **options)["input_features"], plain)
    with pytest.raises(ValueError, match=r"unknown arguments \['sampling_rat'\]"):
        extractor()(WAVE, sampling_rat=RATE)


# -------------------------------------------------------------------------------------------- rates

ODD_RATES = [8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 37_800, 44_056, 44_100, 47_999, 48_000]
HIGH_RATES = [50_000, 88_200, 96_000, 176_400, 191_999, 192_000]


def tone(rate, seconds=1.0, pitch=997.0):
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", ODD_RATES + HIGH_RATES)
def test_every_rate_gives_the_same_sound(rate, tmp_path):
    own = extractor()(tone(RATE), sampling_rate=RATE)["input_features"][0, 5:-5]
    soundfile.write(tmp_path / "clip.wav", tone(rate), rate, subtype="FLOAT")
    for got in (
        extractor()(tone(rate), sampling_rate=rate),
        extractor()({"array": tone(rate), "sampling_rate": rate}),
        extractor()(str(tmp_path / "clip.wav")),
    ):
        assert got["segment_counts"].tolist() == [1]
        features = got["input_features"][0, 5:-5]
        assert (features.argmax(dim=1) == own.argmax(dim=1)).all()
        assert (features.amax(dim=1) - own.amax(dim=1)).abs().max() < 0.005
        assert (features - own).abs().max() < 0.1


def test_a_second_is_a_second_at_any_rate():
    # One sample too many would make a segment of its own.
    rates = random.Random(0).sample(range(8_000, 192_001), 40)
    one_second = extractor()
    for rate in rates:
        batch = [tone(rate), tone(rate, 2.0), tone(rate)[:-20]]
        counts = [len(one_second.cut(one_second.load(clip, rate))) for clip in batch]
        assert counts == [1, 2, 1], rate


@pytest.mark.parametrize("rate", [999, 768_001, 0, -16_000])
def test_rates_out_of_range_are_named(rate):
    with pytest.raises(AudioReadError, match=f"{rate} Hz, but must be 1000 to 768000 Hz"):
        extractor()(WAVE, sampling_rate=rate)


@pytest.mark.parametrize(
    "audio", [WAVE, torch.from_numpy(WAVE), WAVE.tolist(), [WAVE.tolist()], [{"array": WAVE}], WAVE[None]]
)
def test_a_missing_rate_is_an_error_and_no_guess(audio):
    with pytest.raises(ValueError, match=r"audio\[0\].*sampling.rate"):
        extractor()(audio)


def test_the_message_tells_which_clip_lacks_its_rate():
    with pytest.raises(ValueError, match=r"audio\[1\] is a bare array.*this model works at 16000 Hz"):
        extractor()([{"array": WAVE, "sampling_rate": RATE}, WAVE])


# --------------------------------------------------------------------------------------- bad sounds


def with_value(value, place=77):
    broken = WAVE.copy()
    broken[place] = value
    return broken


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (with_value(np.nan), r"audio\[0\]: 1 of 24000 samples are NaN or infinite, the first at sample 77"),
        (torch.from_numpy(with_value(-np.inf)), "NaN or infinite"),
        (np.zeros(0, np.float32), r"audio\[0\]: it contains no samples"),
        (np.zeros((2, 0)), "it contains no samples"),
        (torch.zeros(0), "it contains no samples"),
        ({"array": np.zeros((2, 3, 4))}, r"shape is \(2, 3, 4\)"),
        (np.zeros((2, 40, 50)), "at most 32 are accepted"),
        (np.array(["a", "b"]), "a: no such file"),
        (np.zeros(100, np.uint8), "must be floating point"),
    ],
)
def test_unusable_arrays_are_named(audio, message):
    with pytest.raises(AudioReadError, match=message):
        extractor()(audio, sampling_rate=RATE)


def test_the_message_tells_which_array_is_unusable():
    with pytest.raises(AudioReadError, match=r"audio\[2\]: 1 of 24000 samples are NaN"):
        extractor()([WAVE, WAVE, with_value(np.nan)], sampling_rate=RATE)


@pytest.mark.parametrize("content", ["missing", "empty", "text", "nan", "truncated", "header"])
def test_unusable_files_are_named(tmp_path, content):
    path = tmp_path / f"{content}.wav"
    if content == "empty":
        path.touch()
    elif content == "text":
        path.write_text("not a sound\n" * 20)
    elif content == "nan":
        soundfile.write(path, with_value(np.nan), RATE, subtype="FLOAT")
    elif content == "truncated":
        write_sound(path, 1.0)
        path.write_bytes(path.read_bytes()[:30_000])
    elif content == "header":
        soundfile.write(path, np.zeros(0, np.float32), RATE, subtype="FLOAT")
    good = write_sound(tmp_path / "good.wav")
    with pytest.raises(AudioReadError) as caught:
        extractor()([str(good), str(path)])
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ([], "audio is an empty list"),
        (3.5, "audio is a float; accepted: a file path"),
        (np.zeros((1, 2, 3, 4)), r"audio has the shape \(1, 2, 3, 4\)"),
        ([None], r"audio\[0\] is a NoneType; accepted"),
        ({"sampling_rate": RATE}, r"keys \['sampling_rate'\]; it needs 'array' and"),
        ({"bytes": None, "path": None}, r"keys \['bytes', 'path'\]"),
    ],
)
def test_other_things_are_refused(audio, message):
    with pytest.raises(ValueError, match=message):
        extractor()(audio, sampling_rate=RATE)


def test_silence_is_a_sound():
    got = extractor()(np.zeros(RATE, np.float32), sampling_rate=RATE)["input_features"]
    torch.testing.assert_close(got, torch.full_like(got, SILENCE), atol=1e-5, rtol=0)


# ----------------------------------------------------------------------------------------- segments


@pytest.mark.parametrize(
    ("samples", "count"),
    [
        (1, 1),
        (10, 1),
        (15_999, 1),
        (16_000, 1),
        (17_599, 1),
        (17_600, 2),
        (32_000, 2),
        (40_000, 3),
        (480_000, 30),
    ],
)
def test_a_clip_is_cut_into_whole_segments(samples, count):
    wave = sound(30.0, seed=1)[:samples]
    got = extractor()(wave, sampling_rate=RATE)
    assert got["segment_counts"].tolist() == [count]
    assert got["input_features"].shape == (count, 100, 32)
    assert got["input_features"].isfinite().all()


def test_a_remainder_of_milliseconds_makes_no_segment_of_its_own():
    """An encoder's padding of a few milliseconds must not count as much as the sound."""
    wave = sound(3.05, seed=2)
    short, exact = extractor()(wave, sampling_rate=RATE), extractor()(wave[: 3 * RATE], sampling_rate=RATE)
    assert torch.equal(short["input_features"], exact["input_features"])
    assert short["segment_counts"].tolist() == [3]
    kept = extractor(min_tail_seconds=0.0)(wave, sampling_rate=RATE)
    assert kept["segment_counts"].tolist() == [4]
    assert extractor()(wave[:100], sampling_rate=RATE)["segment_counts"].tolist() == [1]


def test_nothing_is_lost_and_the_last_segment_is_filled_with_zeros():
    wave = sound(2.4, seed=6)
    segments = extractor().cut(wave)
    assert segments.shape == (3, RATE)
    np.testing.assert_array_equal(segments.reshape(-1)[: len(wave)], wave)
    assert not segments.reshape(-1)[len(wave) :].any()
    padded = np.concatenate([wave, np.zeros(3 * RATE - len(wave), np.float32)])
    assert torch.equal(
        extractor()(wave, sampling_rate=RATE)["input_features"],
        extractor()(padded, sampling_rate=RATE)["input_features"],
    )
    # Behind the sound the last segment is digital silence, but for the frame that straddles its end.
    tail = extractor()(wave, sampling_rate=RATE)["input_features"][2, 44:]
    torch.testing.assert_close(tail, torch.full_like(tail, SILENCE), atol=1e-5, rtol=0)


def test_a_segment_does_not_depend_on_its_neighbours():
    wave = sound(3.0, seed=7)
    whole = extractor()(wave, sampling_rate=RATE)["input_features"]
    for index in range(3):
        own = extractor()(wave[index * RATE : (index + 1) * RATE], sampling_rate=RATE)["input_features"]
        torch.testing.assert_close(whole[index], own[0], atol=1e-6, rtol=0)


def test_the_input_is_left_as_it_was():
    wave = sound(1.2, seed=8)
    kept = wave.copy()
    extractor()(wave, sampling_rate=RATE)
    np.testing.assert_array_equal(wave, kept)


def test_shorter_segments_on_request():
    wave = sound(1.0, seed=2)
    got = extractor()(wave, sampling_rate=RATE, segment_seconds=0.25)
    assert got["segment_counts"].tolist() == [4]
    assert got["input_features"].shape == (4, 25, 32)
    longer = extractor()(wave, sampling_rate=RATE, segment_seconds=7.0)
    assert longer["input_features"].shape == (1, 100, 32)


def test_other_mel_ranges_on_request():
    wave = tone(RATE)
    plain = extractor()([wave, wave], sampling_rate=RATE)["input_features"]
    own = extractor()([wave, wave], sampling_rate=RATE, mel_ranges=[(0.0, 7500.0), (5.0, 7000.0)])
    torch.testing.assert_close(own["input_features"][0], plain[0], atol=1e-6, rtol=0)
    assert (own["input_features"][1] - plain[1]).abs().max() > 0.01
    expected = extractor(fmin=5.0, fmax=7000.0)(wave, sampling_rate=RATE)["input_features"]
    torch.testing.assert_close(own["input_features"][1:], expected, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="1 mel_ranges for 2 clips"):
        extractor()([wave, wave], sampling_rate=RATE, mel_ranges=[(0, 7500)])


# ------------------------------------------------------------------------------------------ settings


def test_the_published_settings_are_the_default():
    published = AuricleFeatureExtractor()
    assert (published.sampling_rate, published.feature_size, published.segment_seconds) == (32_000, 128, 10.0)
    assert (published.num_frames, published.segment_samples) == (1000, 320_000)
    got = published(sound(12.0, seed=1), sampling_rate=RATE)
    assert got["input_features"].shape == (2, 1000, 128)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"front_end": "mfcc"}, "front_end='mfcc'; known: .*'passt'"),
        ({"segment_seconds": 0.0}, "segment_seconds=0.0 must be above 0"),
        ({"segment_seconds": -1.0}, "segment_seconds=-1.0 must be above 0"),
        ({"segment_seconds": 0.01}, "segment_seconds=0.01 is too short"),
        ({"fmax": 9_000.0}, "fmax=9000.0 Hz; it must satisfy 0 <= fmin < fmax <= 8000.0"),
        ({"fmin": 7_600.0}, "fmin=7600.0, fmax=7500.0"),
    ],
)
def test_faulty_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        extractor(**settings)


def test_segments_too_short_on_request_are_named():
    with pytest.raises(ValueError, match="segment_seconds=0.01 is too short"):
        extractor()(WAVE, sampling_rate=RATE, segment_seconds=0.01)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    first = extractor(segment_seconds=0.7, fmin=20.0, preemphasis=0.9)
    first.save_pretrained(tmp_path)
    again = AuricleFeatureExtractor.from_pretrained(tmp_path)
    assert again.to_dict() == first.to_dict()
    expected = first(WAVE, sampling_rate=RATE)
    got = again(WAVE, sampling_rate=RATE)
    assert got["segment_counts"].tolist() == expected["segment_counts"].tolist() == [3]
    assert torch.equal(got["input_features"], expected["input_features"])
    stored = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert stored["auto_map"] == {
        "AutoFeatureExtractor": "feature_extraction_auricle.AuricleFeatureExtractor"
    }
    assert (stored["sampling_rate"], stored["feature_size"], stored["fmin"]) == (RATE, 32, 20.0)
    changed = AuricleFeatureExtractor.from_pretrained(tmp_path, segment_seconds=1.4)
    assert changed(WAVE, sampling_rate=RATE)["segment_counts"].tolist() == [2]
