"""Miniatures of AudioCaps and WavCaps: their files, columns, fields and folders, generated sounds."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from tiny_models import sound, write_sound

AUDIOCAPS_SPLITS = {"train": "train", "validation": "val", "test": "test"}
WAVCAPS_FILES = {
    "FreeSound": "fsd_final.json",
    "BBC_Sound_Effects": "bbc_final.json",
    "SoundBible": "sb_final.json",
    "AudioSet_SL": "as_final.json",
}


def youtube_id(number: int) -> str:
    """Eleven characters, some of them beginning with a minus sign as real ones do."""
    return f"{'-' if number % 2 else 'a'}Vid_eo{number:04d}"


def write_miniature_audiocaps(
    folder: Path,
    clips: dict[str, int] | None = None,
    *,
    name_of: Callable[[str, int, int], str] = lambda video, start, number: f"{video}_{start}.wav",
    csv_folder: str = "",
    audio_folder: str = "{}",
    seconds: float = 0.3,
    first: int = 0,
) -> Path:
    """
    Writes ``train.csv``, ``val.csv``, ``test.csv`` and the clips; returns ``folder``.

    Args:
        folder: is created.
        clips: how many a split (train, validation, test); 2 each if not given.
        name_of: a clip's file name from YouTube id, start time and first audiocap_id.
        csv_folder: folder of the CSV files below ``folder``.
        audio_folder: folder of a split's clips, {} being the publishers' name of the split.
        seconds: length of a clip; real ones have ten.
        first: number of the first clip, so that two data sets may share some.
    """
    number, caption_number = first, 0
    for split, count in (clips or {"train": 2, "validation": 2, "test": 2}).items():
        rows = []
        for _ in range(count):
            video, start = youtube_id(number), 30 * (number % 3)
            number += 1
            place = folder / audio_folder.replace("{}", AUDIOCAPS_SPLITS[split])
            write_sound(place / name_of(video, start, caption_number), seconds, 16_000, seed=number)
            for text in range(1 if split == "train" else 5):
                caption = f"A man speaks, then a bell rings {text} times and clip {number} ends"
                rows.append([caption_number, video, start, caption])
                caption_number += 1
        place = folder / csv_folder / f"{AUDIOCAPS_SPLITS[split]}.csv"
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(place, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["audiocap_id", "youtube_id", "start_time", "caption"], *rows])
    return folder


def wavcaps_entries(collection: str, count: int, first: int = 0) -> list[dict]:
    """Entries with the fields that the collection's JSON file has."""
    entries = []
    for number in range(first, first + count):
        entry = {"caption": f"Sound {number} of {collection} is heard.", "duration": 0.4, "audio": "wav_path"}
        if collection == "AudioSet_SL":
            entry |= {"id": f"Y{youtube_id(number)}.wav"}
        elif collection == "FreeSound":
            entry |= {
                "id": str(1000 + number),
                "file_name": f"sound {number}.wav",
                "href": f"/people/someone/sounds/{1000 + number}/",
                "tags": ["a", "b"],
                "author": "someone",
                "description": "A sound,\nrecorded somewhere.",
                "download_link": "https://freesound.org/",
            }
        elif collection == "BBC_Sound_Effects":
            entry |= {
                "id": f"NHU{number:08d}",
                "category": "Nature",
                "description": "Outside.",
                "download_link": "https://sound-effects.bbcrewind.co.uk/",
            }
        else:
            entry |= {"id": str(2000 + number), "title": "A sound", "author": "x", "href": "2000.html"}
        entries.append(entry)
    return entries


def write_miniature_wavcaps(
    folder: Path,
    clips: dict[str, int] | None = None,
    *,
    json_folder: str = "json_files/{}",
    audio_folder: str = "{}",
    first: int = 0,
) -> Path:
    """
    Writes the JSON files and the clips, FLAC at 32 kHz; returns ``folder``.

    Args:
        folder: is created.
        clips: how many a collection; 2 each if not given.
        json_folder: folder of a collection's JSON file below ``folder``, {} being the collection.
        audio_folder: folder of a collection's clips.
        first: number of the first clip, so that ids may be those of other data sets.
    """
    for collection, count in (clips or dict.fromkeys(WAVCAPS_FILES, 2)).items():
        entries = wavcaps_entries(collection, count, first)
        for number, entry in enumerate(entries):
            path = (
                folder / audio_folder.replace("{}", collection) / f"{entry['id'].removesuffix('.wav')}.flac"
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            waveform = sound(0.4, 32_000, seed=500 + number + 17 * len(collection))
            soundfile.write(path, np.atleast_1d(waveform), 32_000)
        place = folder / json_folder.replace("{}", collection) / WAVCAPS_FILES[collection]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"num_captions_per_audio": 1, "data": entries}), encoding="utf-8")
    return folder


__all__ = [
    "AUDIOCAPS_SPLITS",
    "WAVCAPS_FILES",
    "wavcaps_entries",
    "write_miniature_audiocaps",
    "write_miniature_wavcaps",
    "youtube_id",
]
