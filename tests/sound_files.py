"""Sound files of every kind, made of one known sound: in second i a tone of 200 + 150 i Hz over soft noise.

Whoever loses, doubles or shifts a part of it is found out by the pitch.
"""

import io
import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
import soundfile

from auricle.processing import AudioReadError, read_audio, read_channels, stream_waveform

RATE = 44_100

# Bit patterns that two runs of one encoder may disagree on are switched off.
EXACT = {"flags": "bitexact"}


def tones(
    seconds: int, rate: int, *, channels: int = 1, quiet: Iterable[int] = (), seed: int = 0
) -> np.ndarray:
    """Float32 ``(samples, channels)``, whose channels differ by their noise; ``quiet`` seconds hold almost none."""
    generator = np.random.default_rng(seed)
    time = np.arange(rate) / rate
    parts = []
    for second in range(seconds):
        level, noise = (0.0005, 0.0002) if second in set(quiet) else (0.4, 0.02)
        tone = level * np.sin(2 * np.pi * (200 + 150 * second) * time)
        parts.append(tone[:, None] + noise * generator.standard_normal((rate, channels)))
    return np.concatenate(parts).astype(np.float32)


def pitches(samples: np.ndarray, rate: int) -> list[int]:
    """The loudest frequency of each second, to the nearest 50 Hz; of one channel ``(samples,)``."""
    found = []
    for second in range(round(len(samples) / rate)):
        part = samples[round((second + 0.25) * rate) : round((second + 0.75) * rate)]
        if len(part) < 0.3 * rate:
            break
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
        found.append(round(float(np.argmax(spectrum)) * rate / len(part) / 50) * 50)
    return found


def encoded(
    samples: np.ndarray,
    rate: int,
    *,
    container: str,
    codec: str,
    bit_rate: int | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    cover: bool = False,
    video: bool = False,
    tracks: int = 1,
    frame: int = 1152,
) -> bytes:
    """
    A file by FFmpeg's encoders.

    Args:
        samples: float32 ``(samples, channels)``.
        rate: Hz.
        container, codec: as FFmpeg names them.
        bit_rate: bit/s.
        options, container_options: of the encoder and the container.
        cover: adds a picture of noise as cover art.
        video: adds a moving picture before the sound.
        tracks: how many sound tracks there are; those behind the first are silent.
        frame: samples that the encoder gets at a time, where it does not mind.
    """
    with TemporaryDirectory() as folder:
        # Some containers are written in two passes, the second over a file of their own.
        path = Path(folder, "sound")
        _write(
            path,
            samples,
            rate,
            container,
            codec,
            bit_rate,
            options,
            container_options,
            cover,
            video,
            tracks,
            frame,
        )
        return path.read_bytes()


def _write(
    path, samples, rate, container, codec, bit_rate, options, container_options, cover, video, tracks, frame
):
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    with av.open(str(path), "w", format=container, options=container_options or {}) as output:
        pictures = []
        if video:
            stream = output.add_stream("mpeg4", rate=5, options=dict(EXACT))
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            pictures.append((stream, round(5 * len(samples) / rate), 64))
        if cover:
            stream = output.add_stream("mjpeg", rate=1, options={"qmin": "2", "qmax": "2"})
            stream.width = stream.height = 400
            stream.pix_fmt = "yuvj420p"
            stream.time_base = Fraction(1, 90_000)
            stream.disposition = av.stream.Disposition.attached_pic
            pictures.append((stream, 1, 400))
        sounds = []
        for _ in range(tracks):
            stream = output.add_stream(codec, rate=rate, layout=layout, options={**EXACT, **(options or {})})
            if bit_rate:
                stream.bit_rate = bit_rate
            sounds.append(stream)
        noise = np.random.default_rng(1)
        for stream, count, size in pictures:
            for number in range(count):
                values = noise.integers(0, 255, (size, size, 3), dtype=np.uint8)
                picture = av.VideoFrame.from_ndarray(values, format="rgb24").reformat(format=stream.pix_fmt)
                picture.pts, picture.time_base = number, Fraction(1, 5)
                output.mux(stream.encode(picture))
            output.mux(stream.encode(None))
        for number, stream in enumerate(sounds):
            values = samples if number == 0 else np.zeros_like(samples)
            _encode_sound(output, stream, values, rate, layout, frame)


def _encode_sound(output, stream, samples: np.ndarray, rate: int, layout: str, frame: int) -> None:
    form = stream.codec_context.format.name
    resampler = av.AudioResampler(format=form, layout=layout, rate=rate)
    for start in range(0, len(samples), frame):
        part = np.ascontiguousarray(samples[start : start + frame].T)
        sound = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
        sound.sample_rate, sound.pts, sound.time_base = rate, start, Fraction(1, rate)
        for piece in resampler.resample(sound):
            output.mux(stream.encode(piece))
    for piece in resampler.resample(None):
        output.mux(stream.encode(piece))
    output.mux(stream.encode(None))


def written(samples: np.ndarray, rate: int, *, container: str, subtype: str) -> bytearray:
    """A file by libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return bytearray(file.getvalue())


def chunk(name: bytes, content: bytes, size: int | None = None, order: str = "<") -> bytes:
    """A RIFF chunk, or of IFF with ``order=">"``; ``size`` is what it says of its length in place of the truth."""
    return (
        name
        + struct.pack(order + "I", len(content) if size is None else size)
        + content
        + b"\0" * (len(content) % 2)
    )


def wav(
    samples: np.ndarray, rate: int, *, data_size: int | None = None, extra: bytes = b"", behind: bytes = b""
) -> bytes:
    """16-bit WAV whose data chunk states ``data_size``; other chunks may stand before and behind."""
    raw = np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2").tobytes()
    width = samples.shape[1]
    form = chunk(b"fmt ", struct.pack("<HHIIHH", 1, width, rate, rate * 2 * width, 2 * width, 16))
    body = b"WAVE" + extra + form + chunk(b"data", raw, data_size) + behind
    return b"RIFF" + struct.pack("<I", 0 if data_size == 0 else len(body)) + body


def id3_tag(content: bytes) -> bytes:
    """An ID3v2.3 tag around frames that are given."""
    size = len(content)
    return b"ID3\x03\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + content


def ape_tag(items: dict[str, bytes]) -> bytes:
    """An APEv2 tag with header and footer."""
    body = b"".join(
        struct.pack("<II", len(value), 2) + key.encode() + b"\0" + value for key, value in items.items()
    )

    def edge(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII", 2000, len(body) + 32, len(items), flags) + bytes(8)

    return edge(0xA0000000) + body + edge(0x80000000)


def apple_double() -> bytes:
    """What macOS writes as ``._name`` beside a file."""
    return b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + b"\0" * 56


def save(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def mp3(samples: np.ndarray | None = None, rate: int = RATE, **options: object) -> bytes:
    """An MP3 of 64 kbit/s; by default of three seconds."""
    settings = {"container": "mp3", "codec": "libmp3lame", "bit_rate": 64_000, **options}
    return encoded(tones(3, RATE) if samples is None else samples, rate, **settings)


def without_xing(samples: np.ndarray | None = None, rate: int = RATE, **options: object) -> bytes:
    """An MP3 that begins with its first frame of sound."""
    return mp3(samples, rate, container_options={"write_xing": "0", "id3v2_version": "0"}, **options)


def message(source: object, **options: object) -> str:
    """The one line with which reading a sound is refused."""
    with pytest.raises(AudioReadError) as caught:
        read_channels(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def heard(path: Path) -> list[int]:
    """The pitch of every second of a file, which streams as it is read."""
    waveform, rate = read_audio(path)
    assert np.array_equal(np.concatenate(list(stream_waveform(path, sampling_rate=rate))), waveform)
    return pitches(waveform, rate)
