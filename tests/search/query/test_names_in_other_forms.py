"""Names that a keyboard writes in one Unicode form and a disk stores in another are found by every question."""

import itertools
import re
import unicodedata

import numpy as np
import pytest
from tiny_models import saved_tiny_model, write_sound

from auricle.search.errors import SearchError
from auricle.search.query.filters import Filters
from auricle.search.query.globs import glob_expression
from auricle.search.query.names import words_of
from auricle.search.sound_index import SoundIndex

pytest.importorskip("lancedb")
NAMES = ["café/noise à la carte.wav", "cafe/plain.wav", "한국/각.wav", "\u212ael.wav", "雨/x̌ é.wav", "a.wav"]
GLOBS = [
    "*café*", "*caf?/*", "*caf[é-ë]*", "*caf[!a-f]/*", "*/각.wav", "*/?.wav", "Kel*", "*[!a-z].wav", "雨*", "*x̌*",
    "*e*", "cafe/*", "*[e]*", "*à*", "?????.wav", "*[j-l]el*",
]  # fmt: skip


def forms(text):
    return {unicodedata.normalize(form, text) for form in ("NFC", "NFD")} | {text}


@pytest.mark.parametrize("glob", GLOBS)
def test_the_table_s_expression_leaves_out_nothing_that_fits(glob):
    # The dialect writes characters by their number in braces.
    written = re.sub(
        r"\\x\{([0-9a-f]+)\}", lambda found: re.escape(chr(int(found[1], 16))), glob_expression(glob)
    )
    expression = re.compile(written)
    for name, typed in itertools.product(NAMES, forms(glob)):
        answers = {Filters(glob=typed).fits(path) for path in forms(name)}
        assert len(answers) == 1
        # A range that holds a letter which NFC replaces is the one thing that is not foreseen.
        if answers == {True} and not ("\u212a" in name and "[" in glob):
            assert all(expression.search(path) for path in forms(name)), (name, typed)
        if name.isascii():
            assert bool(expression.search(name)) == answers.pop(), (name, typed)


def test_words_of_names_are_the_same_in_either_form():
    for form in ("NFC", "NFD"):
        assert words_of(unicodedata.normalize(form, "Café_Zürich 02")) == {"café", "zürich", "2"}


@pytest.fixture(scope="module")
def indexes(tmp_path_factory):
    """Sounds whose names are stored as macOS does, one index that compares all windows and one that estimates."""
    root = tmp_path_factory.mktemp("forms")
    saved_tiny_model(root / "model", projection_dim=16)
    stored = (
        root / "sounds" / unicodedata.normalize("NFD", "Zürich") / unicodedata.normalize("NFD", "café.wav")
    )
    write_sound(stored, 1.0, seed=1)
    for number in range(24):
        write_sound(root / "sounds" / f"{number}.wav", 1.0, seed=10 + number)
    made = []
    for name, windows in (("exact", 250_000), ("approximate", 10)):
        made.append(SoundIndex.create(root / name, str(root / "model"), exact_windows=windows))
        made[-1].update([root / "sounds"], progress=False)
    assert made[1].store.approximate
    return stored, made


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("kind", [0, 1])
def test_every_question_finds_a_name_in_either_form(indexes, kind, form):
    stored, made = indexes
    index, typed = made[kind], stored.with_name(unicodedata.normalize(form, "café.wav"))
    mixed = type(stored)(unicodedata.normalize(form, str(stored.parent))) / stored.name
    for conditions in (
        {"glob": unicodedata.normalize(form, "*/Zürich/*é*")},
        {"tag": unicodedata.normalize(form, "Zürich")},
        {"file": typed},
        {"file": mixed},
    ):
        assert [hit.path for hit in index.search("a dog", top=30, **conditions)] == [str(stored)], conditions
    named = index.search(unicodedata.normalize(form, "Café in Zürich"), names=True, top=1)
    assert [hit.path for hit in named] == [str(stored)]
    alike = index.similar(typed, top=30)
    assert len(alike) == 24 and str(stored) not in {hit.path for hit in alike}
    assert {hit.path for hit in index.moments(typed, "a dog")} == {str(stored)}
    # Letters without their accents are another name.
    assert index.search("a dog", top=30, glob="*/Zurich/*") == []


def test_a_file_in_another_case_is_suggested_and_not_taken(indexes):
    stored, (index, _) = indexes
    with pytest.raises(
        SearchError, match="is not in the index.*; did you mean .*café.wav\\?".replace("é", "e\u0301")
    ):
        index.search("a dog", file=stored.with_name(stored.name.upper()))
    with pytest.raises(SearchError, match="is not in the index") as caught:
        index.search("a dog", file=stored.with_name("cafe.wav"))
    assert "did you mean" not in str(caught.value)


def test_metadata_are_compared_in_either_form():
    texts = np.array(['{"café": "Zürich"}'], dtype=object)
    rows = {"path": np.array(["a"], dtype=object), "metadata": texts}
    for form in ("NFC", "NFD"):
        wanted = {unicodedata.normalize(form, "café"): unicodedata.normalize(form, "Zürich")}
        assert Filters(metadata=wanted).mask(rows).tolist() == [True]
