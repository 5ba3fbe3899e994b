"""Named searches of an index: a query, its vector, and how it is asked."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from ..errors import SearchError
from ..query.answers import DEFAULT_RANKING, RANKINGS
from ..query.filters import Filters
from ..query.known_vectors import known_vector
from ..query.resolved_filters import checked_path
from ..query.unwanted_words import split_question
from .classifiers import unit
from .index_files import changing, read_file, utc_now
from .mark_table import MarkTable
from .marked_index import MarkedIndex
from .marks import check_moment, check_name

FILE = "searches.json"
FORMAT, VERSION = "auricle searches", 1
# Precedes the path of a query by sound; ``#t=START,END`` after it, in seconds, names a part.
SOUND = "sound: "


@dataclass(frozen=True)
class SavedSearch:
    """
    One named search.

    Attributes:
        name: it is called.
        question: the query as text, with ``-word`` for what is unwanted; empty for a search by marks only.
        vectors: unit vectors ``(1 + unwanted, width)`` of the query and of the unwanted words; None without a query.
        fingerprint: fingerprint of the model that gave them.
        template: phrase that short queries were embedded in.
        filters: fields of [`Filters`] that every asking uses.
        rank: "window" or "clip"; see [`SoundIndex.search`].
        created: UTC, ISO 8601.
        sound: whether the query is a sound; ``question`` then names it, as ``sound: /path.wav#t=10.00,15.00``.
    """

    name: str
    question: str = ""
    vectors: np.ndarray | None = None
    fingerprint: str = ""
    template: str = "{}"
    filters: Mapping[str, Any] = field(default_factory=dict)
    rank: str = DEFAULT_RANKING
    created: str = ""
    sound: bool = False

    def as_json(self) -> dict[str, Any]:
        """The saved search as JSON values."""
        row = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        vectors = None if self.vectors is None else [[float(one) for one in row] for row in self.vectors]
        return {**row, "filters": dict(self.filters), "vectors": vectors}


class SavedSearches:
    """
    The named searches of an index, in ``searches.json`` of its folder.

    Args:
        index: a [`SoundIndex`].
    """

    def __init__(self, index: MarkedIndex):
        self.index = index
        self._folder = index.store.folder

    def names(self) -> list[str]:
        """Names of all, sorted."""
        return sorted(self._read())

    def all(self) -> list[SavedSearch]:
        """All of them, by name."""
        return [search for _, search in sorted(self._read().items())]

    def __contains__(self, name: str) -> bool:
        return name in self._read()

    def get(self, name: str) -> SavedSearch:
        """
        One by its name.

        Raises:
            SearchError: if no search has this name, or the file is damaged.
        """
        searches = self._read()
        if name not in searches:
            held = ", ".join(repr(one) for one in sorted(searches)[:10]) or "none"
            raise SearchError(f"{self._folder}: has no saved search {name!r}; saved are: {held}.")
        return searches[name]

    def save(
        self,
        name: str,
        question: str = "",
        *,
        vector: np.ndarray | None = None,
        filters: Mapping[str, Any] | None = None,
        rank: str = DEFAULT_RANKING,
    ) -> SavedSearch:
        """
        Saves a search, in the place of one of that name; its marks stay.

        Args:
            name: 1 to 100 characters.
            question: the query as text, embedded unless ``vector`` is given. Empty: search by marks only.
            vector: vector of a query by a sound, unit length ``(width,)``; ``question`` then says what it was.
            filters: fields of [`Filters`].
            rank: "window" or "clip".

        Raises:
            SearchError: for a name, query, vector, filter or ranking that cannot be used.
        """
        name, filters = check_name(name), dict(filters or {})
        Filters.of(filters)
        if rank not in RANKINGS:
            raise SearchError(f"rank {rank!r}: must be one of {', '.join(RANKINGS)}.")
        filters = json.loads(json.dumps({key: value for key, value in filters.items() if value}, default=str))
        search = SavedSearch(
            name,
            question.strip(),
            fingerprint=self.index.store.record["fingerprint"],
            template=self.index.template,
            filters=filters,
            rank=rank,
            created=utc_now(),
            sound=vector is not None,
        )
        if vector is not None:
            search = replace(search, vectors=self._checked(np.asarray(vector, dtype=np.float32)[None]))
        elif search.question:
            search = replace(search, vectors=embed_question(self.index, search.question))
        self._write(search)
        return search

    def save_sound(
        self,
        name: str,
        path: str | os.PathLike[str],
        start: float | None = None,
        end: float | None = None,
        *,
        filters: Mapping[str, Any] | None = None,
        rank: str | None = None,
    ) -> SavedSearch:
        """
        Saves a search by a sound, in the place of one of that name; its marks stay.

        Args:
            name, filters: as of [`save`].
            path: any sound file; the model runs only if the index does not have it, or not that window of it.
            start, end: of the part, seconds; without, the whole file.
            rank: "window" or "clip"; by default whole files are compared with whole files, parts with windows.

        Raises:
            SearchError: as [`save`], or if the sound cannot be read.
        """
        vector, own = embed_sound(self.index, path, start, end)
        moment = "" if start is None or end is None else f"#t={start:.2f},{end:.2f}"
        rank = rank or ("window" if moment else "clip")
        return self.save(name, f"{SOUND}{own}{moment}", vector=vector, filters=filters, rank=rank)

    def current(self, name: str) -> SavedSearch:
        """
        A search with vectors of the index's model; if it was saved with another model, it is embedded again and saved.

        Raises:
            SearchError: if no search has this name, or its query cannot be embedded again.
        """
        search = self.get(name)
        fingerprint = self.index.store.record["fingerprint"]
        width = self.index.store.record["width"]
        if search.vectors is None or (search.fingerprint, search.vectors.shape[1]) == (fingerprint, width):
            return search
        try:
            if search.sound:
                vectors = embed_sound(self.index, *_moment_of(search.question))[0][None]
            else:
                vectors = embed_question(self.index, search.question)
        except SearchError as error:
            raise SearchError(
                f"the saved search {name!r} was embedded by another model, and its query cannot be embedded again: "
                f"{error}"
            ) from error
        search = replace(search, vectors=vectors, fingerprint=fingerprint, template=self.index.template)
        self._write(search)
        return search

    def delete(self, name: str) -> int:
        """
        Deletes a search and its marks, and returns the number of marks.

        Raises:
            SearchError: if no search has this name.
        """
        self.get(name)
        dropped = MarkTable(self.index).forget(name)
        with changing(self._folder):
            searches = self._read()
            searches.pop(name, None)
            self._replace(searches)
        return dropped

    def _checked(self, vectors: np.ndarray) -> np.ndarray:
        width = self.index.store.record["width"]
        lengths = np.linalg.norm(vectors, axis=-1) if vectors.ndim == 2 else np.zeros(1)
        if vectors.shape[1:] != (width,) or not (np.abs(lengths - 1) < 0.01).all():
            raise SearchError(
                f"vector of shape {vectors.shape[1:]}: must have unit length and shape ({width},)."
            )
        return vectors

    def _write(self, search: SavedSearch) -> None:
        with changing(self._folder):
            self._replace({**self._read(), search.name: search})

    def _replace(self, searches: Mapping[str, SavedSearch]) -> None:
        rows = [search.as_json() for _, search in sorted(searches.items())]
        text = json.dumps({"format": FORMAT, "version": VERSION, "searches": rows}, ensure_ascii=True)
        self._folder.write(FILE, f"{text}\n".encode())

    def _read(self) -> dict[str, SavedSearch]:
        content = read_file(self._folder, FILE)
        if not content:
            return {}
        try:
            kept = json.loads(content)
            if kept["format"] != FORMAT:
                raise ValueError("it is a file of another kind")
            if kept["version"] > VERSION:
                raise SearchError(
                    f"{self._folder}: its {FILE} has version {kept['version']}, and this program reads versions up to "
                    f"{VERSION}; upgrade auricle."
                )
            return {row["name"]: _search(row) for row in kept["searches"]}
        except SearchError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise SearchError(
                f"{self._folder}: its {FILE} is damaged ({str(error)[:100]}); remove it and save the searches again."
            ) from error


def embed_question(index: MarkedIndex, question: str) -> np.ndarray:
    """Unit vectors ``(1 + unwanted, width)`` of a query and its unwanted words; raises SearchError."""
    wanted, unwanted = split_question(question)
    return index._embed_queries([wanted, *unwanted])


def embed_sound(
    index: MarkedIndex, path: str | os.PathLike[str], start: float | None, end: float | None
) -> tuple[np.ndarray, str]:
    """
    Unit vector ``(width,)`` of a sound or a part of it, and its path as the index has it; raises SearchError.

    What the index has of it is not embedded again.
    """
    try:
        check_moment(start, end)
    except ValueError as error:
        raise SearchError(f"{os.fspath(path)}: {error}.") from error
    own, begin = checked_path(index.store, index._contents, path), start or 0.0
    vector = known_vector(index.store, own, begin, end)
    if vector is None:
        vector = index._encoder.embed_part(own, begin, None if end is None else end - begin).vector
    # Kept in half precision, its length is not quite 1.
    return unit(vector), own


def _moment_of(question: str) -> tuple[str, float | None, float | None]:
    """Path and moment of a query by a sound, as it is kept; raises SearchError."""
    place, _, moment = question.removeprefix(SOUND).rpartition("#t=")
    if not question.startswith(SOUND):
        raise SearchError(f"{question!r} does not name a recording.")
    if not place:
        return moment, None, None
    try:
        start, end = map(float, moment.split(","))
    except ValueError as error:
        raise SearchError(f"{question!r} does not name a recording.") from error
    return place, start, end


def _search(row: Mapping[str, Any]) -> SavedSearch:
    known = {entry.name for entry in fields(SavedSearch)}
    values = {name: value for name, value in row.items() if name in known}
    if values.get("vectors") is not None:
        values["vectors"] = np.array(values["vectors"], dtype=np.float32)
        if values["vectors"].ndim != 2 or not np.isfinite(values["vectors"]).all():
            raise ValueError(f"the vector of {values.get('name')!r}")
    return SavedSearch(**values)


__all__ = ["SavedSearch", "SavedSearches", "embed_question"]
