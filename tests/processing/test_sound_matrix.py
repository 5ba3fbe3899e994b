"""Containers, codecs and header states: each is read whole, from five places, in blocks, and from memory."""

from collections.abc import Callable

import numpy as np
import pytest
from sound_files import ape_tag, encoded, id3_tag, save, tones, wav, written

from auricle.processing import audio_seconds, read_channels, stream_channels

SECONDS = 2
STEREO = tones(SECONDS, 44_100, channels=2)
STEREO_48 = tones(SECONDS, 48_000, channels=2)
MONO = tones(SECONDS, 44_100)
SPEECH = tones(SECONDS, 8_000)
SIX = tones(SECONDS, 48_000, channels=6)

# Noise substitution and dither draw random numbers, in another order when reading starts elsewhere.
NO_NOISE = {"aac_pns": "0"}
DITHER = 0.1
EXACT, LSB_16, LOSSY = 0.0, 1 / 32768 + 1e-6, None


def ff(samples: np.ndarray = STEREO, rate: int = 44_100, **options: object) -> Callable[[], bytes]:
    return lambda: encoded(samples, rate, **options)


def sf(container: str, subtype: str, samples: np.ndarray = STEREO, rate: int = 44_100) -> Callable[[], bytes]:
    return lambda: bytes(written(samples, rate, container=container, subtype=subtype))


def mp3(**options: object) -> Callable[[], bytes]:
    return ff(**{"container": "mp3", "codec": "libmp3lame", "bit_rate": 128_000, **options})


def joined(one: Callable[[], bytes], times: int = 2) -> Callable[[], bytes]:
    return lambda: one() * times


NO_XING = {"container_options": {"write_xing": "0"}}
VBR = {"options": {"flags": "+qscale", "global_quality": "500"}, "bit_rate": None}
QUIET = tones(SECONDS, 44_100, channels=2, quiet=(0,))

# name: (content, original, largest error of a sample, how often it is repeated, difference of ways to read)
CASES: dict[str, tuple] = {
    "wav 16": (sf("WAV", "PCM_16"), STEREO, LSB_16),
    "wav 24 six channels": (sf("WAV", "PCM_24", SIX, 48_000), SIX, 1e-6),
    "wav float": (sf("WAV", "FLOAT"), STEREO, EXACT),
    "wav u8": (sf("WAV", "PCM_U8"), STEREO, 1 / 64),
    "wav a-law": (sf("WAV", "ALAW"), STEREO, 1 / 32),
    "wav ima adpcm": (sf("WAV", "IMA_ADPCM", MONO), MONO, LOSSY),
    "wav gsm": (sf("WAV", "GSM610", SPEECH, 8_000), SPEECH, LOSSY),
    "wav adpcm of yamaha": (ff(container="wav", codec="adpcm_yamaha"), STEREO, LOSSY),
    "wav of size 0": (lambda: wav(STEREO, 44_100, data_size=0), STEREO, LSB_16),
    "wav of size -1": (lambda: wav(STEREO, 44_100, data_size=0xFFFF_FFFF), STEREO, LSB_16),
    "wav of odd size": (lambda: wav(STEREO, 44_100, data_size=4 * len(STEREO) + 1), STEREO, LSB_16),
    "wav joined": (joined(lambda: wav(STEREO, 44_100)), STEREO, LSB_16, 2),
    "rf64": (sf("RF64", "PCM_16"), STEREO, LSB_16),
    "w64": (sf("W64", "PCM_16"), STEREO, LSB_16),
    "aiff 16": (sf("AIFF", "PCM_16"), STEREO, LSB_16),
    "aiff float64": (sf("AIFF", "DOUBLE"), STEREO, EXACT),
    "caf float": (sf("CAF", "FLOAT"), STEREO, EXACT),
    "caf alac": (ff(container="caf", codec="alac"), STEREO, LSB_16),
    "au": (sf("AU", "PCM_16"), STEREO, LSB_16),
    "voc in blocks": (ff(container="voc", codec="pcm_s16le"), STEREO, LSB_16),
    "flac": (sf("FLAC", "PCM_24"), STEREO, 1e-6),
    "flac joined": (joined(sf("FLAC", "PCM_16")), STEREO, LSB_16, 2),
    "flac behind id3": (lambda: id3_tag(bytes(3000)) + sf("FLAC", "PCM_16")(), STEREO, LSB_16),
    "ogg vorbis": (sf("OGG", "VORBIS"), STEREO, LOSSY),
    "ogg vorbis chained": (joined(sf("OGG", "VORBIS"), 3), STEREO, LOSSY, 3),
    "ogg opus": (sf("OGG", "OPUS", STEREO_48, 48_000), STEREO_48, LOSSY),
    "ogg opus chained": (joined(sf("OGG", "OPUS", STEREO_48, 48_000)), STEREO_48, LOSSY, 2),
    "ogg flac": (ff(container="ogg", codec="flac"), STEREO, LSB_16),
    "mp3 constant": (mp3(), STEREO, LOSSY),
    "mp3 constant without xing": (mp3(**NO_XING), STEREO, LOSSY),
    "mp3 variable": (mp3(**VBR), STEREO, LOSSY),
    "mp3 variable without xing": (mp3(**VBR, **NO_XING, samples=QUIET), QUIET, LOSSY),
    "mp3 by libsndfile": (sf("MP3", "MPEG_LAYER_III"), STEREO, LOSSY),
    "mp3 mono 8 kHz": (sf("MP3", "MPEG_LAYER_III", SPEECH, 8_000), SPEECH, LOSSY),
    "mp3 cover art": (mp3(cover=True, **NO_XING), STEREO, LOSSY),
    "mp3 between tags": (lambda: id3_tag(bytes(500)) + mp3()() + ape_tag({"Title": b"rain"}) + b"TAG" + b" " * 125,
                         STEREO, LOSSY),
    "mp3 joined": (joined(mp3()), STEREO, LOSSY, 2),
    "mp3 joined without xing": (joined(mp3(**NO_XING)), STEREO, LOSSY, 2),
    "mp3 in wav": (mp3(container="wav"), STEREO, LOSSY),
    "mp2": (ff(container="mp2", codec="mp2", bit_rate=192_000), STEREO, LOSSY),
    "mp2 in wav": (ff(container="wav", codec="mp2", bit_rate=192_000), STEREO, LOSSY),
    "aac in adts": (ff(container="adts", codec="aac", options=NO_NOISE), STEREO, LOSSY),
    "aac in m4a": (ff(container="ipod", codec="aac", options=NO_NOISE), STEREO, LOSSY),
    "aac in fragments": (ff(container="mp4", codec="aac", options=NO_NOISE,
                            container_options={"movflags": "frag_keyframe+empty_moov"}), STEREO, LOSSY),
    "aac in transport stream": (ff(container="mpegts", codec="aac", options=NO_NOISE), STEREO, LOSSY),
    "aac beside pictures": (ff(container="mp4", codec="aac", options=NO_NOISE, video=True), STEREO, LOSSY),
    "alac in m4a": (ff(container="ipod", codec="alac"), STEREO, LSB_16),
    "pcm in mov": (ff(container="mov", codec="pcm_s24le"), STEREO, 1e-6),
    "mp3 in mov": (ff(container="mov", codec="libmp3lame"), STEREO, LOSSY),
    "opus in mp4": (ff(STEREO_48, 48_000, container="mp4", codec="libopus"), STEREO_48, LOSSY),
    "opus in webm": (ff(STEREO_48, 48_000, container="webm", codec="libopus"), STEREO_48, LOSSY),
    "vorbis in webm": (ff(container="webm", codec="vorbis", options={"strict": "-2"}), STEREO, LOSSY),
    "flac in mka": (ff(container="matroska", codec="flac"), STEREO, LSB_16),
    "pcm in mka": (ff(container="matroska", codec="pcm_s16le"), STEREO, LSB_16),
    "ac3 in mkv": (ff(container="matroska", codec="ac3", video=True), STEREO, LOSSY, 1, DITHER),
    "ac3": (ff(SIX, 48_000, container="ac3", codec="ac3", bit_rate=448_000), SIX, LOSSY, 1, DITHER),
    "eac3": (ff(container="eac3", codec="eac3"), STEREO, LOSSY, 1, DITHER),
    "wma": (ff(container="asf", codec="wmav2", bit_rate=128_000), STEREO, LOSSY),
    "wavpack": (ff(container="wv", codec="wavpack"), STEREO, 1 / 64),
    "tta": (ff(container="tta", codec="tta"), STEREO, 1 / 64),
    "amr": (ff(SPEECH, 8_000, container="amr", codec="libopencore_amrnb", bit_rate=12_200), SPEECH, LOSSY),
    "mp3 in avi": (ff(container="avi", codec="libmp3lame", video=True), STEREO, LOSSY),
    "mp3 in flv": (ff(container="flv", codec="libmp3lame"), STEREO, LOSSY),
    "mp2 in program stream": (ff(STEREO_48, 48_000, container="mpeg", codec="mp2"), STEREO_48, LOSSY),
    "wav 1 kHz": (sf("WAV", "PCM_16", tones(SECONDS, 2_000)[::2], 1_000), tones(SECONDS, 2_000)[::2], LSB_16),
    "wav 768 kHz": (sf("WAV", "PCM_16", tones(1, 768_000), 768_000), tones(1, 768_000), LSB_16),
}  # fmt: skip


def loudness(samples: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(samples.astype(np.float64) ** 2)))


@pytest.mark.parametrize("name", CASES)
def test_every_way_to_read_gives_the_same_sound(tmp_path, name):
    content, original, error, *more = CASES[name]
    times, noise = (*more, *(1, 0.0)[len(more) :])
    data = content()
    path = save(tmp_path / "sound", data)
    whole, rate = read_channels(path)
    assert whole.dtype == np.float32 and whole.shape[1] == original.shape[1]
    assert audio_seconds(path) == len(whole) / rate

    # The sound itself: length, place, level, and samples where the codec keeps them.
    seconds = len(original) / rate
    assert abs(len(whole) / rate - times * seconds) < 0.06 * times
    assert abs(loudness(whole) - loudness(original)) < 1.0
    if error is not None:
        assert len(whole) == times * len(original)
        assert np.abs(whole - np.tile(original, (times, 1))).max() <= error
    elif "quiet" not in name:
        check_places(whole, original, rate, times)

    # From five places on; where the random numbers of a codec differ, at least the sound is the same.
    for share in (0.02, 0.21, 0.48, 0.75, 0.97):
        offset = round(share * len(whole)) / rate
        start = round(offset * rate)
        part, _ = read_channels(path, offset=offset, duration=0.05)
        assert part.shape == whole[start : start + round(0.05 * rate)].shape
        assert np.abs(part - whole[start : start + len(part)]).max() <= noise + 1e-6 * (error is None)
    # In blocks, and from memory.
    blocks = list(stream_channels(path, sampling_rate=rate, piece_seconds=0.3))
    streamed = np.concatenate([block.reshape(len(block), -1) for block in blocks])
    assert len(blocks) >= 2 and np.array_equal(streamed, whole)
    assert np.array_equal(read_channels(data)[0], whole)


def check_places(whole: np.ndarray, original: np.ndarray, rate: int, times: int) -> None:
    """Where the sound lies: by the lag at which it resembles the original most, in each repetition."""
    length = len(whole) // times
    for number in range(times):
        heard = whole[number * length : number * length + len(original), 0]
        size = 1 << (len(original) * 2 - 1).bit_length()
        product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(original[:, 0], size))
        lag = int(np.argmax(np.fft.irfft(product, size)))
        lag -= size if lag > size // 2 else 0
        # Encoders that do not state their delay shift the sound by it.
        assert -0.05 * rate <= lag <= 0.06 * rate, f"repetition {number} lies {lag} samples off"
