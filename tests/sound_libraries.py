"""Folders of small sounds with odd names, and what an index of them holds."""

from pathlib import Path

import numpy as np
import pytest
from tiny_models import write_sound

from auricle.search.sound_index import SoundIndex
from auricle.search.store.index_store import Store


def library(folder: Path, count=5) -> Path:
    """Files of 0.5 to 2.5 seconds in folders, with odd names."""
    names = ["rain/a b.wav", "rain/it's.wav", 'dogs/"quoted".wav', "dogs/bark é🐕.wav", "e.wav"]
    for number in range(count):
        name = names[number] if number < len(names) else f"more/{number:03}.wav"
        write_sound(folder / name, 0.5 * (1 + number % 5), seed=number)
    return folder


def contents(index: SoundIndex) -> dict:
    """By path the file's digest, windows and vectors, for comparing two indexes."""
    store = Store(index.directory)
    return {path: (row["digest"], store.entry(path)) for path, row in store.files().items()}


def same(one: dict, two: dict) -> bool:
    return one.keys() == two.keys() and all(
        one[path][0] == two[path][0]
        and np.array_equal(one[path][1].vectors, two[path][1].vectors)
        and np.array_equal(one[path][1].starts, two[path][1].starts)
        and one[path][1].tags == two[path][1].tags
        for path in one
    )


class Stopped(Exception):
    """Ends an update as a Ctrl-C would."""


def interrupted(index: SoundIndex, sounds: Path, after: int) -> None:
    """Brings the index up to date, and stops when so many files are embedded."""
    plain = index._embed_files

    def embed(paths):
        for number, found in enumerate(plain(paths)):
            if number == after:
                raise Stopped
            yield found

    index._embed_files = embed
    with pytest.raises(Stopped):
        index.update([sounds], progress=False)
    del index._embed_files
