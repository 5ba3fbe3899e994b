"""Mutated sound files, and a worker process that reads them: a decoder that crashes takes the worker along only.

    python sound_fuzz.py FOLDER SEED FIRST LAST

reads files FIRST to LAST (exclusive) of a seed and writes one JSON line about each, before and behind it.
"""

import json
import re
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sound_files import ape_tag, encoded, id3_tag, tones, wav, written

RATE = 22_050
# A second of sound decodes in a hundredth of that.
MOST_SECONDS = 2.0
MOST_MEGABYTES = 500


def seeds() -> dict[str, bytes]:
    """Small files of every kind that is read, by name."""
    sound, six = tones(1, RATE, channels=2), tones(1, 48_000, channels=6)[:12_000]
    high = tones(1, 48_000, channels=2)[:24_000]
    speech = tones(1, 8_000)
    mp3 = encoded(sound, RATE, container="mp3", codec="libmp3lame", bit_rate=64_000)
    ogg = bytes(written(sound, RATE, container="OGG", subtype="VORBIS"))
    flac = bytes(written(sound, RATE, container="FLAC", subtype="PCM_16"))
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    found = {
        "mp3": mp3,
        "mp3 joined": mp3 + mp3,
        "mp3 tagged": id3_tag(bytes(300)) + mp3 + ape_tag({"Title": b"rain"}),
        "mp3 bare": encoded(
            sound,
            RATE,
            container="mp3",
            codec="libmp3lame",
            container_options={"write_xing": "0"},
            cover=True,
        ),
        "mp3 in wav": encoded(sound, RATE, container="wav", codec="libmp3lame"),
        "mp2": encoded(high, 48_000, container="mp2", codec="mp2"),
        "adts": encoded(sound, RATE, container="adts", codec="aac"),
        "ac3": encoded(six, 48_000, container="ac3", codec="ac3", bit_rate=448_000),
        "eac3": encoded(high, 48_000, container="eac3", codec="eac3"),
        "m4a": encoded(sound, RATE, container="ipod", codec="aac"),
        "m4a alac": encoded(sound, RATE, container="ipod", codec="alac"),
        "mp4 fragments": encoded(sound, RATE, container="mp4", codec="aac", container_options=fragments),
        "mp4 video": encoded(sound, RATE, container="mp4", codec="aac", video=True),
        "mov pcm": encoded(sound, RATE, container="mov", codec="pcm_s16le"),
        "webm": encoded(high, 48_000, container="webm", codec="libopus"),
        "mka vorbis": encoded(sound, RATE, container="matroska", codec="vorbis", options={"strict": "-2"}),
        "mka flac": encoded(sound, RATE, container="matroska", codec="flac"),
        "mkv tracks": encoded(sound, RATE, container="matroska", codec="aac", video=True, tracks=2),
        "wma": encoded(sound, RATE, container="asf", codec="wmav2", bit_rate=64_000),
        "wavpack": encoded(sound, RATE, container="wv", codec="wavpack"),
        "tta": encoded(sound, RATE, container="tta", codec="tta"),
        "amr": encoded(speech, 8_000, container="amr", codec="libopencore_amrnb", bit_rate=12_200),
        "avi": encoded(sound, RATE, container="avi", codec="pcm_s16le", video=True),
        "flv": encoded(sound, RATE, container="flv", codec="libmp3lame"),
        "ts": encoded(sound, RATE, container="mpegts", codec="aac"),
        "ps": encoded(high, 48_000, container="mpeg", codec="mp2"),
        "voc": encoded(sound, RATE, container="voc", codec="pcm_s16le"),
        "ogg": ogg,
        "ogg chained": ogg + ogg,
        "ogg opus": bytes(written(high, 48_000, container="OGG", subtype="OPUS")),
        "ogg flac": encoded(sound, RATE, container="ogg", codec="flac"),
        "flac": flac,
        "flac joined": flac + flac,
        "wav": wav(sound, RATE),
        "wav open": wav(sound, RATE, data_size=0),
        "wav joined": wav(sound, RATE) * 2,
    }
    for name in ("m4a", "wma", "wavpack", "tta", "flv", "voc", "amr", "mka flac", "ogg flac"):
        found[f"{name} joined"] = found[name] + found[name]
    for container, subtype in [
        *(("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAV", "GSM610"), ("RF64", "PCM_24")),
        *(
            ("W64", "PCM_16"),
            ("AIFF", "PCM_16"),
            ("CAF", "ALAC_16"),
            ("CAF", "FLOAT"),
            ("AU", "ULAW"),
            ("NIST", "PCM_16"),
        ),
    ]:
        samples = speech if subtype == "GSM610" else sound
        found[f"{container} {subtype}"] = bytes(written(samples, RATE, container=container, subtype=subtype))
    for name in ("W64 PCM_16", "AIFF PCM_16", "CAF FLOAT", "AU ULAW", "NIST PCM_16"):
        found[f"{name} joined"] = found[name] * 2
    return found


def mutated(data: bytes, others: list[bytes], generator: np.random.Generator) -> bytes:
    """One to three damages: bytes that flip, a missing end, lengths that lie, pieces that are elsewhere."""
    content = bytearray(data)
    for _ in range(int(generator.integers(1, 4))):
        size = len(content)
        if size < 16:
            break
        kind = generator.integers(7)
        # Headers decide more than samples: half of the damages are there.
        reach = min(size, 2048) if generator.random() < 0.5 else size
        place = int(generator.integers(reach - 8))
        if kind <= 1:
            for spot in generator.integers(0, reach, int(generator.integers(1, 30))):
                content[int(spot)] ^= 1 << int(generator.integers(8))
        elif kind == 2:
            del content[int(generator.integers(8, size)) :]
        elif kind == 3:
            width = (1, 2, 4, 8)[int(generator.integers(4))]
            top = 256**width
            value = (0, 1, top // 2 - 1, top // 2, top - 1)[int(generator.integers(5))]
            if generator.random() < 0.4:
                value = int.from_bytes(generator.bytes(width), "little")
            order = ("little", "big")[int(generator.integers(2))]
            content[place : place + width] = value.to_bytes(width, order)
        elif kind == 4:
            length = int(generator.integers(1, min(size - place, 4096)))
            del content[place : place + length]
        elif kind == 5:
            length = int(generator.integers(1, min(size - place, 4096)))
            spot = int(generator.integers(size))
            content[spot:spot] = content[place : place + length]
        else:
            other = others[int(generator.integers(len(others)))]
            length = int(generator.integers(1, min(len(other), 8192)))
            content[place : place + length] = other[:length]
    return bytes(content)


def case(number: int, seed: int, files: dict[str, bytes]) -> tuple[str, bytes]:
    """File ``number`` of a seed: the name of what it was, and what it is now."""
    generator = np.random.default_rng((seed, number))
    name = list(files)[number % len(files)]
    return name, mutated(files[name], list(files.values()), generator)


def most_memory() -> float:
    """The most that this process held, in MB; what `getrusage` says counts the one that started it as well."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text()).group(1)) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    folder, seed, first, last = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    from auricle.processing import AudioReadError, audio_seconds, read_channels, stream_waveform

    files = seeds()
    path = folder / f"{first}.sound"
    ways = {
        "whole": lambda: len(read_channels(path)[0]),
        "part": lambda: len(read_channels(path, offset=0.3, duration=0.2)[0]),
        "stream": lambda: sum(map(len, stream_waveform(path, sampling_rate=16_000))),
        "length": lambda: audio_seconds(path),
    }
    for number in range(first, last):
        name, content = case(number, seed, files)
        path.write_bytes(content)
        print(json.dumps({"file": number, "name": name}), flush=True)
        result: dict[str, object] = {"file": number, "faults": []}
        started = time.process_time()
        for way, read in ways.items():
            try:
                read()
                result[way] = "read"
            except AudioReadError as error:
                result[way] = str(error).replace(str(path), "FILE")
                if "\n" in str(error) or not str(error).startswith(str(path)):
                    result["faults"].append(f"{way}: not one line that names the file: {error!r}")
            except BaseException as error:
                result["faults"].append(f"{way}: {type(error).__name__}: {error}")
        result["seconds"] = time.process_time() - started
        result["megabytes"] = most_memory()
        if result["seconds"] > MOST_SECONDS:
            result["faults"].append(f"took {result['seconds']:.1f} s")
        if result["megabytes"] > MOST_MEGABYTES:
            result["faults"].append(f"{result['megabytes']:.0f} MB")
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
