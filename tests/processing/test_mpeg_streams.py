"""MPEG audio as people have it: without header, joined, cut, between tags, constant and variable."""

import struct

import numpy as np
import pytest
from sound_files import (
    RATE,
    chunk,
    heard,
    id3_tag,
    message,
    mp3,
    pitches,
    save,
    tones,
    without_xing,
)

from auricle.processing import (
    FileRemarks,
    audio_seconds,
    read_channels,
)
from auricle.processing.frame_scanning import behind_tags, find_stream
from auricle.processing.frame_tables import frame_table
from auricle.processing.sound_source import SoundSource

SOUND = tones(3, RATE)
PITCHES = [200, 350, 500]


@pytest.mark.parametrize("quiet", [(0, 1), (1, 2)])
def test_the_length_of_variable_mp3_without_header_is_counted(tmp_path, quiet):
    """A guess by the first frames is off by a factor where a sound begins or ends softly."""
    sound = tones(3, RATE, quiet=quiet)
    variable = {"options": {"flags": "+qscale", "global_quality": "500"}, "bit_rate": None}
    path = save(tmp_path / "a.mp3", without_xing(sound, **variable))
    assert audio_seconds(path) == pytest.approx(3.0, abs=0.06)
    assert heard(path) == PITCHES


def test_cover_art_is_no_sound(tmp_path):
    plain = save(tmp_path / "plain.mp3", without_xing())
    cover = save(tmp_path / "cover.mp3", mp3(container_options={"write_xing": "0"}, cover=True))
    assert cover.stat().st_size > plain.stat().st_size + 50_000
    np.testing.assert_array_equal(read_channels(cover)[0], read_channels(plain)[0])


@pytest.mark.parametrize(
    "tag", ["id3 of true size", "id3 of eight bits a byte", "too small", "too large", "zeros"]
)
def test_tags_whose_size_is_wrong_hide_no_sound(tmp_path, tag):
    content, plain = bytes(range(1, 200)) * 30, without_xing()
    size = len(content)
    seven = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    sizes = {
        "id3 of true size": seven,
        "id3 of eight bits a byte": struct.pack(">I", size),
        "too small": bytes((0, 0, 1, 0)),
        "too large": b"\x7f\x7f\x7f\x7f",
        "zeros": seven,
    }
    head = b"ID3\x03\0\0" + sizes[tag] + content + (bytes(5000) if tag == "zeros" else b"")
    path = save(tmp_path / "a.mp3", head + plain)
    np.testing.assert_array_equal(read_channels(path)[0], read_channels(plain)[0])


def test_joined_mp3_files_are_read_to_the_end_each_without_its_padding(tmp_path):
    one, other = mp3(), mp3(tones(2, RATE, seed=1), bit_rate=128_000)
    path = save(tmp_path / "a.mp3", one + other + one)
    parts = [read_channels(part)[0] for part in (one, other, one)]
    assert [len(part) for part in parts] == [3 * RATE, 2 * RATE, 3 * RATE]
    np.testing.assert_array_equal(read_channels(path)[0], np.concatenate(parts))
    part, _ = read_channels(path, offset=2.5, duration=1.0)
    np.testing.assert_array_equal(part, np.concatenate(parts)[round(2.5 * RATE) : round(3.5 * RATE)])


def test_joined_mp3_files_with_tags_and_junk_between_them(tmp_path):
    one = without_xing()
    path = save(
        tmp_path / "a.mp3", one + b"TAG" + b" " * 125 + id3_tag(b"\xff\xfb\x90\0" * 300) + b"junk" * 50 + one
    )
    assert heard(path) == PITCHES * 2


def test_joined_mp3_files_of_different_rates_are_refused_with_the_reason(tmp_path):
    other = without_xing(tones(2, 48_000), 48_000)
    assert "sampling rate changes from 44100 to 48000 Hz" in message(
        save(tmp_path / "a.mp3", without_xing() + other)
    )


def test_joined_mono_and_stereo_is_one_sound(tmp_path):
    path = save(tmp_path / "a.mp3", without_xing() + without_xing(tones(3, RATE, channels=2)))
    samples, rate = read_channels(path)
    assert samples.shape[1] == 1 and pitches(samples[:, 0], rate) == PITCHES * 2


@pytest.mark.parametrize("container", ["mp3", "wav"])
def test_a_cut_stream_is_read_from_its_first_whole_frame(tmp_path, container):
    """As editors cut that do not encode again: the frames before the cut, of which it needs bits, are gone."""
    data = without_xing()
    with SoundSource(data) as source:
        stream = find_stream(source, behind_tags(source))
        frames = frame_table(source, stream).frames(source, stream, 0, 115)
    data = b"".join(frames[39:])
    if container == "wav":
        form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 8000, 1, 0, 12, 1, 2, 209, 1, 1393)
        body = b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", data)
        data = b"RIFF" + struct.pack("<I", len(body)) + body
    assert heard(save(tmp_path / "a", data)) == PITCHES[1:]


def test_an_mp3_that_lost_its_second_half_is_truncated_and_not_short(tmp_path):
    data = mp3()
    text = message(save(tmp_path / "a.mp3", data[: len(data) // 2]))
    assert "truncated" in text and "frames" in text


def test_an_mp3_that_lost_a_few_frames_is_read_with_a_remark(tmp_path):
    data = mp3(tones(6, RATE))
    whole, cut = save(tmp_path / "a.mp3", data), save(tmp_path / "b.mp3", data[: int(0.97 * len(data))])
    with FileRemarks() as remarks:
        samples, _ = read_channels(whole)
        shorter, _ = read_channels(cut)
    missing = (len(samples) - len(shorter)) / 1152
    ((name, note),) = remarks.found
    assert name == str(cut)
    assert int(note.split()[2]) == pytest.approx(missing, abs=2) and "frames that its header declares" in note


def test_a_header_that_calls_a_variable_stream_constant_is_not_believed(tmp_path):
    variable = {"options": {"flags": "+qscale", "global_quality": "500"}, "bit_rate": None}
    data = mp3(tones(3, RATE, quiet=(1,)), **variable)
    assert b"Xing" in data[:2000]
    path = save(tmp_path / "a.mp3", data.replace(b"Xing", b"Info", 1))
    np.testing.assert_array_equal(read_channels(path)[0], read_channels(data)[0])
    np.testing.assert_array_equal(
        read_channels(path, offset=2.0, duration=0.5)[0], read_channels(data, offset=2.0, duration=0.5)[0]
    )


def table_of(data: bytes, constant: bool = True):
    source = SoundSource(data)
    stream = find_stream(source, behind_tags(source))
    table = frame_table(source, stream, constant)
    return table, [table.frames(source, stream, place, place + 7) for place in range(0, table.count - 7, 7)]


def test_a_constant_stream_is_sought_without_a_scan():
    with_info, plain = mp3(tones(30, RATE)), without_xing(tones(30, RATE))
    for data, ahead in ((with_info, 1), (plain, 0)):
        (table, frames), (scanned, found) = table_of(data), table_of(data, False)
        assert table.positions is None and scanned.positions is not None
        assert table.samples == scanned.samples and table.count == scanned.count - ahead
        # The scan counts the Info frame too.
        known = [frame for group in found for frame in group][ahead:]
        assert [frame for group in frames for frame in group][: len(known)] == known[: len(frames) * 7]


@pytest.mark.parametrize("place", [0.1, 0.5, 0.93])
@pytest.mark.parametrize("change", ["a frame of another size", "bytes too many", "bytes too few", "a tag"])
def test_a_stream_that_is_constant_but_for_one_place_is_scanned(place, change):
    data = without_xing(tones(30, RATE))
    with SoundSource(data) as source:
        stream = find_stream(source, 0)
        positions = frame_table(source, stream, False).positions.tolist()
    cut = positions[int(place * len(positions))]
    other = without_xing(tones(1, RATE), bit_rate=96_000)[:313]
    pieces = {
        "a frame of another size": other,
        "bytes too many": b"\0" * 5,
        "bytes too few": b"",
        "a tag": b"TAG" + b" " * 125,
    }
    changed = data[: cut - 5 * (change == "bytes too few")] + pieces[change] + data[cut:]
    table, _ = table_of(changed)
    assert table.positions is not None


def test_frames_that_cannot_be_decoded_become_silence_in_their_place(tmp_path):
    data = bytearray(without_xing(bit_rate=128_000))
    with SoundSource(bytes(data)) as source:
        stream = find_stream(source, behind_tags(source))
        places = frame_table(source, stream).positions.tolist()
    whole, _ = read_channels(bytes(data))
    for number in (60, 61):
        data[places[number] + 4 : places[number + 1]] = b"\xff" * (places[number + 1] - places[number] - 4)
    samples, _ = read_channels(save(tmp_path / "a.mp3", bytes(data)))
    assert len(samples) == len(whole)
    np.testing.assert_array_equal(samples[: 58 * 1152], whole[: 58 * 1152])
    np.testing.assert_array_equal(samples[80 * 1152 :], whole[80 * 1152 :])
