"""Files joined end to end, bytes behind a sound, and cut files: container by container."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sound_files import RATE, ape_tag, encoded, id3_tag, message, save, tones, wav, written

from auricle.processing import AudioReadError, audio_seconds, read_channels, stream_channels
from auricle.processing.container_ends import ENDS
from auricle.processing.sound_source import SoundSource

FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
FAST_START = {"movflags": "faststart"}


def ff(rate: int = RATE, channels: int = 2, **options: object) -> Callable[[int, int], bytes]:
    return lambda seconds, seed: encoded(tones(seconds, rate, channels=channels, seed=seed), rate, **options)


def sf(container: str, subtype: str, rate: int = RATE) -> Callable[[int, int], bytes]:
    return lambda seconds, seed: bytes(
        written(tones(seconds, rate, channels=2, seed=seed), rate, container=container, subtype=subtype)
    )


AMR = {"codec": "libopencore_amrnb", "bit_rate": 12_200, "rate": 8_000, "channels": 1}
KINDS: dict[str, Callable[[int, int], bytes]] = {
    "m4a": ff(container="ipod", codec="aac", options={"aac_pns": "0"}),
    "m4a, index first": ff(
        container="ipod", codec="aac", options={"aac_pns": "0"}, container_options=FAST_START
    ),
    "m4a alac": ff(container="ipod", codec="alac"),
    "mp4 in fragments": ff(
        container="mp4", codec="aac", options={"aac_pns": "0"}, container_options=FRAGMENTS
    ),
    "mp3 in mp4": ff(container="mp4", codec="libmp3lame"),
    "mov pcm": ff(container="mov", codec="pcm_s16le"),
    "3gp": ff(container="3gp", **AMR),
    "amr": ff(container="amr", **AMR),
    "webm": ff(48_000, container="webm", codec="libopus"),
    "webm of open size": ff(48_000, container="webm", codec="libopus", container_options={"live": "1"}),
    "mka flac": ff(container="matroska", codec="flac"),
    "mka vorbis": ff(container="matroska", codec="vorbis", options={"strict": "-2"}),
    "wma": ff(container="asf", codec="wmav2", bit_rate=64_000),
    "wavpack": ff(container="wv", codec="wavpack"),
    "tta": ff(container="tta", codec="tta"),
    "flv mp3": ff(container="flv", codec="libmp3lame"),
    "flv aac": ff(container="flv", codec="aac", options={"aac_pns": "0"}),
    "caf": sf("CAF", "PCM_16"),
    "caf alac": ff(container="caf", codec="alac"),
    "au": sf("AU", "PCM_16"),
    "aiff": sf("AIFF", "PCM_24"),
    "w64": sf("W64", "PCM_16"),
    "nist": sf("NIST", "PCM_16"),
    "voc": ff(container="voc", codec="pcm_s16le"),
    "rf64": sf("RF64", "PCM_16"),
    "wav yamaha": ff(container="wav", codec="adpcm_yamaha"),
    "mp3 in wav": ff(container="wav", codec="libmp3lame"),
    "ogg flac": ff(container="ogg", codec="flac"),
    "transport stream": ff(container="mpegts", codec="aac", options={"aac_pns": "0"}),
    "adts": ff(container="adts", codec="aac", options={"aac_pns": "0"}),
    "mp3": ff(container="mp3", codec="libmp3lame"),
}
# Streams that no part of which says how long they are.
OPEN = {"webm of open size", "transport stream", "adts", "amr"}
# These are one stream, whose decoder goes on at the border.
ONE_STREAM = {"transport stream", "adts"}


@pytest.fixture(scope="module")
def made() -> dict[tuple[str, int], bytes]:
    return {}


def one(made: dict, name: str, seconds: int = 2) -> bytes:
    if (name, seconds) not in made:
        made[name, seconds] = KINDS[name](seconds, seconds)
    return made[name, seconds]


@pytest.mark.parametrize("between", ["nothing", "tags"])
@pytest.mark.parametrize("name", sorted(set(KINDS) - ONE_STREAM))
def test_joined_files_are_read_to_the_end(tmp_path, made, name, between):
    first, second = one(made, name), one(made, name, 1)
    if between == "tags" and name in (
        "rf64",
        "wav yamaha",
        "mp3 in wav",
        "ogg flac",
        "adts",
        "webm of open size",
    ):
        pytest.skip("such a file has chunks and pages in place of tags")
    tags = b"TAG" + b" " * 125 + id3_tag(bytes(40)) if between == "tags" else b""
    path = save(tmp_path / "sound", first + tags + second)
    parts = [read_channels(data) for data in (first, second)]
    rate = parts[0][1]
    expected = np.concatenate([samples for samples, _ in parts])
    whole, _ = read_channels(path)
    np.testing.assert_array_equal(whole, expected)
    assert audio_seconds(path) == len(expected) / rate
    border = len(parts[0][0])
    for start in (border - rate // 5, border, border + rate // 3):
        part, _ = read_channels(path, offset=start / rate, duration=0.4)
        assert part.shape == expected[start : start + round(0.4 * rate)].shape
        np.testing.assert_allclose(part, expected[start : start + len(part)], atol=1e-6)
    blocks = list(stream_channels(path, sampling_rate=rate, piece_seconds=0.7))
    np.testing.assert_array_equal(np.concatenate([b.reshape(len(b), -1) for b in blocks]), expected)
    with pytest.raises(AudioReadError, match="the file ends at"):
        read_channels(path, offset=len(expected) / rate + 0.1)


@pytest.mark.parametrize("name", sorted(ONE_STREAM))
def test_joined_streams(made, name):
    data = one(made, name)
    whole, rate = read_channels(data + data)
    assert len(whole) == 2 * len(read_channels(data)[0])
    assert len(whole) / rate == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("container", ["mpegts", "mpeg"])
@pytest.mark.parametrize("seen", ["nothing", "the first file", "all"])
def test_offsets_in_joined_streams_whose_time_stamps_begin_anew(tmp_path, container, seen):
    make = ff(48_000, container=container, codec="mp2")
    path = save(tmp_path / "sound", make(8, 1) + make(7, 2))
    expected, rate = read_channels(path.read_bytes())
    assert len(expected) / rate == pytest.approx(15.0, abs=0.1)
    if seen != "nothing":
        read_channels(path, duration=8.0 if seen == "the first file" else None)
    for second in (6.0, 5.0, 7.5, 10.0, 14.0, 6.5):
        part, _ = read_channels(path, offset=second, duration=0.5)
        first = round(second * rate)
        np.testing.assert_allclose(part, expected[first : first + rate // 2], atol=1e-4)
    assert audio_seconds(path) == len(expected) / rate


def test_joined_files_of_different_rates_are_refused(tmp_path, made):
    other = encoded(tones(1, 48_000, channels=2), 48_000, container="ipod", codec="aac")
    text = message(save(tmp_path / "a.m4a", one(made, "m4a") + other))
    assert "changes from 44100 to 48000 Hz at file 2 of the 2" in text


def test_joined_mono_and_stereo_get_the_channels_of_the_first(tmp_path, made):
    mono = encoded(tones(1, RATE), RATE, container="ipod", codec="alac")
    stereo = one(made, "m4a alac", 1)
    samples, _ = read_channels(save(tmp_path / "a.m4a", mono + stereo))
    assert samples.shape == (2 * RATE, 1)


def test_a_joined_file_whose_second_part_is_cut_is_truncated(tmp_path, made):
    data = one(made, "tta")
    assert "truncated" in message(save(tmp_path / "a.tta", data + data[: len(data) // 2]))


def told(caplog, path: Path) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.getMessage().startswith(str(path))]


@pytest.mark.parametrize("name", sorted(KINDS))
def test_bytes_behind_a_sound_are_reported_and_padding_is_not(tmp_path, caplog, made, name):
    data = one(made, name)
    whole, _ = read_channels(data)
    quiet = save(tmp_path / "quiet", data + bytes(30_000))
    np.testing.assert_array_equal(read_channels(quiet)[0], whole)
    assert told(caplog, quiet) == []
    if name not in ("webm of open size", "wav yamaha", "mp3 in wav", "rf64", "ogg flac", "transport stream"):
        tagged = save(tmp_path / "tagged", data + ape_tag({"Title": b"r" * 9000}) + b"TAG" + b" " * 125)
        np.testing.assert_array_equal(read_channels(tagged)[0], whole)
        assert told(caplog, tagged) == []
    if name == "webm of open size":
        return  # no byte behind its begin is certain to be behind it
    noise = np.random.default_rng(5).bytes(20_000)
    path = save(tmp_path / "noise", data + noise)
    np.testing.assert_array_equal(read_channels(path)[0], whole)
    read_channels(path)
    (text,) = told(caplog, path)
    assert "bytes after the end of its audio" in text


@pytest.mark.parametrize("share", [0.9, 0.5])
@pytest.mark.parametrize("name", sorted(set(KINDS) - OPEN))
def test_a_cut_file_is_refused(tmp_path, made, name, share):
    data = one(made, name)
    text = message(save(tmp_path / "a", data[: int(share * len(data))]))
    assert "truncated" in text or "damaged" in text or "contains no" in text


def test_a_movie_that_lacks_little_is_read_with_a_report(tmp_path, caplog, made):
    data = one(made, "m4a, index first")
    path = save(tmp_path / "a.m4a", data[:-40])
    samples, rate = read_channels(path)
    assert len(samples) / rate > 1.9
    assert told(caplog, path) == [f"{path}: the last 40 bytes that it declares are missing"]


def test_an_flv_whose_size_an_editor_left_as_it_was_is_whole(made):
    data = one(made, "flv mp3")
    place = data.index(b"filesize") + 9
    larger = data[:place] + np.array(1e6, ">f8").tobytes() + data[place + 8 :]
    np.testing.assert_array_equal(read_channels(larger)[0], read_channels(data)[0])


def test_chunks_behind_the_data_of_a_w64_are_no_sound(made):
    data = one(made, "w64")
    chunk = (
        b"list" + bytes.fromhex("f3acd3118cd100c04f8edb8a") + (24 + 800).to_bytes(8, "little") + b"x" * 800
    )
    np.testing.assert_array_equal(read_channels(data + chunk)[0], read_channels(data)[0])


def test_a_second_wav_is_no_chunk_of_an_aiff(tmp_path, caplog, made):
    path = save(tmp_path / "a.aiff", one(made, "aiff") + wav(tones(1, RATE), RATE))
    assert len(read_channels(path)[0]) == 2 * RATE


@pytest.mark.parametrize("kind", sorted(ENDS))
@pytest.mark.parametrize("content", [b"", b"\0" * 300, b"\xff" * 300])
def test_ends_of_what_is_no_such_file_come_back(kind, content):
    with SoundSource(b"RIFF" + content) as source:
        end = ENDS[kind](source, 0)
    assert end is None or end >= 0
