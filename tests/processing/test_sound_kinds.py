"""What people really have: broken headers, joined and cut streams, tags in the way, things that are no sound."""

import io
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_files import (
    RATE,
    apple_double,
    chunk,
    encoded,
    heard,
    message,
    pitches,
    save,
    tones,
    wav,
    without_xing,
    written,
)

from auricle.processing import (
    AuricleFeatureExtractor,
    audio_seconds,
    load_waveform,
    read_audio,
    read_channels,
)
from auricle.processing import header_repair as repair
from auricle.processing.sound_source import SoundSource

SOUND = tones(3, RATE)
PITCHES = [200, 350, 500]


# ------------------------------------------------------------------------------------ sizes that are not true


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_FFFF])
def test_a_recorder_that_died_left_all_its_samples(tmp_path, size):
    path = save(tmp_path / "a.wav", wav(SOUND, RATE, data_size=size))
    np.testing.assert_array_equal(read_channels(path)[0], read_channels(wav(SOUND, RATE))[0])
    part, _ = read_channels(path, offset=1.0, duration=0.5)
    np.testing.assert_array_equal(part, read_channels(path)[0][RATE : RATE + RATE // 2])


@pytest.mark.parametrize("excess", [1, 3])
def test_a_size_that_is_a_byte_too_large_says_nothing(tmp_path, excess):
    path = save(tmp_path / "a.wav", wav(SOUND, RATE, data_size=2 * len(SOUND) + excess))
    assert len(read_channels(path)[0]) == len(SOUND)


def test_a_wav_of_no_length_with_chunks_behind_is_empty(tmp_path):
    empty = np.zeros((0, 1), np.float32)
    data = wav(empty, RATE, behind=chunk(b"LIST", b"INFOINAM\x04\0\0\0none"))
    assert "no samples" in message(save(tmp_path / "a.wav", data))


def test_bytes_behind_the_sound_are_told_of(tmp_path, caplog):
    path = save(tmp_path / "a.wav", wav(SOUND, RATE) + os.urandom(20_000))
    with caplog.at_level("WARNING"):
        assert len(read_channels(path)[0]) == len(SOUND)
        read_channels(path)
    assert sum("after the end of its audio" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("size", [0, 2**64 - 1])
@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_rf64_and_bw64_of_open_size(tmp_path, magic, size):
    data = written(SOUND, RATE, container="RF64", subtype="PCM_16")
    whole = read_channels(bytes(data))[0]
    place = data.index(b"ds64")
    data[:4], data[place + 16 : place + 24] = magic, struct.pack("<Q", size)
    np.testing.assert_array_equal(read_channels(save(tmp_path / "a.wav", bytes(data)))[0], whole)


def test_bw64_as_it_should_be(tmp_path):
    data = written(SOUND, RATE, container="RF64", subtype="PCM_24")
    whole = read_channels(bytes(data))[0]
    data[:4] = b"BW64"
    np.testing.assert_array_equal(read_channels(save(tmp_path / "a.wav", bytes(data)))[0], whole)


@pytest.mark.parametrize("size", [0, 24, 2**64 - 1])
def test_w64_of_open_size(tmp_path, size):
    data = written(SOUND, RATE, container="W64", subtype="PCM_16")
    whole = read_channels(bytes(data))[0]
    place = data.index(b"data") + 16
    data[place : place + 8] = struct.pack("<Q", size)
    np.testing.assert_array_equal(read_channels(save(tmp_path / "a.w64", bytes(data)))[0], whole)


@pytest.mark.parametrize("size", [0, 8, 0xFFFF_FFFF])
@pytest.mark.parametrize("frames", [None, 0])
def test_aiff_of_open_size(tmp_path, size, frames):
    data = written(SOUND, RATE, container="AIFF", subtype="PCM_24")
    whole = read_channels(bytes(data))[0]
    sound, common = data.index(b"SSND") + 4, data.index(b"COMM") + 10
    data[sound : sound + 4] = struct.pack(">I", size)
    if frames is not None:
        data[common : common + 4] = struct.pack(">I", frames)
    np.testing.assert_array_equal(read_channels(save(tmp_path / "a.aiff", bytes(data)))[0], whole)


@pytest.mark.parametrize(
    ("container", "place", "sizes"), [("CAF", 4, (0, 2**64 - 1)), ("AU", 0, (0, 2**32 - 1))]
)
def test_caf_and_au_of_open_size(tmp_path, container, place, sizes):
    for size in sizes:
        data = written(SOUND, RATE, container=container, subtype="PCM_16")
        whole = read_channels(bytes(data))[0]
        start = data.index(b"data") + place if container == "CAF" else 8
        data[start : start + (8 if container == "CAF" else 4)] = size.to_bytes(
            8 if container == "CAF" else 4, "big"
        )
        np.testing.assert_array_equal(read_channels(save(tmp_path / "a", bytes(data)))[0], whole)


@pytest.mark.parametrize("declared", [1 << 20, (5 << 30) % (1 << 32), 0, 0xFFFF_FFFF])
def test_a_recording_of_more_than_four_gigabytes_in_a_wav(tmp_path, declared):
    """The size field has 32 bits: naive writers leave what remains of the size."""
    path, total = tmp_path / "long.wav", (4 << 30) + (1 << 20) if declared == 1 << 20 else 5 << 30
    head = bytearray(wav(np.zeros((0, 1), np.float32), 48_000))
    head[40:44] = struct.pack("<I", declared)
    tail = (np.arange(4800) % 1000).astype("<i2")
    with open(path, "wb") as file:
        file.write(head)
        file.seek(len(head) + total - tail.nbytes)
        file.write(tail.tobytes())
    frames = total // 2
    assert audio_seconds(path) == frames / 48_000
    part, rate = read_channels(path, offset=(frames - len(tail)) / 48_000)
    np.testing.assert_array_equal(part[:, 0], tail.astype(np.float32) / 32768)
    text = message(path)
    assert rate == 48_000 and "too many to be read at once" in text


def test_chunks_of_odd_size_with_and_without_padding():
    plain = repair.wav_layout(SoundSource(wav(SOUND, RATE)))
    for padding in (b"\0", b""):
        odd = b"junk" + struct.pack("<I", 3) + b"abc" + padding
        layout = repair.wav_layout(SoundSource(wav(SOUND, RATE, extra=odd, behind=odd)))
        assert (layout.data_size, layout.behind) == (plain.data_size, 0)
        assert layout.data_start == plain.data_start + len(odd)


def test_joined_wav_files_keep_their_order_and_differ_in_rate_never(tmp_path):
    one, other = wav(SOUND, RATE), wav(tones(2, RATE, channels=2, seed=1), RATE)
    path = save(tmp_path / "a.wav", one + other)
    assert heard(path) == [*PITCHES, *PITCHES[:2]]
    assert "changes from 44100 to 8000 Hz at 3 s" in message(save(path, one + wav(tones(1, 8000), 8000)))


def test_joined_flac_files_of_any_length(tmp_path):
    one = bytes(written(SOUND, RATE, container="FLAC", subtype="PCM_16"))
    other = bytes(written(tones(1, RATE, seed=2), RATE, container="FLAC", subtype="PCM_16"))
    path = save(tmp_path / "a.flac", one + other + one)
    assert audio_seconds(path) == 7.0 and heard(path) == [*PITCHES, 200, *PITCHES]
    part, _ = read_channels(path, offset=2.9, duration=1.2)
    np.testing.assert_array_equal(part, read_channels(path)[0][round(2.9 * RATE) : round(4.1 * RATE)])


def test_a_chained_ogg_of_different_lengths(tmp_path):
    links = [
        bytes(written(tones(n, RATE, seed=n), RATE, container="OGG", subtype="VORBIS")) for n in (2, 1, 3)
    ]
    path = save(tmp_path / "a.ogg", b"".join(links))
    assert audio_seconds(path) == 6.0 and heard(path) == [200, 350, 200, 200, 350, 500]
    assert "truncated" in message(save(path, b"".join(links)[:-3000]))


# ------------------------------------------------------------------------------------ containers


@pytest.mark.parametrize("container", ["mp4", "matroska", "asf", "wv", "avi"])
@pytest.mark.parametrize("share", [0.9, 0.5])
def test_what_a_container_lost_is_missed(tmp_path, container, share):
    codec = {"mp4": "aac", "matroska": "flac", "asf": "wmav2", "wv": "wavpack", "avi": "pcm_s16le"}[container]
    options = {"movflags": "faststart"} if container == "mp4" else {}
    data = encoded(SOUND, RATE, container=container, codec=codec, container_options=options, bit_rate=96_000)
    text = message(save(tmp_path / "a", data[: int(len(data) * share)]))
    assert "truncated" in text or (container == "wv" and "damaged" in text)


def test_an_mp4_whose_index_is_cut_is_not_said_to_hold_no_sound(tmp_path):
    data = encoded(SOUND, RATE, container="ipod", codec="aac")
    index = len(data) - data.rindex(b"moov")
    for share in (0.2, 0.6, 0.95):
        text = message(save(tmp_path / "a.m4a", data[: len(data) - int(share * index)]))
        assert "truncated" in text and "contains no audio" not in text


def test_a_video_without_sound(tmp_path):
    data = encoded(SOUND, RATE, container="mp4", codec="aac", video=True, tracks=0)
    assert "contains no audio, only video" in message(save(tmp_path / "a.mp4", data))


def test_of_several_sound_tracks_the_first_is_read_and_the_others_are_told_of(tmp_path, caplog):
    data = encoded(SOUND, RATE, container="matroska", codec="flac", tracks=3, video=True)
    path = save(tmp_path / "a.mkv", data)
    with caplog.at_level("WARNING"):
        assert heard(path) == PITCHES
    told = [record.getMessage() for record in caplog.records if "sound tracks" in record.getMessage()]
    assert told == [f"{path}: contains 3 sound tracks, of which the first is read"]


def test_encrypted_sound_is_called_so(tmp_path):
    data = encoded(SOUND, RATE, container="ipod", codec="aac")
    for tag in (b"drms", b"enca"):
        path = save(tmp_path / "a.m4p", data.replace(b"mp4a", tag))
        assert "encrypted (DRM" in message(path)
    wma = encoded(SOUND, RATE, container="asf", codec="wmav2", bit_rate=96_000)
    mark = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e") + struct.pack("<Q", 24)
    head = bytearray(wma)
    # A content encryption object more in the header object.
    head[16:24] = struct.pack("<Q", struct.unpack("<Q", head[16:24])[0] + 24)
    head[24:28] = struct.pack("<I", struct.unpack("<I", head[24:28])[0] + 1)
    assert "encrypted (DRM)" in message(save(tmp_path / "a.wma", bytes(head[:30]) + mark + bytes(head[30:])))


@pytest.mark.parametrize("unit", [b"\xff\xff\xff\xff", b"\0\0\0\0"])
def test_a_duration_of_nothing_or_minus_one_is_not_believed(tmp_path, unit):
    data = bytearray(encoded(SOUND, RATE, container="ipod", codec="alac"))
    for name in (b"mvhd", b"mdhd", b"tkhd"):
        place = data.index(name) + (24 if name == b"tkhd" else 20)
        data[place : place + 4] = unit
    samples, _ = read_channels(save(tmp_path / "a.m4a", bytes(data)))
    assert pitches(samples[:, 0], RATE) == PITCHES


def test_a_webm_without_length_as_browsers_record_it(tmp_path):
    file = io.BytesIO(encoded(tones(3, 48_000), 48_000, container="webm", codec="libopus",
                              container_options={"live": "1"}))  # fmt: skip
    path = save(tmp_path / "a.webm", file.getvalue())
    assert audio_seconds(path) == pytest.approx(3.0, abs=0.03)
    assert heard(path) == PITCHES


def test_priming_and_padding_are_taken_off_by_edit_list_and_by_itunes_comment(tmp_path):
    data = encoded(SOUND, RATE, container="ipod", codec="aac", options={"aac_pns": "0"})
    exact, _ = read_channels(data)
    assert len(exact) == len(SOUND)
    np.testing.assert_array_equal(read_channels(data, offset=1.5)[0], exact[round(1.5 * RATE) :])
    # Without its edit list the file is longer, by priming and padding; the comment states the same as the list.
    bare = data.replace(b"edts", b"free")
    assert len(read_channels(bare)[0]) >= len(SOUND) + 1024
    comment = with_itunes_comment(bare, f" 00000000 00000400 000001F0 {len(SOUND):016X}")
    np.testing.assert_array_equal(read_channels(save(tmp_path / "a.m4a", comment))[0], exact)


def with_itunes_comment(data: bytes, text: str) -> bytes:
    """An MP4 file, its `moov` at the end, with one more comment in it."""

    def atom(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + name + content

    parts = [b"mean" + bytes(4) + b"com.apple.iTunes", b"name" + bytes(4) + b"iTunSMPB"]
    parts.append(b"data" + struct.pack(">II", 1, 0) + text.encode())
    comment = atom(b"----", b"".join(atom(part[:4], part[4:]) for part in parts))
    grown = bytearray(data)
    for name in (b"moov", b"udta", b"meta", b"ilst"):
        place = grown.rindex(name) - 4
        grown[place : place + 4] = struct.pack(
            ">I", struct.unpack(">I", grown[place : place + 4])[0] + len(comment)
        )
    end = grown.rindex(b"ilst") + 4
    return bytes(grown[:end] + comment + grown[end:])


# ------------------------------------------------------------------------------------ no sound


def test_an_apple_double_beside_a_file_changes_nothing(tmp_path):
    sidecar = save(tmp_path / "._take.mp3", apple_double())
    for name, data in {
        "take.mp3": without_xing(),
        "take.wav": wav(SOUND, RATE),
        "take.sd2": wav(SOUND, RATE),
    }.items():
        save(tmp_path / f"._{name}", apple_double())
        assert heard(save(tmp_path / name, data)) == PITCHES
    assert "AppleDouble" in message(sidecar)


@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.m4a", "a.ogg", "a.m3u8"])
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:3,\nother.wav\n",
        "[playlist]\nFile1=other.wav\nNumberOfEntries=1\n",
        "ffconcat version 1.0\nfile other.wav\n",
        '<?xml version="1.0"?><smil></smil>',
        "These are notes about the recording, and no sound at all.\n" * 20,
    ],
)
def test_texts_and_playlists_are_no_sound(tmp_path, name, text):
    save(tmp_path / "other.wav", wav(SOUND, RATE))
    assert "not an audio file" in message(save(tmp_path / name, text.encode()))


@pytest.mark.parametrize("ending", [".mp3", ".m4a", ".webm", ".wma", ".aac", ".wv"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 5000, b"\xff" * 5000, b"\xff\xfb\x90\0", b"OggS", b"RIFF", b"fLaC", b"ID3"]
)
def test_files_of_nothing(tmp_path, ending, content):
    text = message(save(tmp_path / f"a{ending}", content))
    assert "empty" in text or "not an audio file" in text or "damaged" in text or "truncated" in text


def test_a_day_of_silence_is_streamed_in_little_memory(tmp_path):
    """A file of some kB that is longer than what fits into memory."""
    second = bytes(
        written(np.zeros((8000 * 60 * 10, 1), np.float32), 8000, container="FLAC", subtype="PCM_16")
    )
    path = save(tmp_path / "a.flac", second * 144)
    assert path.stat().st_size < 20e6 and audio_seconds(path) == 86_400
    part, _ = read_channels(path, offset=86_399.5)
    assert len(part) == 4000 and not part.any()


# ------------------------------------------------------------------------------------ channels


def test_channels_that_cancel_are_not_silence_and_are_told_of_once(tmp_path, caplog):
    stereo = np.concatenate([SOUND, -SOUND], axis=1)
    path = tmp_path / "antiphase.wav"
    soundfile.write(path, stereo, RATE, subtype="FLOAT")
    with caplog.at_level("WARNING"):
        for _ in range(2):
            np.testing.assert_array_equal(read_audio(path)[0], SOUND[:, 0])
            assert not read_audio(path, downmix="mean")[0].any()
    told = [record.getMessage() for record in caplog.records]
    assert len([text for text in told if "cancel" in text]) == 2, "one for each of the two ways to mix"
    active = AuricleFeatureExtractor.for_tower("beats", downmix="active", segment_seconds=1.0)
    mono = save(tmp_path / "mono.wav", b"")
    soundfile.write(mono, SOUND, RATE, subtype="FLOAT")
    assert np.abs(active(str(path))["input_features"] - active(str(mono))["input_features"]).max() < 1e-3


def test_silent_channels_do_not_make_a_sound_quieter(tmp_path):
    six = np.zeros((len(SOUND), 6), np.float32)
    six[:, 2] = SOUND[:, 0]
    path = tmp_path / "six.wav"
    soundfile.write(path, six, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path)[0], SOUND[:, 0])
    np.testing.assert_allclose(read_audio(path, downmix="mean")[0], SOUND[:, 0] / 6, atol=1e-7)
    one = save(tmp_path / "one.wav", bytes(written(SOUND, RATE, container="WAV", subtype="FLOAT")))
    np.testing.assert_array_equal(
        load_waveform(path, sampling_rate=16_000), load_waveform(one, sampling_rate=16_000)
    )


CASES = os.environ.get("AURICLE_CASES_DIR")


@pytest.mark.skipif(not CASES, reason="AURICLE_CASES_DIR names a folder with cases.json")
def test_recorded_cases():
    """Files of other makers, with what is right about each in `cases.json`."""
    folder = Path(CASES)
    wrong = {}
    for case in json.loads((folder / "cases.json").read_text(encoding="utf-8")):
        if case["expect"] != "read":
            continue
        waveform, rate = read_audio(folder / case["file"])
        right = abs(len(waveform) / rate - case["seconds"]) < 0.1
        if case.get("like"):
            plain, plain_rate = read_audio(folder / case["like"])
            expected = pitches(plain, plain_rate)
            right &= pitches(waveform, rate) == expected * round(case["seconds"] / (len(plain) / plain_rate))
            level = 10 * np.log10(np.mean(waveform**2.0) / np.mean(plain**2.0))
            right &= abs(level) < 3.5
        if not right:
            wrong[case["file"]] = (len(waveform) / rate, pitches(waveform, rate))
    assert wrong == {}
