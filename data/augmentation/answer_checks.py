"""Checks a language model's answer: language, length, no refusal, no copy, no list."""

import re
from collections.abc import Sequence
from enum import StrEnum

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
_LABEL = re.compile(
    r"^(?:(?:merged |combined |translated )?(?:caption|sentence|translation|description|answer))\s*:\s*", re.I
)
_QUOTES = "\"'`*\u201c\u201d\u2018\u2019\u00ab\u00bb"
_BULLET = re.compile(r"^\s*(?:[-*\u2022]|\d+[.)])\s+", re.M)
_REFUSAL = re.compile(
    r"\b(?:i(?:['\u2019]?m| am) (?:sorry|unable)|i can(?:no|['\u2019])?t|as an ai|language model|i apologi[sz]e|"
    r"cannot (?:assist|help|fulfil))\b",
    re.I,
)
# Words without their own meaning: the smallest sentence has some, and few of them in two languages.
_ENGLISH = frozenset(
    # ruff would have one line a word.
    "a an the and of to is are was were be been being with while as at by for from on into over then it its "  # noqa: SIM905
    "their there his her some someone something several many two three who which that this these those through "
    "up down off out before after during near nearby away against around between behind under other others not "
    "no very".split()
)
_FOREIGN = frozenset(
    # German, French, Spanish, Italian, Portuguese, Dutch, Polish, Swedish.
    "der die das und ein eine einer einem einen ist sind mit auf im von zu dem den des nicht während dann "  # noqa: SIM905
    "le la les un une des et est sont avec dans du qui que sur au aux pendant puis "
    "el los las una y con en por para del mientras luego está están se su "
    "il lo gli di che mentre poi sono nel della "
    "o os um uma e com em enquanto depois do da são "
    "het een van met terwijl zijn wordt op dan "
    "i w z na się jest potem podczas "
    "och ett det som är med på sedan medan".split()
)
MAX_WORDS = 60
LONGEST_RATIO = 2.5


class AnswerFault(StrEnum):
    """Reason why an answer is rejected."""

    EMPTY = "empty"
    REFUSAL = "refusal"
    LIST = "list"
    LONG = "too long"
    SHORT = "too short"
    LANGUAGE = "not English"
    COPY = "copy"


def clean_answer(answer: str) -> str:
    """An answer without what models add to a sentence: labels, quotation marks, line breaks, doubled spaces."""
    text = answer.strip()
    text = _LABEL.sub("", text)
    text = text.strip().strip(_QUOTES).strip()
    return text if "\n" in text else " ".join(text.split())


def find_fault(
    answer: str,
    sources: Sequence[str],
    *,
    copies: bool = True,
    english: bool = True,
    max_words: int = MAX_WORDS,
) -> AnswerFault | None:
    """
    The fault of a cleaned answer; None if it is usable.

    Args:
        answer: see [`clean_answer`].
        sources: its source caption or captions.
        copies: whether an answer with the same words as a source in the same order is a fault.
        english: whether it must be English. Detected by function words of English and of eight other languages and by
            the words it shares with the sources, which is enough for answers that should be English.
        max_words: maximum number of words.
    """
    words = [word.lower() for word in _WORD.findall(answer)]
    if not words:
        return AnswerFault.EMPTY
    if _REFUSAL.search(answer):
        return AnswerFault.REFUSAL
    if "\n" in answer.strip() or len(_BULLET.findall(answer)) > 1:
        return AnswerFault.LIST
    given = [[word.lower() for word in _WORD.findall(text)] for text in sources]
    length = sum(len(one) for one in given)
    if len(words) > max_words or len(words) > LONGEST_RATIO * length + 6:
        return AnswerFault.LONG
    if len(words) < 2 or len(words) * 3 < length:
        return AnswerFault.SHORT
    if english and not _is_english(words, answer, {word for one in given for word in one}):
        return AnswerFault.LANGUAGE
    if copies and any(words == one for one in given):
        return AnswerFault.COPY
    return None


def _is_english(words: Sequence[str], answer: str, given: set[str]) -> bool:
    letters = [letter for letter in answer if letter.isalpha()]
    if sum(letter.isascii() for letter in letters) < 0.9 * len(letters):
        return False
    own = [word for word in words if word not in given]
    english = sum(word in _ENGLISH for word in words)
    foreign = sum(word in _FOREIGN and word not in _ENGLISH for word in own)
    # A sentence that repeats its source's words is in its language.
    return foreign <= english and (english > 0 or len(own) < len(words))


__all__ = ["AnswerFault", "clean_answer", "find_fault"]
