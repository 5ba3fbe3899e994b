"""A miniature of Clotho v2.1: its files, columns and folders, generated sounds."""

import csv
from pathlib import Path

from tiny_models import write_sound

FOLDERS = {"train": "development", "validation": "validation", "test": "evaluation"}
SUBJECTS = ("dog", "train", "river", "crowd", "engine", "bell")
TEMPLATES = (
    "A {} is heard in the distance.",
    "Somewhere a {} makes itself heard, then stops",
    "the sound of a {} close by",
    "A {} and some wind, recorded outdoors.",
    "One can hear a {} getting louder",
)


def write_miniature_clotho(
    folder: Path,
    clips: dict[str, int] | None = None,
    *,
    seconds: float = 1.0,
    rate: int = 44_100,
    metadata: bool = True,
    csv_folder: str = "",
    audio_folder: str = "{}",
) -> Path:
    """
    Writes caption files, metadata files and clips; returns ``folder``.

    Args:
        folder: is created.
        clips: how many a split (train, validation, test); 2 each if not given.
        seconds: length of a clip.
        rate: of the clips in Hz; Clotho's is 44,100.
        metadata: also write the metadata files, in Latin-1 like some of the publishers'.
        csv_folder: folder of the CSV files below ``folder``.
        audio_folder: folder of a split's clips, {} being Clotho's name of the split.
    """
    number = 0
    for split, count in (clips or {"train": 2, "validation": 2, "test": 2}).items():
        place = folder / csv_folder
        place.mkdir(parents=True, exist_ok=True)
        captions, records = [], []
        for index in range(count):
            # As in Clotho, the same name may occur in two splits.
            name = f"{SUBJECTS[index % len(SUBJECTS)]} recording {index}.wav"
            write_sound(
                folder / audio_folder.replace("{}", FOLDERS[split]) / name, seconds, rate, seed=number
            )
            subject = SUBJECTS[number % len(SUBJECTS)]
            row = {f"caption_{i + 1}": text.format(subject) for i, text in enumerate(TEMPLATES)}
            captions.append({"file_name": name, **row})
            records.append(
                {
                    "file_name": name,
                    "keywords": f"{subject};café",
                    "sound_id": str(1000 + number),
                    "sound_link": f"https://freesound.org/people/someone/sounds/{1000 + number}",
                    "start_end_samples": "[0, 44100]",
                    "manufacturer": "someone",
                    "license": "http://creativecommons.org/licenses/by/3.0/",
                }
            )
            number += 1
        _write(place / f"clotho_captions_{FOLDERS[split]}.csv", captions, "utf-8")
        if metadata:
            _write(place / f"clotho_metadata_{FOLDERS[split]}.csv", records, "latin-1")
    return folder


def _write(path: Path, rows: list[dict[str, str]], encoding: str) -> None:
    with open(path, "w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


__all__ = ["FOLDERS", "write_miniature_clotho"]
