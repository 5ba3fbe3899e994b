"""An index that stays open and answers requests of the API; thread-safe."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any, Literal

from ... import __version__
from ..errors import SearchError, StoreError
from ..query.empty_answers import OPTIONS
from ..query.hits import Hit
from ..query.resolved_filters import checked_path
from ..query.unwanted_words import split_question
from ..sound_index import SoundIndex
from .api_models import MomentsRequest, SearchRequest, SimilarRequest, Status
from .index_identity import index_identity

# How answers call the filters.
LABELS: Mapping[str, Mapping[str, str]] = {
    "fields": {name: name for name in OPTIONS} | {"min_score": "min_score"},
    "options": {**OPTIONS, "min_score": "--min-score"},
}


class IndexChangedError(SearchError):
    """The request is for another index than the engine's."""


class FileNotAllowedError(SearchError):
    """A request without the token is about a file that is not in the index."""


class NotAnsweringError(SearchError):
    """The engine cannot answer queries at the moment; the message says what to do."""


class ResidentIndex:
    """
    Opens an index once, and again after it was rebuilt at the same path; every query sees added and removed files.

    Args:
        open_index: opens it.
        index: the open index, or None.
    """

    def __init__(self, open_index: Callable[[], SoundIndex], index: SoundIndex | None = None):
        self._open, self._lock = open_index, threading.Lock()
        self._index = index if index is not None else open_index()
        self._identity = self.identity()
        self._state: tuple | None = None

    def identity(self) -> str | None:
        """Identity of the index that is on disk now; see [`index_identity`]."""
        directory = self._index.directory
        return None if "://" in os.fspath(directory) else index_identity(directory)

    def current(self, *, wanted: str | None = None) -> SoundIndex:
        """
        The index.

        Args:
            wanted: the identity that the client expects. The contents are then read again if they have
                changed; without it, an index that is being written is only read again from time to time.

        Raises:
            IndexChangedError: if the identity differs.
            NotAnsweringError: if it is missing or damaged.
        """
        with self._lock:
            identity = self.identity()
            try:
                if identity != self._identity:
                    # Who still asks the former one keeps it until then.
                    self._index, self._identity, self._state = self._open(), identity, None
                if wanted is not None and wanted != identity:
                    raise IndexChangedError(f"the index here is {identity}, not {wanted}.")
                state = self._index.store.state() if wanted is not None else None
            except StoreError as error:
                raise NotAnsweringError(str(error)) from error
            if state is not None and state != self._state:
                self._index._contents.forget()
                self._state = state
            return self._index

    def warm_up(self) -> None:
        """Loads the model and reads the vectors. An error is reported at the first query."""
        index = self._index
        if not index.missing_model:
            with suppress(SearchError, OSError, ImportError):
                state = index.store.state()
                index.search("sound", top=1)
                # What was read needs not be read again by the first program that asks for the newest.
                with self._lock:
                    if index is self._index and self._state is None:
                        self._state = state

    def search(self, request: SearchRequest, *, wanted: str | None = None) -> dict[str, Any]:
        """
        Answers a sentence, as [`SoundIndex.search`] does.

        Args:
            request: the query.
            wanted: as in [`current`].

        Returns:
            Fields of `FoundSounds`.

        Raises:
            SearchError: if the query is invalid, or the index cannot answer.
        """
        index = self._answering(wanted)
        filters, how = request.filters(), {"negative": request.negative, "names": request.names}
        how |= {"rank": request.rank, "exact": request.exact}
        ask = partial(index.search, request.query, **how, **filters)
        found = _found(index, request, filters, ask)
        query, unwanted = split_question(request.query, request.negative)
        return found | {"notes": _notes(index, [query, *unwanted])}

    def similar(
        self, request: SimilarRequest, *, any_file: bool, wanted: str | None = None
    ) -> dict[str, Any]:
        """
        Answers a recording, as [`SoundIndex.similar`] does; see [`search`].

        Args:
            request: the query.
            any_file: whether it may be about a file that is not in the index.
            wanted: as in [`current`].

        Raises:
            FileNotAllowedError: if the query is about a file that this client may not read.
        """
        index = self._answering(wanted)
        path = _checked(index, request.path, any_file)
        filters, how = request.filters(), {"start": request.start, "end": request.end}
        ask = partial(index.similar, path, **how, rank=request.rank, exact=request.exact, **filters)
        return _found(index, request, filters, ask)

    def moments(
        self, request: MomentsRequest, *, any_file: bool, wanted: str | None = None
    ) -> dict[str, Any]:
        """Finds moments, as [`SoundIndex.moments`] does; see [`similar`]."""
        index = self._answering(wanted)
        path = _checked(index, request.path, any_file)
        chosen = {} if request.threshold is None else {"threshold": request.threshold}
        how = {"top": request.top, "hop_seconds": request.hop_seconds, "edges": request.edges}
        how["min_percentile"] = request.min_percentile
        hits = index.moments(path, request.query, **how, **chosen)
        return _answer(hits) | {"notes": _notes(index, [request.query])}

    def status(self) -> dict[str, Any]:
        """
        Fields of `Status`.

        Raises:
            NotAnsweringError: if the index is missing or damaged.
        """
        index = self.current()
        record = index.store.record
        try:
            files = len(index)
        except StoreError as error:
            raise NotAnsweringError(str(error)) from error
        return Status(
            version=__version__,
            index=_absolute(index.directory),
            identity=self._identity,
            model=record["model"],
            fingerprint=record["fingerprint"],
            precision=record["settings"]["precision"],
            files=files,
            window_seconds=record["window_seconds"],
            missing_model=index.missing_model,
        ).model_dump()

    def _answering(self, wanted: str | None) -> SoundIndex:
        index = self.current(wanted=wanted)
        if index.missing_model:
            raise NotAnsweringError(index.missing_model)
        return index


def why_none(
    index: SoundIndex,
    filters: Mapping[str, Any],
    min_score: float | None,
    ask: Callable[..., list[Hit]],
    labels: Literal["fields", "options"] = "options",
) -> list[str]:
    """
    Reasons why a query has no results, one sentence each.

    Args:
        index: that was asked.
        filters: filters of the query.
        min_score: minimum score of the query, or None.
        ask: repeats the query with other values of ``top`` and ``min_score``.
        labels: names of filters for the user.
    """
    names = LABELS[labels]
    told = index.why_empty(names=names, **filters)
    if told or min_score is None:
        return told
    best = ask(top=1, min_score=None)
    return (
        [f"{names['min_score']} {min_score:g}: the best result scores {best[0].score:.3f}."] if best else []
    )


def _found(
    index: SoundIndex,
    request: SearchRequest | SimilarRequest,
    filters: Mapping[str, Any],
    ask: Callable[..., list[Hit]],
) -> dict[str, Any]:
    hits = ask(top=request.top, min_score=request.min_score)
    why = [] if hits else why_none(index, filters, request.min_score, ask, request.labels)
    return _answer(hits, why)


def _answer(hits: Sequence[Hit], why_empty: Sequence[str] = ()) -> dict[str, Any]:
    return {"results": [asdict(hit) for hit in hits], "why_empty": list(why_empty), "notes": []}


def _notes(index: SoundIndex, sentences: Sequence[str]) -> list[str]:
    note = index._encoder.cut_note(sentences)
    return [note] if note else []


def _absolute(directory: str | os.PathLike[str]) -> str:
    """An index's place as another program can use it: URIs as they are, paths from the root on."""
    place = os.fspath(directory)
    return place if "://" in place else os.path.abspath(place)


def _checked(index: SoundIndex, path: str, any_file: bool) -> str:
    """
    Raises:
        FileNotAllowedError: for a file that is not in the index, if it must be; whether it exists is not said.
        SearchError: for a relative path: the server has another working directory than who asks.
    """
    if not os.path.isabs(path):
        raise SearchError(f"path {path!r}: must be absolute.")
    if any_file:
        return path
    own = checked_path(index.store, index._contents, path)
    if not len(index.store.file_rows(["path"], [own])):
        raise FileNotAllowedError(
            f"{path}: is not in the index; only programs of the user who runs the engine, which send its token, may "
            "ask about other files."
        )
    return own


__all__ = [
    "FileNotAllowedError",
    "IndexChangedError",
    "NotAnsweringError",
    "ResidentIndex",
    "why_none",
]
