"""The endings by which sound is looked for are those of what the reader reads, and the other way round."""

import av
import pytest
from sound_files import encoded, save, tones, written

from auricle.files.sound_walking import walk_sounds
from auricle.processing import audio_seconds, supported_audio_extensions
from auricle.processing.container_opening import DEMUXERS
from auricle.processing.sndfile_part import sndfile_formats
from auricle.processing.sound_formats import (
    _FFMPEG_ENDINGS,
    _FFMPEG_STARTS,
    _SNDFILE_STARTS,
    endings_of,
    identify,
)
from auricle.processing.sound_source import SoundSource

RATE = 16_000
# What FFmpeg's readers also claim, and why it is not looked for.
NOT_LOOKED_FOR = {
    "apl": "a text that names a part of an .ape",
    "mac": "an old name of .ape that other programs use",
    "mks": "subtitles",
    "avif": "pictures",
    "heic": "pictures",
    "heif": "pictures",
    "mj2": "pictures",
    "ism": "a list of streams",
    "isma": "fragments of a stream",
    "ismv": "fragments of a stream",
    "psp": "films of a games console",
}
# (ending, muxer, codec): kinds of files that FFmpeg writes here, under each of their endings.
WRITTEN = [
    *((ending, "mpegts", "mp2") for ending in ("ts", "m2t", "m2ts", "mts")),
    *((ending, "matroska", "flac") for ending in ("mka", "mkv", "mk3d")),
    *((ending, "webm", "libopus") for ending in ("webm", "weba")),
    *((ending, "mp4", "aac") for ending in ("m4a", "mp4", "m4b", "3ga", "f4a", "3gpp")),
    *((ending, "avi", "mp2") for ending in ("avi", "divx")),
    *((ending, "ogg", "flac") for ending in ("ogm", "mogg", "ogx")),
    ("m2a", "mp2", "mp2"),
    ("wma", "asf", "mp2"),
    ("aac", "adts", "aac"),
    ("ac3", "ac3", "ac3"),
]


def test_every_reader_of_ffmpeg_has_its_endings():
    readable = supported_audio_extensions()
    for demuxer in DEMUXERS:
        claimed = av.ContainerFormat(demuxer, "r").extensions
        missing = {name for name in claimed if f".{name}" not in readable} - NOT_LOOKED_FOR.keys()
        assert not missing, f"{demuxer}: {missing}"
    assert not {f".{name}" for name in NOT_LOOKED_FOR} & readable


def test_what_content_identifies_has_an_ending_and_no_ending_is_of_nothing():
    by_sndfile = {(container, demuxer) for _, _, container, demuxer in _SNDFILE_STARTS}
    # Readers that only help out where libsndfile lacks a codec have the endings of the container.
    helpers = {demuxer for _, demuxer in by_sndfile if demuxer} - {"iff", "ogg"}
    identified = {demuxer for _, demuxer in _FFMPEG_STARTS} | {"avi", "xwma", "mov", "mpegts", "eac3"}
    assert identified <= _FFMPEG_ENDINGS.keys() and identified <= DEMUXERS.keys()
    # AC-3 and AAC are found by their frames.
    assert _FFMPEG_ENDINGS.keys() - identified <= {"ac3", "aac", "ogg"}
    assert DEMUXERS.keys() - _FFMPEG_ENDINGS.keys() <= helpers
    formats = {name.lower() for name in sndfile_formats()}
    assert {container.lower() for container, _ in by_sndfile} <= formats
    readable = supported_audio_extensions()
    assert {f".{name}" for name in formats - {"raw"}} <= readable
    assert {".sph", ".sf", ".16svx"} <= readable and endings_of(set(), False) == frozenset()


@pytest.mark.parametrize(("ending", "muxer", "codec"), WRITTEN)
def test_a_file_of_each_ending_is_found_and_read(tmp_path, ending, muxer, codec):
    rate = 48_000
    content = encoded(tones(1, rate), rate, container=muxer, codec=codec)
    path = save(tmp_path / f"take.{ending}", content)
    walk = walk_sounds(tmp_path, supported_audio_extensions())
    assert list(walk.sounds) == [str(path)] and not walk.unread and not walk.faults
    assert abs(audio_seconds(path) - 1) < 0.1


@pytest.mark.parametrize(("ending", "container"), [("sph", "NIST"), ("sf", "IRCAM"), ("16svx", "SVX")])
def test_other_endings_of_libsndfile_s_formats(tmp_path, ending, container):
    path = save(
        tmp_path / f"take.{ending}",
        bytes(written(tones(1, RATE), RATE, container=container, subtype="PCM_16")),
    )
    walk = walk_sounds(tmp_path, supported_audio_extensions())
    assert list(walk.sounds) == [str(path)] and abs(audio_seconds(path) - 1) < 0.1
    with SoundSource(path) as source:
        assert identify(source).demuxer in (None, "iff")
