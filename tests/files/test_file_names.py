"""The rule for comparing names of files: exact, then the same text, then another case, then without blanks."""

import ntpath
import unicodedata
from pathlib import PureWindowsPath

import pytest

from auricle.files.file_names import NameTable, composed, folded, portable_name, same_names

CAFE, STORED = "café.wav", unicodedata.normalize("NFD", "café.wav")


def found(written, *stored, folder=""):
    match = NameTable(stored).find(written, folder)
    return match and (match.how, *match.names)


@pytest.mark.parametrize(
    ("written", "stored", "expected"),
    [
        ("a.wav", ["a.wav", "A.wav"], ("same", "a.wav")),
        ("./sub//a.wav", ["sub/a.wav"], ("same", "sub/a.wav")),
        (CAFE, [STORED], ("form", STORED)),
        (STORED, [CAFE], ("form", CAFE)),
        # Both are there: each is itself.
        (CAFE, [STORED, CAFE], ("same", CAFE)),
        (STORED, [STORED, CAFE], ("same", STORED)),
        ("sub\\a.wav", ["sub/a.wav"], ("form", "sub/a.wav")),
        ("sub/a.wav", ["sub\\a.wav"], ("form", "sub\\a.wav")),
        ("PLAIN.WAV", ["plain.wav"], ("case", "plain.wav")),
        ("STRASSE.wav", ["straße.wav"], ("case", "straße.wav")),
        ("CAFÉ.WAV", [STORED], ("case", STORED)),
        ("Plain.wav", ["plain.wav", "PLAIN.wav"], ("case", "plain.wav", "PLAIN.wav")),
        # A blank is part of a name, and only then none.
        (" a.wav", ["a.wav", " a.wav"], ("same", " a.wav")),
        (" A.wav", ["a.wav", " a.wav"], ("case", " a.wav")),
        (" a.wav ", ["a.wav", "A.wav"], ("blanks", "a.wav")),
        (" A.WAV ", ["a.wav"], ("blanks", "a.wav")),
        ("a .wav", ["a.wav"], None),
        ("cafe.wav", [CAFE], None),
        ("", ["a.wav"], None),
    ],
)
def test_a_written_name_finds_its_file(written, stored, expected):
    assert found(written, *stored) == expected
    assert found(written, *reversed(stored))[:1] == expected[:1] if expected else True


def test_what_fits_loosely_lies_in_the_metadata_s_own_folder():
    stored = ["/x/Rain/a.wav", "/x/rain/b.wav"]
    assert found("A.wav", *stored, folder="/x/rain") is None
    assert found("B.wav", *stored, folder="/x/rain") == ("case", "/x/rain/b.wav")
    assert found("../Rain/a.wav", *stored, folder="/x/rain") == ("same", "/x/Rain/a.wav")
    assert found("../Rain/A.wav", *stored, folder="/x/rain") is None
    assert found("/x/Rain/a.wav", *stored, folder="/x/rain") == ("same", "/x/Rain/a.wav")
    # The folder's own name may be stored in another form.
    folder = unicodedata.normalize("NFD", "/x/é")
    assert found(f"{CAFE}", f"{folder}/{STORED}", folder=folder) == ("form", f"{folder}/{STORED}")


def test_equal_texts_are_equal_strings():
    assert composed(STORED) == CAFE and same_names(STORED, CAFE) and not same_names("A", "a")
    assert folded("É") == folded("e\u0301") != folded("e")
    # K for the sign of Kelvin, and letters whose case folding changes their form.
    assert folded("\u212a") == "k" and folded("ΐ") == folded("\u03b9\u0308\u0301".upper())


@pytest.mark.parametrize(
    ("name", "portable"),
    [
        ("rain.wav", "rain.wav"),
        ("CON", "_CON"),
        ("con.wav", "_con.wav"),
        ("Nul.tar.gz", "_Nul.tar.gz"),
        ("aux .flac", "_aux .flac"),
        ("COM1.wav", "_COM1.wav"),
        ("lpt\u00b9.wav", "_lpt\u00b9.wav"),
        ("conin$", "_conin$"),
        ("console.wav", "console.wav"),
        ("com10.wav", "com10.wav"),
        ("take 1. . ", "take 1"),
        ('a:b"c?|d.wav', "a_b_c__d.wav"),
        ("a\\b/c.wav", "a_b_c.wav"),
        ("a\x00\x1fb.wav", "a__b.wav"),
        ("...", "_"),
        ("", "_"),
    ],
)
def test_a_portable_name_is_accepted_by_windows_too(name, portable):
    assert portable_name(name) == portable == portable_name(portable)
    assert PureWindowsPath(portable).name == portable and not is_reserved_on_windows(portable)


def is_reserved_on_windows(name: str) -> bool:
    """By the standard library: a function from Python 3.13 on, which deprecates the method."""
    if hasattr(ntpath, "isreserved"):
        return ntpath.isreserved(name)
    return PureWindowsPath(name).is_reserved()
