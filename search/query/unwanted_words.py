"""Excluded words of a query: words after a hyphen."""

import re
from collections.abc import Sequence

from ..errors import SearchError

# A word or quoted phrase after a hyphen, at the start of a word: not "half-open", "a - b" or "-20 dB".
_UNWANTED = re.compile(r'(?<!\S)-(?:"([^"]*\w[^"]*)"|([^\W\d_]\S*))')


def split_question(query: str, negative: str | Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
    """
    Splits a query into the wanted text and the unwanted words: ``-word``, ``-"some words"`` and then ``negative``.

    A hyphen excludes a word only at its start: not in "hi-hat", "rain - and wind" or "-20 dB".

    Args:
        query: text of the query.
        negative: further unwanted sentences, one or several.

    Raises:
        SearchError: for a query that is not text, or has only unwanted words.
    """
    if not isinstance(query, str):
        raise SearchError(f"{query!r}: a query must be a string.")
    unwanted = (negative,) if isinstance(negative, str) else tuple(negative)
    marked = tuple((found[1] or found[2]).strip().rstrip(".,;:!?") for found in _UNWANTED.finditer(query))
    if not marked:
        return query, unwanted
    wanted = " ".join(_UNWANTED.sub(" ", query).split())
    if not any(letter.isalnum() for letter in wanted):
        raise SearchError(
            f"{query!r}: has only unwanted words; add words to search for, as in 'rain -thunder'."
        )
    return wanted, (*unwanted, *marked)


__all__ = ["split_question"]
