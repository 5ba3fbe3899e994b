"""Style and script of the page, and its list of keys."""

from html import escape
from importlib.resources import files

# Keys, and what they do; `page.js` obeys them where no field takes what is typed.
KEYS = {
    "↓ ↑": "next and previous result",
    "Space": "play the result, or pause",
    "0": "jump to the result's moment",
    "M": "mark the result: fits",
    "X": "mark the result: does not fit",
    "R": "refine by the marks",
    "L": "find similar recordings",
    "B": "back to the previous query",
    "/": "edit the query; Esc leaves the field",
    "?": "show these keys",
}
TO_THE_ANSWERS = "() => window.auricle.toTheAnswers()"
KEYBOARD = (
    '<details id="keys"><summary>Keys</summary><dl>'
    + "".join(
        f"<div><dt><kbd>{escape(key)}</kbd></dt><dd>{escape(what)}</dd></div>" for key, what in KEYS.items()
    )
    + '</dl><label><input type="checkbox" id="keys-on" checked> Use single-key shortcuts</label></details>'
)


def style() -> str:
    """The page's style sheet."""
    return _text("page.css")


def head() -> str:
    """The page's head: its script."""
    return f"<script>{_text('page.js')}</script>"


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


__all__ = ["KEYBOARD", "KEYS", "TO_THE_ANSWERS", "head", "style"]
