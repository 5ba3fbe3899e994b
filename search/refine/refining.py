"""A search with its marks: answers that learned from them, and what to mark next."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import SearchError
from ..query.answering import answer
from ..query.answers import DEFAULT_RANKING, Question, check_question, check_top, rank_rows
from ..query.filters import Filters
from ..query.hits import Hit
from ..query.resolved_filters import resolve_filters
from .classifiers import (
    PROBE_FITS,
    PROBE_MARKS,
    WEAK_NEGATIVES,
    LinearScorer,
    fit_scorer,
    least_sure_order,
    uses_probe,
)
from .mark_table import MarkTable
from .marked_index import MarkedIndex, counted
from .marks import check_name
from .matching import MatchedMarks, match_marks
from .saved_searches import SavedSearch, SavedSearches, embed_question
from .window_rows import hits_of, marked_mask, random_windows, unmarked_rows


@dataclass(frozen=True)
class Refinement:
    """
    A search refined by its marks; later marks need a new one.

    Attributes:
        index: a [`SoundIndex`].
        search: what is asked.
        matched: the marks, as windows of the index.
        weak: vectors of random unmarked windows, ``(windows, width)``.
        scorer: what ranks.
        unread: lines of the table of marks that could not be read.
    """

    index: MarkedIndex
    search: SavedSearch
    matched: MatchedMarks
    weak: np.ndarray
    scorer: LinearScorer
    unread: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        """ "question", "rocchio" or "probe"."""
        return self.scorer.method

    @property
    def fits(self) -> int:
        """Number of marked windows that fit."""
        return int(self.matched.fits.sum())

    @property
    def misfits(self) -> int:
        """Number of marked windows that do not fit."""
        return len(self.matched) - self.fits

    def marks_by_window(self) -> dict[tuple[str, float], bool]:
        """By path and start of a window whether it is marked as fitting, in all copies of its file."""
        rows = zip(self.matched.paths, self.matched.starts, self.matched.fits, strict=True)
        return {(path, float(start)): bool(fits) for paths, start, fits in rows for path in paths}

    def remarks(self) -> list[str]:
        """Remarks on the marks for the user, one sentence each."""
        told = self.matched.remarks()
        if self.unread:
            lines = counted(len(self.unread), "line of marks", "lines of marks")
            told.append(f"{lines} could not be read (first: {self.unread[0]}).")
        return told

    def summary(self) -> str:
        """One line: how many marks, and what ranks the results."""
        how = {
            "question": "ranked by the query",
            "rocchio": "ranked by the query, moved towards what fits (Rocchio)"
            if self.search.question
            else "ranked by the marks (Rocchio)",
            "probe": "ranked by a linear probe",
        }[self.method]
        more = ""
        if self.method == "rocchio" and not uses_probe(self.matched.fits):
            more = f"; {PROBE_MARKS} marks, {PROBE_FITS} of them fitting, train a linear probe"
        windows = counted(self.fits, "window fits", "windows fit")
        return f"{windows}, {self.misfits:,} {'does' if self.misfits == 1 else 'do'} not; {how}{more}"

    def answers(
        self,
        top: int = 10,
        filters: Mapping[str, Any] | None = None,
        *,
        unmarked: bool = False,
        min_score: float | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """
        The files that fit best, each at its best moment.

        Args:
            top: answers at most.
            filters: fields of [`Filters`], added to those of the search; a field of both replaces the search's value.
            unmarked: omit windows that are marked.
            min_score: omit what scores lower.
            exact: compare with every window even where there is an approximate index.

        Returns:
            The same as [`SoundIndex.search`]. ``score`` is the probability of fitting for a probe, otherwise the cosine
            with the moved query; ``cosine`` is the cosine with the classifier's direction; ``percentile`` is None.

        Raises:
            SearchError: for options or filters that cannot be used, or an empty index.
        """
        how: dict[str, Any] = {"top": top, "rank": self.search.rank}
        question = Question(self.scorer.direction, self._unwanted(), min_score=min_score, **how)
        check_question(question)
        if min_score is not None:
            question = replace(question, min_score=self.scorer.cosine_at(min_score))
        kept = self._filters(filters)
        hits = self._ask(question, kept, exact) if not unmarked else self._ask_unmarked(question, kept, exact)
        # A probe has no unwanted sentences: its score is a function of the cosine.
        return [
            replace(hit, score=float(self.scorer.score(np.float64(hit.cosine))))
            if self.method == "probe"
            else hit
            for hit in hits
        ]

    def least_sure(self, top: int = 10, filters: Mapping[str, Any] | None = None) -> list[Hit]:
        """
        Unmarked windows whose marks would teach most: those the classifier is least sure of, of each file one before a
        second one. Before the first mark they are the best results.

        Of a library too large for memory they are chosen among random windows and those near the query.

        Args:
            top: windows at most.
            filters: as of [`answers`].

        Raises:
            SearchError: for options or filters that cannot be used.
        """
        check_top(top)
        contents = self.index._contents.get()
        kept = resolve_filters(self.index.store, self.index._contents, self._filters(filters))
        rows, left = unmarked_rows(self.index, contents, self.scorer, kept, self.matched)
        if not left.any():
            return []
        cosines, left = rows["vector"] @ self.scorer.direction, np.flatnonzero(left)
        # A cosine of 1 is never reached: the best come first.
        boundary = 1.0 if self.method == "question" else self.scorer.boundary
        order = left[least_sure_order(self.scorer.raw(cosines)[left], boundary, rows["file"][left])[:top]]
        return hits_of(rows, order.tolist(), cosines, self.scorer.score(cosines))

    def _unwanted(self) -> tuple[np.ndarray, ...]:
        # A probe has learned from marks what is unwanted.
        if self.method == "probe" or self.search.vectors is None:
            return ()
        return tuple(self.search.vectors[1:])

    def _filters(self, filters: Mapping[str, Any] | None) -> Filters:
        return Filters.of({**self.search.filters, **(filters or {})})

    def _ask(self, question: Question, filters: Filters, exact: bool) -> list[Hit]:
        return answer(self.index.store, self.index._contents, question, filters, exact=exact)

    def _ask_unmarked(self, question: Question, filters: Filters, exact: bool) -> list[Hit]:
        by_window = question.rank == DEFAULT_RANKING
        if self.index.store.approximate or not by_window:
            marked = self.matched.windows
            files = {path for path, _, _ in marked}
            more = replace(question, top=question.top + len(files))
            hits = self._ask(more, filters, exact)
            left = [
                hit
                for hit in hits
                if ((hit.path, hit.start, hit.end) not in marked if by_window else hit.path not in files)
            ]
            return left[: question.top]
        contents = self.index._contents.get()
        filters = resolve_filters(self.index.store, self.index._contents, filters)
        rows = contents.windows
        allowed = filters.mask(rows) & ~marked_mask(rows, self.matched)
        return rank_rows(contents, rows, question, allowed)


def refine(
    index: MarkedIndex, name: str = "", *, question: str = "", vector: np.ndarray | None = None
) -> Refinement:
    """
    Learns from the marks of a saved search, or of a query that has no name yet.

    Args:
        index: a [`SoundIndex`].
        name: name of a saved search; empty for a query.
        question: without a name: what is asked, as the marks have it.
        vector: of that query, unit length ``(width,)``, if it is known or of a sound.

    Raises:
        SearchError: if there is no such search, it has neither query nor marks, or its query was embedded by
            another model and cannot be embedded again.
        ImportError: if scikit-learn is needed and not installed.
    """
    if name:
        search = SavedSearches(index).current(check_name(name))
    elif vector is not None:
        search = SavedSearch("", question, np.asarray(vector, dtype=np.float32)[None])
    elif question.strip():
        search = SavedSearch("", question.strip(), embed_question(index, question))
    else:
        raise SearchError("give the name of a saved search, or a query.")
    query = None if search.vectors is None else search.vectors[0]
    marks = MarkTable(index).changes(name, search.question)
    matched = match_marks(index.store, marks, query)
    weak = random_windows(index, matched, WEAK_NEGATIVES) if len(matched) else np.zeros((0, 0))
    if query is None and not len(matched):
        missing = f" ({matched.remarks()[0]})" if matched.missing else ""
        raise SearchError(
            f"the saved search {name!r} has neither a query nor a mark that can be used{missing}; add one."
        )
    if not len(matched):
        weak = np.zeros((0, index.store.record["width"]), dtype=np.float32)
    scorer = fit_scorer(query, matched.vectors, matched.fits, weak)
    return Refinement(index, search, matched, weak, scorer, marks.unread)


def refined_answers(
    index: MarkedIndex,
    name: str,
    top: int = 10,
    filters: Mapping[str, Any] | None = None,
    *,
    unmarked: bool = False,
) -> list[Hit]:
    """The results of a saved search after its marks; see [`refine`] and [`Refinement.answers`]."""
    return refine(index, name).answers(top, filters, unmarked=unmarked)


def least_sure(
    index: MarkedIndex, name: str, top: int = 10, filters: Mapping[str, Any] | None = None
) -> list[Hit]:
    """What to mark next for a saved search; see [`refine`] and [`Refinement.least_sure`]."""
    return refine(index, name).least_sure(top, filters)


__all__ = ["Refinement", "least_sure", "refine", "refined_answers"]
