"""State of a page for one visitor: a query, its results, and the queries before it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..query.copies import CopyGroup
from .filter_fields import FilterValues
from .playing.player import clock

CARDS = 10
MOST_ANSWERS = 100
# Queries that a visitor can go back to.
MOST_STEPS = 30
LONGEST_QUESTION = 60
UNFILTERED = FilterValues()


@dataclass(frozen=True)
class Asked:
    """
    One query of a visitor, so that it can be asked again.

    Attributes:
        kind: by a sentence, by a sound, by a moment of one, or a saved search.
        sentence, unwanted: of a query by a sentence.
        names: whether names count, too.
        path, start, end: of the sound, and of its moment (seconds).
        filters: values of the page's filters.
        search: name of the saved search.
        view: the results, the results of a search that learned from marks, or what to mark next.
    """

    kind: Literal["sentence", "sound", "moment", "saved"] = "sentence"
    sentence: str = ""
    unwanted: str = ""
    names: bool = False
    path: str = ""
    start: float = 0.0
    end: float | None = None
    filters: FilterValues = UNFILTERED
    search: str = ""
    view: Literal["answers", "refined", "unsure"] = "answers"

    @property
    def told(self) -> str:
        """The query for display, plain text."""
        behind = {"answers": "", "refined": ", refined by marks", "unsure": ", least sure"}[self.view]
        return f"{self._told}{behind}"

    @property
    def _told(self) -> str:
        if self.kind == "saved":
            return f"saved search “{self.search}”"
        if self.kind == "sentence":
            unwanted = self.unwanted.strip()
            return f"“{self.sentence.strip()}”" + (f" without “{unwanted}”" if unwanted else "")
        moment = "" if self.kind == "sound" else f", {clock(self.start)} to {clock(self.end)}"
        return f"sounds like {Path(self.path).name}{moment}"

    @property
    def question(self) -> str:
        """
        The query as marks record it: the sentence with its unwanted words after hyphens; or ``sound: ``, the path,
        and ``#t=`` with the moment's seconds. Empty for a saved search, which records its own query.
        """
        if self.kind == "saved":
            return ""
        if self.kind == "sentence":
            unwanted = " ".join(self.unwanted.replace('"', " ").split())
            return self.sentence.strip() + (f' -"{unwanted}"' if unwanted else "")
        moment = "" if self.kind == "sound" else f"#t={self.start:.2f},{self.end:.2f}"
        return f"sound: {self.path}{moment}"

    @property
    def moment(self) -> tuple[float | None, float | None]:
        """Start and end of the part of the sound, seconds; None for the whole."""
        return (None, None) if self.kind == "sound" else (self.start, self.end)


@dataclass(frozen=True)
class Step:
    """A query, and the rank from 0 of its first result on screen."""

    asked: Asked
    first: int = 0


@dataclass(frozen=True)
class Answers:
    """
    What a page shows, kept by the server for each visitor. Earlier queries are kept without their results.

    Attributes:
        groups: answers with their copies, the best first.
        files: number of files that the filters leave; answers may be fewer, see `MOST_ANSWERS`.
        more: whether there are more results than are kept.
        why: nothing fits, for display, plain text; empty if something does.
        learned: what ranks answers that learned from marks, for display, plain text; empty for others.
        trail: the queries that led here, the present one last; empty if nothing was asked.
        history: all queries, each once, the latest first.
    """

    groups: tuple[CopyGroup, ...] = ()
    files: int = 0
    more: bool = False
    why: str = ""
    learned: str = ""
    trail: tuple[Step, ...] = ()
    history: tuple[Asked, ...] = ()

    @property
    def asked(self) -> Asked:
        """The current query."""
        return self.trail[-1].asked if self.trail else Asked()

    @property
    def first(self) -> int:
        """Rank of the first result on screen, from 0."""
        return self.trail[-1].first if self.trail else 0

    @property
    def on_screen(self) -> tuple[CopyGroup, ...]:
        """The results on screen."""
        return self.groups[self.first : self.first + CARDS]

    def turned(self, by: int) -> "Answers":
        """The same results, so many further on."""
        if not self.trail:
            return self
        step = replace(self.trail[-1], first=max(0, self.first + by))
        return replace(self, trail=(*self.trail[:-1], step))

    def then(self, asked: Asked) -> "Answers":
        """With another query, still without its results; the oldest of many are forgotten."""
        trail = self.trail
        if not (trail and trail[-1].asked == asked):
            trail = (*trail, Step(asked))[-MOST_STEPS:]
        else:
            trail = (*trail[:-1], Step(asked))
        history = (asked, *(before for before in self.history if before.told != asked.told))
        return Answers(trail=trail, history=history[:MOST_STEPS])

    def before(self) -> "Answers | None":
        """The state with the previous query and without its results; None if there is no previous query."""
        return Answers(trail=self.trail[:-1], history=self.history) if len(self.trail) > 1 else None

    def line(self) -> str:
        """The query and the range of results on screen, in Markdown."""
        told = f"**{plain(self.asked.told)}**"
        if not self.groups:
            return f"{told}: No results. {plain(self.why)}".rstrip()
        if self.more:
            what = f"{self.files:,} files (the best {len(self.groups)} are shown)"
        elif self.files > len(self.groups):
            what = f"{len(self.groups):,} sounds ({self.files:,} files)"
        else:
            what = f"{self.files:,} files"
        return f"{told}: {self.first + 1} to {self.first + len(self.on_screen)} of {what}"

    def back(self) -> str:
        """The label of the button that leads back; empty if there is nothing to go back to."""
        return "" if len(self.trail) < 2 else f"← Back to {shortened(self.trail[-2].asked.told)}"

    def earlier(self) -> list[tuple[str, str]]:
        """Queries to choose from as (label, query in words)."""
        return [(shortened(asked.told), asked.told) for asked in self.history]


def shortened(text: str) -> str:
    """The text shortened to fit on a button."""
    return text if len(text) <= LONGEST_QUESTION else f"{text[: LONGEST_QUESTION - 1]}…"


def plain(text: str) -> str:
    """Without a meaning in Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]()#+-!|~>$" else letter for letter in text).replace(
        "<", "&lt;"
    )


__all__ = ["CARDS", "MOST_ANSWERS", "Answers", "Asked", "Step", "plain", "shortened"]
