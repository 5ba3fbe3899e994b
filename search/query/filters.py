"""Filters of files: conditions on rows in memory, and the same conditions as SQL for the table."""

import fnmatch
import glob
import math
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

import numpy as np

from ...files.file_names import composed
from ...files.stored_paths import path_as_stored
from ..errors import SearchError
from ..store.entries import metadata_pairs_as_text
from .globs import glob_expression
from .metadata_pairs import metadata_pairs

MOST_ROOTS = 32


@dataclass(frozen=True)
class Filters:
    """
    Conditions on files; a file has to meet all of them. None means no condition.

    Texts are compared in Unicode's form NFC, since macOS stores names in another form than keyboards write.

    Attributes:
        glob: pattern of the path, from its start or from an indexed folder on; ``*`` matches anything, including
            folders.
        tag: a folder's name, or a tag from the metadata.
        min_duration, max_duration: of the file, seconds.
        file: only windows of this file.
        license: exactly as in the metadata.
        metadata: values by name, each exactly.
        file_type: ending of the file's name, such as "flac", in upper or lower case, with or without the dot.
        roots: absolute paths of indexed folders, from which ``glob`` may start. Set by the index.
    """

    glob: str | None = None
    tag: str | None = None
    min_duration: float | None = None
    max_duration: float | None = None
    file: str | os.PathLike[str] | None = None
    license: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    file_type: str | None = None
    roots: tuple[str, ...] = ()

    @classmethod
    def of(cls, conditions: Mapping[str, Any]) -> "Filters":
        """
        From keyword arguments.

        Raises:
            SearchError: for a name that is not a field.
        """
        known = [entry.name for entry in fields(cls) if entry.name != "roots"]
        unknown = sorted(set(conditions) - set(known))
        if unknown:
            raise SearchError(f"{unknown[0]!r} is not a filter; expected one of {sorted(known)}.")
        filters = cls(**{name: value for name, value in conditions.items() if value is not None})
        filters.check()
        return filters

    def check(self) -> None:
        """
        Raises:
            SearchError: for a duration that is not a number, metadata that is not a mapping of texts, or invalid text.
        """
        for name in ("min_duration", "max_duration"):
            seconds = getattr(self, name)
            if seconds is None:
                continue
            if isinstance(seconds, bool) or not isinstance(seconds, Real):
                raise SearchError(f"{name}={seconds!r}: must be a number of seconds.")
            if math.isnan(seconds):
                raise SearchError(f"{name}=nan: must be a number of seconds.")
        if not isinstance(self.metadata, Mapping):
            raise SearchError(f"metadata={self.metadata!r}: must be a mapping from names to values.")
        texts = [self.glob, self.tag, self.license, self.file_type, *self.metadata, *self.metadata.values()]
        for text in texts:
            if text is not None and not isinstance(text, str):
                raise SearchError(f"{text!r}: must be a text to compare with.")
            if text is not None and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise SearchError(f"{text!r}: not valid text.")

    def mask(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """
        Mask of the rows that pass, bool ``(rows,)``.

        Args:
            rows: columns path, duration, tags, license and metadata (as JSON), each ``(rows,)``.
        """
        kept = np.ones(len(rows["path"]), dtype=bool)
        if self.min_duration is not None:
            kept &= rows["duration"] >= self.min_duration
        if self.max_duration is not None:
            kept &= rows["duration"] <= self.max_duration
        if self.glob is not None:
            fits = {path: self.fits(path) for path in dict.fromkeys(rows["path"])}
            kept &= np.array([fits[path] for path in rows["path"]], dtype=bool)
        if self.tag is not None:
            forms = _forms(self.tag)
            kept &= np.array([any(form in tags for form in forms) for tags in rows["tags"]], dtype=bool)
        if self.file is not None:
            kept &= rows["path"] == path_as_stored(self.file)
        if self.license is not None:
            forms = _forms(self.license)
            kept &= np.array([license in forms for license in rows["license"]], dtype=bool)
        if self.file_type is not None:
            ending = _ending(self.file_type)
            kept &= np.array([path.lower().endswith(ending) for path in rows["path"]], dtype=bool)
        for name, value in self.metadata.items():
            texts = _pair_texts(name, value)
            kept &= np.array([any(pair in text for pair in texts) for text in rows["metadata"]], dtype=bool)
        return kept

    def fits(self, path: str) -> bool:
        """Whether a path matches ``glob``."""
        # Folder names match case-sensitively on every system.
        if self.glob is None:
            return True
        pattern = composed(_as_stored(self.glob))
        below = (path[len(root) :] for root in self._prefixes() if path.startswith(root))
        return any(fnmatch.fnmatchcase(composed(part), pattern) for part in (path, *below))

    def _prefixes(self) -> list[str]:
        return [root.rstrip(os.sep) + os.sep for root in self.roots]

    def sql(self) -> str | None:
        """
        The same conditions as an SQL expression of the table; None if there are no conditions.

        For ``glob`` it may pass more rows than match; see [`glob_expression`].
        """
        parts = []
        if self.min_duration is not None:
            parts.append(f"duration >= {_number(self.min_duration)}")
        if self.max_duration is not None:
            parts.append(f"duration <= {_number(self.max_duration)}")
        if self.glob is not None:
            pattern = _as_stored(self.glob)
            if len(self.roots) <= MOST_ROOTS:
                globs = [pattern, *(glob.escape(root) + pattern for root in self._prefixes())]
            else:
                # Too many folders to list: match behind any folder, in one expression.
                globs = [pattern, f"*{os.sep}{pattern}"]
            either = [f"regexp_like(path, {_text(glob_expression(one))})" for one in globs]
            parts.append(f"({' OR '.join(either)})")
        if self.tag is not None:
            either = [f"array_has(tags, {_text(form)})" for form in _forms(self.tag)]
            parts.append(f"({' OR '.join(either)})")
        if self.file is not None:
            parts.append(f"path = {_text(path_as_stored(self.file))}")
        if self.license is not None:
            parts.append(f"license IN ({', '.join(map(_text, _forms(self.license)))})")
        if self.file_type is not None:
            parts.append(f"ends_with(lower(path), {_text(_ending(self.file_type))})")
        for pair in self.metadata.items():
            either = [f"contains(metadata, {_text(text)})" for text in _pair_texts(*pair)]
            parts.append(f"({' OR '.join(either)})")
        return " AND ".join(parts) or None


def indexed_folders(files: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """
    The folders that files were indexed below, sorted.

    Args:
        files: columns path and root; for a file that was indexed individually, the root is its path.
    """
    pairs = dict.fromkeys(zip(files["root"], files["path"] == files["root"], strict=True))
    return tuple(sorted({os.path.dirname(root) if single else root for root, single in pairs}))


def file_type_of(path: str) -> str:
    """The file name's extension in lower case, without the dot; empty if there is none."""
    return os.path.splitext(path)[1].removeprefix(".").lower()


def _as_stored(pattern: str) -> str:
    """A glob with the separators of stored paths: on Windows people write either, and paths have backslashes."""
    return pattern.replace("/", os.sep)


def _ending(file_type: str) -> str:
    """What a path in lower case ends with."""
    return f".{file_type.strip().removeprefix('.').lower()}"


def _number(value: float) -> str:
    # Longer than any sound, for what SQL has no word for.
    return repr(min(max(float(value), -1e300), 1e300))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _forms(text: str) -> list[str]:
    """A text as it is, composed and decomposed."""
    return list(dict.fromkeys((text, composed(text), unicodedata.normalize("NFD", text))))


def _pair_texts(name: str, value: str) -> list[str]:
    pairs = [(one, other) for one in _forms(name) for other in _forms(value)]
    return [text for pair in pairs for text in metadata_pairs_as_text(*pair)]


__all__ = ["Filters", "file_type_of", "indexed_folders", "metadata_pairs"]
