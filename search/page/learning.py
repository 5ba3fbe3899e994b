"""Marks of a page's visitors, and results refined by them."""

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from ..refine.mark_table import MarkTable
from ..refine.saved_searches import SavedSearches, embed_sound
from ..sound_index import Hit, SearchError, SoundIndex
from .shown_answers import Asked

if TYPE_CHECKING:
    from ..refine.refining import Refinement

Moment = tuple[str, float, float]
# A window's times are kept as they were computed; marks of an import are rounded.
DIGITS = 2


class MarksOfQuestion(NamedTuple):
    """
    The marks of a query.

    Attributes:
        fits: whether a moment fits, by digest of the content (or path) and moment.
    """

    fits: Mapping[Moment, bool]

    def of(self, hit: Hit) -> bool | None:
        """Whether a result was marked as fitting; None if it has no mark."""
        moment = round(hit.start, DIGITS), round(hit.end, DIGITS)
        by_content = None if hit.digest is None else self.fits.get((hit.digest, *moment))
        return self.fits.get((hit.path, *moment)) if by_content is None else by_content

    def told(self) -> str:
        """Their number, for display."""
        if not self.fits:
            return "No marks yet. Mark results with Fits or Does not fit."
        fit = sum(self.fits.values())
        return f"Marked: {fit:,} fit, {len(self.fits) - fit:,} do not."


def marks_of(index: SoundIndex, asked: Asked) -> MarksOfQuestion:
    """
    The marks of a query so far.

    Raises:
        SearchError: if the marks cannot be read.
    """
    found: dict[Moment, bool] = {}
    for mark in MarkTable(index).of(*_search_of(index, asked)):
        if mark.start is not None and mark.end is not None and mark.fits is not None:
            moment = round(mark.start, DIGITS), round(mark.end, DIGITS)
            found[(mark.digest or mark.path, *moment)] = mark.fits
    return MarksOfQuestion(found)


def set_mark(index: SoundIndex, asked: Asked, hit: Hit, fits: bool, *, who: str | None) -> bool | None:
    """
    Marks a result, or withdraws the same mark.

    Args:
        index: gets the mark.
        asked: the query.
        hit: the result.
        fits: the user's mark.
        who: the user's name; None is the user of this process.

    Returns:
        The marks now.

    Raises:
        SearchError: if it cannot be marked.
    """
    table = MarkTable(index)
    name, question = _search_of(index, asked)
    moment = {"start": hit.start, "end": hit.end, "question": question, "who": who}
    if marks_of(index, asked).of(hit) == fits:
        table.remove(name, hit.path, **moment)
        return None
    table.add(name, hit.path, fits=fits, **moment)
    return fits


def learned_hits(
    learned: "Refinement", view: str, top: int, least: float | None, conditions: Mapping[str, Any]
) -> list[Hit]:
    """
    The results of a query after its marks, or what to mark next.

    Args:
        learned: the search after its marks.
        view: "refined" or "unsure"; see [`Asked`].
        top: answers at most.
        least: minimum score; None is no minimum. It does not apply to the windows to mark next.
        conditions: conditions of the filters.

    Raises:
        SearchError: if they cannot be found.
    """
    filters = {name: value for name, value in conditions.items() if value}
    if view == "unsure":
        return learned.least_sure(top, filters)
    return learned.answers(top, filters, min_score=least)


def refinement(index: SoundIndex, asked: Asked) -> "Refinement":
    """
    What a query has learned from its marks.

    Raises:
        SearchError: if the refinement cannot be computed.
    """
    from ..refine.refining import refine

    if asked.search:
        return refine(index, asked.search)
    if asked.kind == "sentence":
        return refine(index, question=asked.question)
    vector, _ = embed_sound(index, asked.path, *asked.moment)
    return refine(index, question=asked.question, vector=vector)


def save_search(index: SoundIndex, asked: Asked, name: str) -> str:
    """
    Saves a query and its filters under a name, and returns the saved name.

    Raises:
        SearchError: if there is no query, or the name is taken.
    """
    searches = SavedSearches(index)
    name = (name or "").strip()
    if not (asked.search or asked.question.strip()):
        raise SearchError("Enter a query first.")
    if name in searches:
        raise SearchError(f"There is a saved search {name!r} already: choose another name.")
    filters = {key: value for key, value in asked.filters.conditions().items() if value}
    if asked.search:
        before = searches.get(asked.search)
        vector = before.vectors[0] if before.sound and before.vectors is not None else None
        filters = {**before.filters, **filters}
        return searches.save(name, before.question, vector=vector, filters=filters, rank=before.rank).name
    if asked.kind == "sentence":
        return searches.save(name, asked.question, filters=filters).name
    return searches.save_sound(name, asked.path, *asked.moment, filters=filters).name


def saved_names(index: SoundIndex | None) -> list[str]:
    """
    Names of all saved searches.

    Raises:
        SearchError: if what is kept cannot be read.
    """
    return [] if index is None else SavedSearches(index).names()


def mark_html(fits: bool | None) -> str:
    """The mark of a result, as text and as HTML for the page's style."""
    if fits is None:
        return ""
    told = "fits" if fits else "does not fit"
    return (
        f'<span class="mark" data-mark="{"fits" if fits else "unfit"}">Marked: {escape(told)} '
        '<button type="button" class="to-refine">Refine</button></span>'
    )


def _search_of(index: SoundIndex, asked: Asked) -> tuple[str, str]:
    """Name and query that marks are kept under."""
    if asked.search:
        return asked.search, SavedSearches(index).get(asked.search).question
    return "", asked.question


__all__ = [
    "MarksOfQuestion",
    "learned_hits",
    "mark_html",
    "marks_of",
    "refinement",
    "save_search",
    "saved_names",
    "set_mark",
]
