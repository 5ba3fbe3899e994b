"""A path pattern as a regular expression of the table's dialect; it matches paths in any Unicode form."""

import re
import sys
import unicodedata
from functools import cache

from ...files.file_names import composed

_NOT_ASCII = r"[^\x{0}-\x{7f}]"


def glob_expression(glob: str) -> str:
    """
    An expression that matches every path, stored in NFC or NFD, whose NFC form matches a glob.

    For ASCII paths the match is exact; with decomposed accents a few more paths may match.

    Args:
        glob: ``*`` stands for anything, ``?`` for a letter, ``[a-z]`` and ``[!a-z]`` for one of some.
    """
    glob = composed(glob)
    parts, place = [], 0
    while place < len(glob):
        letter = glob[place]
        closing = glob.find("]", place + 3 if glob[place + 1 : place + 2] == "!" else place + 2)
        if letter == "*":
            parts.append(".*")
        elif letter == "?":
            # No letter decomposes into more than four characters.
            parts.append(f".{_NOT_ASCII}{{0,3}}")
        elif letter == "[" and closing > 0:
            parts.append(f"(?:{_letters(glob[place + 1 : closing])}|.{_NOT_ASCII}{{1,3}})")
            place = closing
        else:
            parts.append(_literal(letter))
        place += 1
    # The dialect has no \Z.
    return f"(?s)^{''.join(parts)}$"


def _literal(letter: str) -> str:
    forms = [re.escape(form) for form in (letter, *_stand_ins().get(letter, ()))]
    if unicodedata.combining(letter):
        return f"{_NOT_ASCII}{{1,2}}"
    decomposed = unicodedata.normalize("NFD", letter)
    if len(decomposed) > 1:
        forms.append(f"(?:{re.escape(decomposed[0])}|{_NOT_ASCII}){_NOT_ASCII}{{1,3}}")
    return forms[0] if len(forms) == 1 else f"(?:{'|'.join(forms)})"


@cache
def _stand_ins() -> dict[str, list[str]]:
    """By letter others that NFC puts it in the place of, as K for the sign of Kelvin."""
    found: dict[str, list[str]] = {}
    for code in range(sys.maxunicode + 1):
        if 0xD800 <= code <= 0xDFFF or not unicodedata.decomposition(chr(code)):
            continue
        normal = unicodedata.normalize("NFC", chr(code))
        if len(normal) == 1 and normal != chr(code):
            found.setdefault(normal, []).append(chr(code))
    return found


def _letters(inner: str) -> str:
    """The characters between a glob's brackets, escaped, since the dialect gives some of them a meaning."""
    negated, place, parts = inner.startswith("!"), 0, []
    inner = inner[1:] if negated else inner
    while place < len(inner):
        first, last = inner[place], inner[place]
        if inner[place + 1 : place + 2] == "-" and place + 2 < len(inner):
            last = inner[place + 2]
            place += 2
        # A reversed range is empty.
        if first <= last:
            parts.append(f"\\x{{{ord(first):x}}}-\\x{{{ord(last):x}}}")
        place += 1
    if not parts:
        return "." if negated else r"[^\s\S]"
    return f"[{'^' if negated else ''}{''.join(parts)}]"


__all__ = ["glob_expression"]
