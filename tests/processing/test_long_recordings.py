"""Files of any length stream through in pieces, with the results of reading them at once."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from auricle.processing import AudioReadError, AuricleFeatureExtractor, load_waveform, stream_waveform
from auricle.processing.audio_streaming import regroup

TOWERS = ("passt", "beats", "eat")


def write_noise(path, seconds: float, rate: int, channels: int = 1, **options):
    generator = np.random.default_rng(0)
    sound = 0.1 * generator.standard_normal((round(seconds * rate), channels))
    soundfile.write(path, sound.astype(np.float32), rate, **options)
    return path


@pytest.mark.parametrize("rate,channels", [(16000, 1), (16000, 2), (44100, 2), (8000, 1)])
@pytest.mark.parametrize("piece", [10.0, 0.37])
def test_pieces_make_up_the_whole(tmp_path, rate, channels, piece):
    path = write_noise(tmp_path / "a.wav", 23.4, rate, channels, subtype="FLOAT")
    whole = load_waveform(path, sampling_rate=16000)
    pieces = list(stream_waveform(path, sampling_rate=16000, piece_seconds=piece))
    assert max(len(one) for one in pieces) <= 16000 * piece * 1.2 + 4096
    streamed = np.concatenate(pieces)
    assert streamed.dtype == np.float32 and streamed.shape == whole.shape
    assert np.abs(streamed - whole).max() <= (0 if rate == 16000 else 1e-5)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3"])
def test_compressed_files_and_parts_of_them(tmp_path, name):
    path = write_noise(tmp_path / name, 12.0, 16000)
    for part in ({}, {"offset": 2.5}, {"offset": 1.25, "duration": 4.5}):
        whole = load_waveform(path, sampling_rate=16000, **part)
        streamed = np.concatenate(list(stream_waveform(path, sampling_rate=16000, piece_seconds=1.0, **part)))
        assert streamed.shape == whole.shape
        # An MP3 decoder that is asked for pieces rounds the last bit at their edges.
        assert np.abs(streamed - whole).max() <= (1e-6 if name.endswith("mp3") else 0), (name, part)


def test_a_handful_of_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.25, 0.75], dtype=np.float32), 96000, subtype="FLOAT")
    whole = load_waveform(tmp_path / "a.wav", sampling_rate=8000)
    streamed = np.concatenate(list(stream_waveform(tmp_path / "a.wav", sampling_rate=8000)))
    assert np.array_equal(streamed, whole) and len(streamed) > 0


def test_regroup_loses_and_mixes_nothing():
    generator = np.random.default_rng(1)
    for length in (1, 7, 100):
        sizes = generator.integers(1, 40, size=20)
        pieces = np.split(np.arange(sizes.sum(), dtype=np.float32), np.cumsum(sizes)[:-1])
        groups = list(regroup(pieces, length))
        assert all(len(group) == length for group in groups[:-1]) and 0 < len(groups[-1]) <= length
        assert np.array_equal(np.concatenate(groups), np.concatenate(pieces))
    assert list(regroup([], 5)) == []


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("rate", [16000, 32000])
def test_blocks_are_the_segments_of_one_call(tmp_path, tower, rate):
    path = write_noise(tmp_path / "a.wav", 25.3, rate)
    extractor = AuricleFeatureExtractor.for_tower(tower, segment_seconds=3.0)
    whole = extractor(str(path))
    blocks = list(extractor.iter_segments(path, segments_per_block=4))
    assert [int(block.inputs["segment_counts"]) for block in blocks] == [4, 4, 1]
    for key in whole:
        if key != "segment_counts":
            assert torch.equal(torch.cat([block.inputs[key] for block in blocks]), whole[key]), key
    starts = np.concatenate([block.starts for block in blocks])
    ends = np.concatenate([block.ends for block in blocks])
    assert np.allclose(starts, 3.0 * np.arange(9))
    assert np.allclose(ends, [*(3.0 * np.arange(1, 9)), 25.3])


@pytest.mark.parametrize("seconds", [12.05, 9.03, 3.05, 0.05])
def test_a_short_rest_is_treated_as_in_one_call(tmp_path, seconds):
    """Behind a whole block, within one, and as all there is."""
    path = write_noise(tmp_path / "a.wav", seconds, 16000)
    extractor = AuricleFeatureExtractor.for_tower("beats", segment_seconds=3.0)
    whole = extractor(str(path))["input_features"]
    blocks = list(extractor.iter_segments(path, segments_per_block=4))
    assert torch.equal(torch.cat([block.inputs["input_features"] for block in blocks]), whole)
    assert len(whole) == max(1, int(seconds // 3))


def test_times_count_from_the_start_of_the_file(tmp_path):
    path = write_noise(tmp_path / "a.wav", 9.0, 16000)
    extractor = AuricleFeatureExtractor.for_tower("beats", segment_seconds=2.0)
    (block,) = extractor.iter_segments(path, offset=1.5, duration=5.0)
    assert block.starts.tolist() == [1.5, 3.5, 5.5] and block.ends.tolist() == [3.5, 5.5, 6.5]


def test_bad_files_and_arguments_are_refused(tmp_path):
    path = write_noise(tmp_path / "a.wav", 3.0, 16000)
    extractor = AuricleFeatureExtractor.for_tower("beats")
    with pytest.raises(ValueError, match="segments_per_block=0"):
        next(extractor.iter_segments(path, segments_per_block=0))
    with pytest.raises(AudioReadError, match="no such file"):
        next(extractor.iter_segments(tmp_path / "none.wav"))
    with pytest.raises(AudioReadError, match="offset"):
        next(extractor.iter_segments(path, offset=4.0))
    bad = np.zeros(16000 * 2, dtype=np.float32)
    bad[20_000] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, 16000, subtype="FLOAT")
    with pytest.raises(AudioReadError, match=r"nan\.wav: sample 20000 is NaN"):
        list(stream_waveform(tmp_path / "nan.wav", sampling_rate=16000, piece_seconds=0.5))


MEASURE = """
import json, resource, sys
import torch
from auricle.processing import AuricleFeatureExtractor
from auricle.processing.audio_streaming import stream_waveform
torch.set_num_threads(1)
extractor = AuricleFeatureExtractor.for_tower("beats")
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
for block in extractor.iter_segments(sys.argv[1], duration=40.0, segments_per_block=4):
    pass
before = peak()
count = sum(len(block.starts) for block in extractor.iter_segments(sys.argv[1], segments_per_block=4))
print(json.dumps({"grown": peak() - before, "segments": count}))
"""


def test_memory_does_not_grow_with_the_file(tmp_path):
    """Fifteen minutes at 44.1 kHz are 159 MB of float samples: none of that may stay."""
    path = tmp_path / "long.wav"
    generator = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", samplerate=44100, channels=1, subtype="PCM_16") as file:
        minute = 0.1 * generator.standard_normal(44100 * 60)
        for _ in range(15):
            file.write(minute)
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURE, str(path)], check=True, capture_output=True, text=True
    )
    measured = json.loads(result.stdout.splitlines()[-1])
    assert measured["segments"] == 90
    assert measured["grown"] < 40, f"{measured['grown']:.0f} MB more than for 40 s"
