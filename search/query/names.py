"""Words of file names, tags and titles, and their matches with queries."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...files.file_names import composed

# Words that occur in every query and do not identify a name.
STOP_WORDS = frozenset(
    (
        "a", "an", "and", "are", "at", "be", "by", "for", "from", "in", "is", "it", "its", "of", "on", "or", "some",
        "somebody", "something", "the", "to", "was", "were", "with",
    )
)  # fmt: skip
# Metadata whose values are words about the sound.
WORDED_FIELDS = (
    "title", "description", "comment", "note", "notes", "keywords", "subject", "category", "subcategory",
    "fx_name", "project", "scene", "location", "track_names", "genre", "album", "artist",
)  # fmt: skip


def words_of(text: str) -> set[str]:
    """
    Words and numbers of a name or a query, in lower case, without plural endings and stop words.

    Joined words in file names are split: ``"DogBark_02.wav"`` gives dog, bark, 2, wav. A letter and its combining
    accent are one letter, in any Unicode form.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", composed(text))
    found = re.findall(r"[^\W\d_]+|\d+", spaced.lower())
    return {_stem(word) for word in found} - STOP_WORDS


def labels(rows: Mapping[str, np.ndarray]) -> list[str]:
    """
    The words of each row's file name, tags and [`WORDED_FIELDS`] of the metadata, as one text.

    Args:
        rows: columns path, tags and metadata (as JSON), each ``(rows,)``.
    """
    told = zip(rows["path"].tolist(), rows["tags"], rows["metadata"], strict=True)
    return [" ".join((*tags, Path(path).stem, *_worded(metadata))) for path, tags, metadata in told]


def _worded(metadata: str) -> list[str]:
    held = {} if metadata == "{}" else json.loads(metadata)
    return [held[name] for name in WORDED_FIELDS if name in held]


def name_scores(query: str, names: Sequence[str]) -> np.ndarray:
    """Share of the query's words that each name contains, ``(names,)``; minus infinity where it contains none."""
    return NameIndex(names).scores(query)


class NameIndex:
    """
    Maps words to the names that contain them; names are split once, so a query only looks up its own words.

    Args:
        names: as [`labels`] gives them.
    """

    def __init__(self, names: Sequence[str]):
        self._count = len(names)
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            for word in words_of(name):
                rows.setdefault(word, []).append(row)
        self._rows = {word: np.array(held, dtype=np.int64) for word, held in rows.items()}

    def scores(self, query: str) -> np.ndarray:
        """See [`name_scores`]."""
        words = words_of(query)
        held = np.zeros(self._count, dtype=np.float64)
        for word in words & self._rows.keys():
            held[self._rows[word]] += 1
        return np.where(held > 0, held / max(len(words), 1), -np.inf)


def _stem(word: str) -> str:
    if word.isdigit():
        return word.lstrip("0") or "0"
    return word.rstrip("s") if len(word) > 3 else word


__all__ = ["NameIndex", "labels", "name_scores", "words_of"]
