"""
The form in which captions reach the text tower; needs nothing but Python.

The normalization of captions is a named setting, saved with a model and part of its fingerprint:

* ``"auricle-2"``: lower case; punctuation, symbols, emoji and invisible characters removed, including typographic
  punctuation; runs of white space become one space. The default of new models.
* ``"auricle-1"``: lower case; ASCII punctuation removed; runs of white space become one space. The report's form,
  and the form of directories saved with ``normalize_captions: true``.
* ``"publisher"``: lower case; ASCII punctuation removed; white space left unchanged. The form of the challenge's
  published checkpoints.
* ``"none"``: only outer white space is removed. The form of directories saved with ``normalize_captions: false``.

The meaning of a name never changes; a new form gets a new name.
"""

import re
import string

CAPTION_NORMALIZATIONS = ("auricle-2", "auricle-1", "publisher", "none")
NEWEST_CAPTION_NORMALIZATION = CAPTION_NORMALIZATIONS[0]

_DROP_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)

# What "auricle-2" removes, in hexadecimal: control characters, punctuation and symbols of the scripts in use,
# dingbats and emoji with what joins and colours them, invisible format characters, private use. A frozen list: the
# Unicode tables of Python and of the tokenizers differ from version to version, a named form must not. Modifier
# letters that serve as quotes and accents (U+02B9 to U+02DF) are removed too; letters, digits and fractions stay.
_REMOVED_BY_AURICLE_2 = """
    0-8 e-1b 21-2f 3a-40 5b-60 7b-84 86-9f a1-a9 ab-b1 b4 b6-b8 bb bf d7 f7 2b9-2bd 2c2-2df 2e5-2eb 2ed-2ff 375 37e
    384-385 387 3f6 482 55a-55f 589-58a 58d-58f 5be 5c0 5c3 5c6 5f3-5f4 600-60f 61b-61f 66a-66d 6d4 6dd-6de 6e9
    6fd-6fe 964-965 970 df4 e3f e4f e5a-e5b 104a-104f 10fb 1360-1368 17d4-17d6 17d8-17db 1800-180a 180e 200b-200f
    2010-2027 202a-202e 2030-205e 2060-206f 207a-207e 208a-208e 20a0-20ff 2100-2101 2103-2106 2108-2109 2114
    2116-2118 211e-2123 2125 2127 2129 212e 213a-213b 2140-2144 214a-214d 214f 218a-218b 2190-245f 249c-24e9
    2500-2775 2794-2bff 2e00-2e7f 3001-3004 3008-3020 3030 3036-3037 303d-303f 309b-309c 30a0 30fb e000-f8ff
    fd3e-fd3f fdfc-fe19 fe30-fe6b feff ff01-ff0f ff1a-ff20 ff3b-ff40 ff5b-ff65 ffe0-ffff 1d100-1d1ff 1f000-1f0ff
    1f10d-1faff 1fb00-1fbef e0000-e0fff f0000-10ffff
"""


def removed_characters(normalization: str) -> str:
    """
    The characters that a form removes, as a character class for Python's and Oniguruma's regular expressions.

    Raises:
        ValueError: for a form that removes no characters, or an unknown form.
    """
    if check_caption_normalization(normalization) == "none":
        raise ValueError("the caption normalization 'none' removes no characters.")
    if normalization == "auricle-2":
        ranges = [entry.split("-") for entry in _REMOVED_BY_AURICLE_2.split()]
        ends = [(chr(int(pair[0], 16)), chr(int(pair[-1], 16))) for pair in ranges]
        inner = "".join(f"{_escaped(first)}-{_escaped(last)}" for first, last in ends)
    else:
        inner = "".join(map(_escaped, string.punctuation))
    return f"[{inner}]"


def check_caption_normalization(name: str) -> str:
    """
    The name, if it is one of [`CAPTION_NORMALIZATIONS`].

    Raises:
        ValueError: for an unknown name.
    """
    if name not in CAPTION_NORMALIZATIONS:
        raise ValueError(f"caption_normalization={name!r}; known: {', '.join(CAPTION_NORMALIZATIONS)}.")
    return name


def caption_normalization_of(normalize_captions: bool) -> str:
    """The form that the older setting ``normalize_captions`` means."""
    return "auricle-1" if normalize_captions else "none"


def normalize_caption(caption: str, normalization: str = "auricle-1") -> str:
    """
    A caption in the form that a text tower was trained on. Applying it again changes nothing.

    Args:
        caption: any string.
        normalization: one of [`CAPTION_NORMALIZATIONS`]; by default the report's form.

    Raises:
        ValueError: for an unknown form.
    """
    if check_caption_normalization(normalization) == "none":
        return caption.strip()
    if normalization == "auricle-2":
        return " ".join(_AURICLE_2.sub("", caption.lower()).split())
    words = caption.lower().translate(_DROP_ASCII_PUNCTUATION)
    return words if normalization == "publisher" else " ".join(words.split())


def _escaped(character: str) -> str:
    return f"\\{character}" if character in "\\]^-[&" else character


_AURICLE_2 = re.compile(removed_characters("auricle-2"))

__all__ = [
    "CAPTION_NORMALIZATIONS",
    "NEWEST_CAPTION_NORMALIZATION",
    "caption_normalization_of",
    "check_caption_normalization",
    "normalize_caption",
    "removed_characters",
]
