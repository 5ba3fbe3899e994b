"""Style and script of the page, and what it says of its keys."""

from html import escape
from importlib.resources import files

# Keys, and what they do; `page.js` obeys them where no field takes what is typed.
KEYS = {
    "↓ ↑": "next and previous answer",
    "Space": "play the answer, or pause",
    "0": "back to the answer's moment",
    "M": "the answer fits",
    "X": "the answer does not fit",
    "R": "refine by the marks",
    "L": "more like this answer",
    "B": "back to the question before",
    "/": "to the question; Esc leaves it",
    "?": "show these keys",
}
TO_THE_ANSWERS = "() => window.auricle.toTheAnswers()"
KEYBOARD = (
    '<details id="keys"><summary>Keys</summary><dl>'
    + "".join(
        f"<div><dt><kbd>{escape(key)}</kbd></dt><dd>{escape(what)}</dd></div>" for key, what in KEYS.items()
    )
    + '</dl><label><input type="checkbox" id="keys-on" checked> Single keys act on the answers</label></details>'
)


def style() -> str:
    """The page's style sheet."""
    return _text("page.css")


def head() -> str:
    """What stands in the page's head: its script."""
    return f"<script>{_text('page.js')}</script>"


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


__all__ = ["KEYBOARD", "KEYS", "TO_THE_ANSWERS", "head", "style"]
