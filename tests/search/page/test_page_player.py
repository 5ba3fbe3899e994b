"""What the page's player is sent: the file as it is, or a WAV file of the same sound, for files of many kinds."""

from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette")
pytest.importorskip("lancedb")

from starlette.applications import Starlette
from starlette.testclient import TestClient

from auricle.search.page.playing.player import as_int16, part_as_wav, playable
from auricle.search.page.playing.sounds import AnsweredSounds
from auricle.search.query.hits import Hit

RATE, SECONDS = 22_050, 4


def tones(rate: int = RATE, seconds: int = SECONDS) -> np.ndarray:
    """In second i a tone of 200 + 150 i Hz."""
    times = np.arange(rate) / rate
    return np.concatenate(
        [0.4 * np.sin(2 * np.pi * (200 + 150 * second) * times) for second in range(seconds)]
    ).astype(np.float32)


def by_soundfile(kind: str, subtype: str | None, rate: int = RATE, channels: int = 1):
    def write(path: Path) -> None:
        samples = np.stack([tones(rate)] * channels, axis=1)
        soundfile.write(path, samples, rate, format=kind, subtype=subtype)

    return write


def by_ffmpeg(container: str, codec: str, rate: int = RATE, bit_rate: int = 96_000):
    def write(path: Path) -> None:
        with av.open(str(path), "w", format=container) as file:
            stream = file.add_stream(codec, rate=rate, layout="mono")
            stream.bit_rate = bit_rate
            frame = av.AudioFrame.from_ndarray(tones(rate)[None], format="fltp", layout="mono")
            frame.rate = rate
            parts = av.AudioResampler(stream.format, "mono", rate, frame_size=stream.frame_size or None)
            for part in (*parts.resample(frame), *parts.resample(None)):
                file.mux(stream.encode(part))
            file.mux(stream.encode(None))

    return write


def without_length(path: Path) -> None:
    by_soundfile("WAV", "PCM_16")(path)
    content = bytearray(path.read_bytes())
    content[40:44] = bytes(4)
    path.write_bytes(content)


def twice(write):
    def joined(path: Path) -> None:
        write(path)
        path.write_bytes(2 * path.read_bytes())

    return joined


# By kind of file: how to write it, and the media type of what browsers play as it is.
KINDS = {
    "WAV, 8 bits": (by_soundfile("WAV", "PCM_U8"), "audio/wav"),
    "WAV, 16 bits": (by_soundfile("WAV", "PCM_16"), "audio/wav"),
    "WAV, 24 bits, stereo": (by_soundfile("WAV", "PCM_24", channels=2), "audio/wav"),
    "WAV, extensible": (by_soundfile("WAVEX", "PCM_16"), "audio/wav"),
    "WAV, mu-law": (by_soundfile("WAV", "ULAW"), "audio/wav"),
    "FLAC": (by_soundfile("FLAC", "PCM_16"), "audio/flac"),
    "Ogg Vorbis": (by_soundfile("OGG", "VORBIS"), "audio/ogg"),
    "Ogg Opus": (by_soundfile("OGG", "OPUS", 48_000), "audio/ogg"),
    "MP3": (by_ffmpeg("mp3", "libmp3lame"), "audio/mpeg"),
    "WebM": (by_ffmpeg("webm", "libopus", 48_000), "audio/webm"),
    "MP4, AAC": (by_ffmpeg("ipod", "aac"), "audio/mp4"),
    "WAV, float": (by_soundfile("WAV", "FLOAT"), "audio/wav"),
    "WAV, float, six channels": (by_soundfile("WAV", "FLOAT", channels=6), None),
    "WAV, double": (by_soundfile("WAV", "DOUBLE"), None),
    "WAV, GSM": (by_soundfile("WAV", "GSM610", 8_000), None),
    "WAV, IMA ADPCM": (by_soundfile("WAV", "IMA_ADPCM"), None),
    "WAV, MS ADPCM": (by_soundfile("WAV", "MS_ADPCM"), None),
    "WAV, six channels": (by_soundfile("WAV", "PCM_16", channels=6), None),
    "WAV, 384 kHz": (by_soundfile("WAV", "PCM_16", 384_000), None),
    "WAV, 6 kHz": (by_soundfile("WAV", "PCM_16", 6_000), None),
    "WAV of a recorder that died": (without_length, None),
    "RF64": (by_soundfile("RF64", "PCM_16"), None),
    "W64": (by_soundfile("W64", "PCM_16"), None),
    "AIFF": (by_soundfile("AIFF", "PCM_16"), None),
    "AIFF, double": (by_soundfile("AIFF", "DOUBLE"), None),
    "CAF, float": (by_soundfile("CAF", "FLOAT"), None),
    "AU": (by_soundfile("AU", "PCM_16"), None),
    "VOC": (by_soundfile("VOC", "PCM_16"), None),
    "FLAC, 96 kHz": (by_soundfile("FLAC", "PCM_24", 96_000), None),
    "two Ogg files joined": (twice(by_soundfile("OGG", "VORBIS")), None),
    "two MP3 joined": (twice(by_ffmpeg("mp3", "libmp3lame")), None),
    "MP2": (by_ffmpeg("mp2", "mp2"), None),
    "AAC without a container": (by_ffmpeg("adts", "aac"), None),
    "MP4, ALAC": (by_ffmpeg("ipod", "alac"), None),
    "WMA": (by_ffmpeg("asf", "wmav2", 44_100), None),
    "AC-3": (by_ffmpeg("ac3", "ac3", 44_100), None),
    "WavPack": (by_ffmpeg("wv", "wavpack"), None),
    "QuickTime, PCM": (by_ffmpeg("mov", "pcm_s16le"), None),
}


def hit_of(path: Path, start: float = 0.0, duration: float = SECONDS) -> Hit:
    return Hit(str(path), start, start + 1.0, 0.5, 0.5, None, duration, ())


def sent(hit: Hit) -> tuple[str, bytes, str]:
    """Media type, content and name of what the page sends for an answer."""
    sounds = AnsweredSounds()
    address = sounds.address(playable(hit))
    reply = TestClient(Starlette(routes=sounds.routes())).get("/" + address.url)
    assert reply.status_code == 200
    return reply.headers["content-type"], reply.content, address.name


def pitches(samples: np.ndarray, rate: int) -> list[float]:
    """Hz of the strongest tone in the middle of each second."""
    found = []
    for begin in range(0, len(samples) - round(0.9 * rate), rate):
        part = samples[begin + rate // 10 : begin + 9 * rate // 10]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
        found.append(float(np.argmax(spectrum)) * rate / len(part))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_sounds_like_the_file(tmp_path, kind):
    write, as_it_is = KINDS[kind]
    # The ending is of no help, and does no harm.
    path = tmp_path / "sound.wav"
    write(path)
    media_type, content, name = sent(hit_of(path))
    if as_it_is is not None:
        assert (media_type, content, name) == (as_it_is, path.read_bytes(), "sound.wav")
        return
    assert media_type == "audio/wav" and name == "sound.wav" and content != path.read_bytes()
    info = soundfile.info(BytesIO(content))
    assert (info.format, info.subtype) == ("WAV", "PCM_16")
    assert 8_000 <= info.samplerate <= 48_000 and info.channels <= 2
    samples, rate = soundfile.read(BytesIO(content), always_2d=True)
    expected = [200 + 150 * second for second in range(SECONDS)] * (2 if "joined" in kind else 1)
    assert pitches(samples[:, 0], rate) == pytest.approx(expected, abs=8)
    loudness = np.sqrt(2 * np.mean(samples[:, 0] ** 2))
    assert loudness == pytest.approx(0.4, rel=0.06)


def test_floating_point_is_not_read_as_whole_numbers(tmp_path):
    path = tmp_path / "long.wav"
    samples = np.concatenate([tones(8_000, 10)] * 31)
    soundfile.write(path, samples, 8_000, subtype="FLOAT")
    found = playable(hit_of(path, 205.0, 310.0))
    assert (found.begin, found.seconds, found.note) == (195.0, 60.0, "plays 3:15.0 to 4:15.0")
    content = part_as_wav(found.path, found.begin, found.seconds)
    played, rate = soundfile.read(BytesIO(content))
    assert rate == 8_000
    np.testing.assert_allclose(played, samples[195 * rate : 255 * rate], atol=1 / 32768)
    assert sent(hit_of(path, 205.0, 310.0))[2] == "long from 195 s.wav"


def test_what_is_above_full_scale_is_made_quieter_and_nothing_is_cut_off(tmp_path):
    path = tmp_path / "hot.wav"
    soundfile.write(path, 8 * tones(), RATE, subtype="FLOAT")
    played, _ = soundfile.read(BytesIO(sent(hit_of(path))[1]))
    np.testing.assert_allclose(played, tones() / tones().max(), atol=2e-4)
    assert (np.abs(played) > 0.9999).mean() < 0.03

    whole = np.arange(-32768, 32768).astype(np.int16)
    np.testing.assert_array_equal(as_int16(whole.astype(np.float32) / 32768), whole)
    assert as_int16(np.float32([0.5, 1.0, -1.0])).tolist() == [16384, 32767, -32768]
    assert as_int16(np.float32([2.0, -1.0, 0.0])).tolist() == [32767, -16384, 0]
    assert as_int16(np.zeros((0, 2), np.float32)).shape == (0, 2)


def test_channels_and_rates_that_no_sound_card_plays(tmp_path):
    samples = np.zeros((2 * RATE, 6), dtype=np.float32)
    samples[:, 2] = tones(RATE, 2)
    soundfile.write(tmp_path / "six.wav", samples, RATE)
    played, _ = soundfile.read(BytesIO(sent(hit_of(tmp_path / "six.wav", duration=2.0))[1]))
    np.testing.assert_allclose(played, samples[:, 2], atol=1e-3)
    stereo = np.stack([tones(RATE, 2), -tones(RATE, 2)], axis=1)
    soundfile.write(tmp_path / "antiphase.aiff", stereo, RATE)
    played, _ = soundfile.read(BytesIO(sent(hit_of(tmp_path / "antiphase.aiff", duration=2.0))[1]))
    np.testing.assert_allclose(played, stereo, atol=1e-4)
    soundfile.write(tmp_path / "bat.wav", tones(384_000, 2), 384_000)
    found = playable(hit_of(tmp_path / "bat.wav", duration=2.0))
    assert found.note == "plays at 48 kHz: nothing above 24 kHz is heard"


def test_a_video_is_sent_as_its_sound(tmp_path):
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w") as file:
        video, stream = file.add_stream("mpeg4", rate=5), file.add_stream("aac", rate=RATE, layout="mono")
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        for _ in range(20):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            file.mux(video.encode(picture))
        frame = av.AudioFrame.from_ndarray(tones()[None], format="fltp", layout="mono")
        frame.rate = RATE
        parts = av.AudioResampler(stream.format, "mono", RATE, frame_size=1024)
        for part in (*parts.resample(frame), *parts.resample(None)):
            file.mux(stream.encode(part))
        file.mux([*video.encode(None), *stream.encode(None)])
    media_type, content, name = sent(hit_of(path))
    samples, rate = soundfile.read(BytesIO(content))
    assert (media_type, name) == ("audio/wav", "video.wav")
    assert pitches(samples, rate) == pytest.approx([200, 350, 500, 650], abs=8)


def test_what_cannot_be_read_is_not_played(tmp_path):
    for name, content in {
        "text.mp3": b"#EXTM3U\nx.wav\n",
        "noise.wav": b"\0\1" * 500,
        "empty.wav": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert playable(hit_of(tmp_path / name)).path is None
        assert playable(hit_of(tmp_path / name, duration=900.0)).path is None
    assert playable(hit_of(tmp_path / "gone.wav")).path is None
    with pytest.raises(OSError, match="no such file"):
        part_as_wav(str(tmp_path / "gone.wav"), 0.0)
