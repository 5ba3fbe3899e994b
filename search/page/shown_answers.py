"""What a page shows to one visitor: the answers, what was asked, and the answers before them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from ..query.hits import Hit
from .player import clock

CARDS = 10
MOST_ANSWERS = 100
# Steps of "more like this" that lead back.
MOST_STEPS = 8
LONGEST_QUESTION = 60


@dataclass(frozen=True)
class Answers:
    """
    What a page shows, kept by the server for each visitor.

    Attributes:
        question: the sentence, or ``sound: `` and a path, with ``#t=`` and begin and end of a moment in seconds.
        asked: the question for people, plain text.
        hits: the best first.
        first: rank of the first one on screen, from 0.
        files: number of files that the filters leave; answers may be fewer, see `MOST_ANSWERS`.
        why: nothing fits, for people, plain text; empty if something does.
        before: the answers that these were reached from by "more like this"; None if they were asked for.
    """

    question: str = ""
    asked: str = ""
    hits: tuple[Hit, ...] = ()
    first: int = 0
    files: int = 0
    why: str = ""
    before: Optional["Answers"] = None

    @property
    def on_screen(self) -> tuple[Hit, ...]:
        """The answers that are seen now."""
        return self.hits[self.first : self.first + CARDS]

    def turned(self, by: int) -> "Answers":
        """The same answers, so many further on."""
        return replace(self, first=max(0, self.first + by))

    def reached_from(self, before: "Answers") -> "Answers":
        """The same answers with a way back; the oldest of many steps are forgotten."""
        steps, kept = [], before
        while kept is not None and len(steps) < MOST_STEPS:
            steps.append(kept)
            kept = kept.before
        for step in reversed(steps):
            kept = replace(step, before=None if step is steps[-1] else kept)
        return replace(self, before=kept)

    def line(self) -> str:
        """What was asked and which of how many answers are seen, in Markdown."""
        if not self.hits:
            return f"**{plain(self.asked)}**: Nothing fits. {plain(self.why)}".rstrip()
        if self.files > len(self.hits):
            more = f"{self.files:,} files (the best {len(self.hits)} are shown)"
        else:
            more = f"{len(self.hits):,} files"
        return f"**{plain(self.asked)}**: {self.first + 1} to {self.first + len(self.on_screen)} of {more}"

    def back(self) -> str:
        """The label of the button that leads back; empty if there is nothing to go back to."""
        return "" if self.before is None else f"← Back to {shortened(self.before.asked)}"


def asked_by_sentence(sentence: str, unwanted: str) -> str:
    """A question by a sentence, for people."""
    return f"“{sentence.strip()}”" + (f" without “{unwanted.strip()}”" if unwanted.strip() else "")


def asked_by_sound(path: str, start: float | None = None, end: float | None = None) -> str:
    """A question by a sound or a moment of it (seconds), for people."""
    moment = "" if start is None else f", {clock(start)} to {clock(end)}"
    return f"sounds like {Path(path).name}{moment}"


def shortened(text: str) -> str:
    """What fits on a button."""
    return text if len(text) <= LONGEST_QUESTION else f"{text[: LONGEST_QUESTION - 1]}…"


def plain(text: str) -> str:
    """Without a meaning in Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]()#+-!|~>$" else letter for letter in text).replace(
        "<", "&lt;"
    )


__all__ = ["CARDS", "MOST_ANSWERS", "Answers", "asked_by_sentence", "asked_by_sound", "plain", "shortened"]
