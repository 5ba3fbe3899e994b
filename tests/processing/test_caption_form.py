"""The named forms of captions: what each does, and that none changes its own result."""

import random
import sys
import unicodedata

import pytest

from auricle.processing import CAPTION_NORMALIZATIONS, normalize_caption
from auricle.processing.caption_form import NEWEST_CAPTION_NORMALIZATION, removed_characters

EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
# Typed as they are: these lines are about what people type.
TYPED = {
    "“Rain” – it’s a ‘loud’ bell…": {  # noqa: RUF001
        "auricle-2": "rain its a loud bell",
        "auricle-1": "“rain” – it’s a ‘loud’ bell…",  # noqa: RUF001
        "publisher": "“rain” – it’s a ‘loud’ bell…",  # noqa: RUF001
        "none": "“Rain” – it’s a ‘loud’ bell…",  # noqa: RUF001
    },
    ' "Rain" - it\'s a  loud bell...': {
        "auricle-2": "rain its a loud bell",
        "auricle-1": "rain its a loud bell",
        "publisher": " rain  its a  loud bell",
        "none": '"Rain" - it\'s a  loud bell...',
    },
    "犬が吠える。": {
        "auricle-2": "犬が吠える",
        "auricle-1": "犬が吠える。",
        "publisher": "犬が吠える。",
        "none": "犬が吠える。",
    },
    "½ of a naïve café at 20 °C": {
        "auricle-2": "½ of a naïve café at 20 c",
        "auricle-1": "½ of a naïve café at 20 °c",
        "publisher": "½ of a naïve café at 20 °c",
        "none": "½ of a naïve café at 20 °C",
    },
}


@pytest.mark.parametrize("caption", TYPED)
@pytest.mark.parametrize("name", CAPTION_NORMALIZATIONS)
def test_what_each_form_does(caption, name):
    assert normalize_caption(caption, name) == TYPED[caption][name]


def test_the_reports_form_is_meant_where_none_is_named():
    caption = "The “bell” rings - loud"
    assert normalize_caption(caption) == normalize_caption(caption, "auricle-1") == "the “bell” rings loud"
    assert NEWEST_CAPTION_NORMALIZATION == "auricle-2"


@pytest.mark.parametrize(
    "alone",
    [
        "🐶",
        "👩‍👩‍👧",
        "👍🏽",
        "❤️",
        "☔",
        "♪",
        "🇩🇪",
        "。",
        "、",
        "…",
        "—",
        "“”",
        "​",
        "\ufeff",
        "\u2060",
        "\xad",
        "?!",
        "\x07",
        "",
        "\ue001",
    ],
)
def test_emoji_punctuation_and_invisible_characters_are_no_words(alone):
    assert normalize_caption(alone, "auricle-2") == ""
    assert normalize_caption(f"rain {alone} falls", "auricle-2") == "rain falls"


def test_typographic_marks_count_as_those_of_ascii():
    pairs = {"‘’‚‛ʼ′": "'", "“”„‟″«»": '"', "‐‑‒–—―−": "-", "…": "...", "⁄": "/", "！": "!", "？": "?"}  # noqa: RUF001
    for typographic, plain in pairs.items():
        for mark in typographic:
            for template in ("well{}known", "a {} b", "{}rain{}", "rain{}"):
                got = normalize_caption(template.format(mark, mark), "auricle-2")
                assert got == normalize_caption(template.format(plain, plain), "auricle-2"), (mark, template)


def test_letters_and_digits_of_all_scripts_stay():
    lost = {
        character
        for character in EVERY_CHARACTER
        if character.isalnum() and not normalize_caption(character, "auricle-2")
    }
    # Modifier letters that people type for quotes and accents, and one Unicode itself counts as punctuation.
    assert {unicodedata.category(character) for character in lost} == {"Lm"}
    assert all(0x2B9 <= ord(character) <= 0x2EE for character in lost - {"\u2e2f"})


def test_what_unicode_calls_an_emoji_or_symbol_of_these_blocks_goes():
    blocks = [range(0x2010, 0x2028), range(0x2190, 0x2400), range(0x2600, 0x27C0), range(0x1F300, 0x1FB00)]
    kept = [
        hex(code)
        for block in blocks
        for code in block
        if unicodedata.category(chr(code))[0] in "PS" and normalize_caption(chr(code), "auricle-2")
    ]
    assert kept == []


@pytest.mark.parametrize("name", CAPTION_NORMALIZATIONS)
def test_a_second_time_changes_nothing(name):
    # Without the ideographs, which are all alike.
    for character in filter(lambda one: not 0x3400 <= ord(one) < 0xD800, EVERY_CHARACTER[:0x1FFFF]):
        once = normalize_caption(f" A{character}.{character} b", name)
        assert normalize_caption(once, name) == once, hex(ord(character))
    generator = random.Random(0)
    for _ in range(3_000):
        once = normalize_caption("".join(generator.choices(EVERY_CHARACTER[:0x3000], k=12)), name)
        assert normalize_caption(once, name) == once


def test_an_unknown_form_is_named():
    with pytest.raises(ValueError, match="caption_normalization='auricle-3'; known: auricle-2, auricle-1"):
        normalize_caption("rain", "auricle-3")
    with pytest.raises(ValueError, match="removes no characters"):
        removed_characters("none")
