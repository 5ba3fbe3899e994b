"""Which windows a question is about: the same conditions over rows in memory, and as SQL for the table."""

import fnmatch
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ..errors import SearchError
from ..store.entries import metadata_pairs_as_text


@dataclass(frozen=True)
class Filters:
    """
    Conditions that all have to hold; None is no condition.

    Attributes:
        glob: of the path; ``*`` stands for anything, folders too.
        tag: a folder's name, or a tag that the metadata give.
        min_duration, max_duration: of the file, seconds.
        file: only windows of this file.
        license: as the metadata tell it.
        metadata: values by name, each exactly.
    """

    glob: str | None = None
    tag: str | None = None
    min_duration: float | None = None
    max_duration: float | None = None
    file: str | os.PathLike[str] | None = None
    license: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, conditions: Mapping[str, Any]) -> "Filters":
        """
        From keyword arguments.

        Raises:
            SearchError: for one that there is not.
        """
        known = [entry.name for entry in fields(cls)]
        unknown = sorted(set(conditions) - set(known))
        if unknown:
            raise SearchError(f"{unknown[0]!r} is no filter; there are {sorted(known)}.")
        filters = cls(**{name: value for name, value in conditions.items() if value is not None})
        filters.check()
        return filters

    def check(self) -> None:
        """
        Raises:
            SearchError: for a length that is no number, metadata that is no mapping of texts, or no valid text.
        """
        for name in ("min_duration", "max_duration"):
            seconds = getattr(self, name)
            if seconds is not None and math.isnan(seconds):
                raise SearchError(f"{name}=nan: has to be a number of seconds.")
        if not isinstance(self.metadata, Mapping):
            raise SearchError(f"metadata={self.metadata!r}: has to be a mapping from names to values.")
        texts = [self.glob, self.tag, self.license, *self.metadata, *self.metadata.values()]
        for text in texts:
            if text is not None and not isinstance(text, str):
                raise SearchError(f"{text!r}: has to be a text to compare with.")
            if text is not None and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise SearchError(f"{text!r}: is no valid text.")

    def mask(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """
        Which rows they leave, bool ``(rows,)``.

        Args:
            rows: columns path, duration, tags, license and metadata (as JSON), each ``(rows,)``.
        """
        kept = np.ones(len(rows["path"]), dtype=bool)
        if self.min_duration is not None:
            kept &= rows["duration"] >= self.min_duration
        if self.max_duration is not None:
            kept &= rows["duration"] <= self.max_duration
        if self.glob is not None:
            # Folders' names mean what they say, whatever this system thinks of upper and lower case.
            fits = {path: fnmatch.fnmatchcase(path, self.glob) for path in dict.fromkeys(rows["path"])}
            kept &= np.array([fits[path] for path in rows["path"]], dtype=bool)
        if self.tag is not None:
            kept &= np.array([self.tag in tags for tags in rows["tags"]], dtype=bool)
        if self.file is not None:
            kept &= rows["path"] == os.path.abspath(self.file)
        if self.license is not None:
            kept &= rows["license"] == self.license
        for name, value in self.metadata.items():
            first, later = metadata_pairs_as_text(name, value)
            kept &= np.array([first in text or later in text for text in rows["metadata"]], dtype=bool)
        return kept

    def sql(self) -> str | None:
        """The same as a condition of the table; None if there is none."""
        parts = []
        if self.min_duration is not None:
            parts.append(f"duration >= {_number(self.min_duration)}")
        if self.max_duration is not None:
            parts.append(f"duration <= {_number(self.max_duration)}")
        if self.glob is not None:
            parts.append(f"regexp_like(path, {_text(_expression(self.glob))})")
        if self.tag is not None:
            parts.append(f"array_has(tags, {_text(self.tag)})")
        if self.file is not None:
            parts.append(f"path = {_text(os.path.abspath(self.file))}")
        if self.license is not None:
            parts.append(f"license = {_text(self.license)}")
        for pair in self.metadata.items():
            either = [f"contains(metadata, {_text(text)})" for text in metadata_pairs_as_text(*pair)]
            parts.append(f"({' OR '.join(either)})")
        return " AND ".join(parts) or None


def metadata_pairs(texts: Iterable[str]) -> dict[str, str]:
    """
    Of ``NAME=VALUE``, as people write it, value by name.

    Raises:
        SearchError: for a text without a name or a sign.
    """
    pairs = {}
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not (sign and name):
            raise SearchError(f"metadata {text!r}: has to be NAME=VALUE.")
        pairs[name] = value
    return pairs


def _number(value: float) -> str:
    # Longer than any sound, for what SQL has no word for.
    return repr(min(max(float(value), -1e300), 1e300))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _expression(glob: str) -> str:
    """A glob as a regular expression of the table's dialect, which has no ``\\Z`` and no possessive groups."""
    parts, place = [], 0
    while place < len(glob):
        letter = glob[place]
        closing = glob.find("]", place + 3 if glob[place + 1 : place + 2] == "!" else place + 2)
        if letter == "*":
            parts.append(".*")
        elif letter == "?":
            parts.append(".")
        elif letter == "[" and closing > 0:
            parts.append(_letters(glob[place + 1 : closing]))
            place = closing
        else:
            parts.append(re.escape(letter))
        place += 1
    return f"(?s)^{''.join(parts)}$"


def _letters(inner: str) -> str:
    """What stands between a glob's brackets, each letter as itself: the dialect has operators of its own there."""
    negated, place, parts = inner.startswith("!"), 0, []
    inner = inner[1:] if negated else inner
    while place < len(inner):
        first, last = inner[place], inner[place]
        if inner[place + 1 : place + 2] == "-" and place + 2 < len(inner):
            last = inner[place + 2]
            place += 2
        # A range that runs backwards holds nothing.
        if first <= last:
            parts.append(f"\\x{{{ord(first):x}}}-\\x{{{ord(last):x}}}")
        place += 1
    if not parts:
        return "." if negated else r"[^\s\S]"
    return f"[{'^' if negated else ''}{''.join(parts)}]"


__all__ = ["Filters", "metadata_pairs"]
