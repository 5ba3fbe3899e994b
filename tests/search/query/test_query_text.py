"""Questions of one to four words, and the common ones that scores are compared with."""

import numpy as np
import pytest
from tiny_models import saved_tiny_model, write_sound

from auricle.search import SearchError, SoundIndex
from auricle.search.query.query_text import check_template, phrase_query


def test_short_questions_are_asked_within_the_phrase():
    assert phrase_query("rain", "the sound of {}") == "the sound of rain"
    assert phrase_query("  rain   on a  roof ", "the sound of {}") == "the sound of rain on a roof"
    longer = "rain falls on a roof"
    assert phrase_query(longer, "the sound of {}") == longer
    assert phrase_query("{rain}", "the sound of {}") == "the sound of {rain}"
    assert phrase_query("", "the sound of {}") == "" and phrase_query(" ", "the sound of {}") == " "
    assert phrase_query("rain", "{}") == "rain"


@pytest.mark.parametrize("template", ["", "the sound", "{} and {}", "{0}", "{sound}", "{", "{!r}"])
def test_a_template_without_one_place_for_the_question_is_told(template):
    with pytest.raises(SearchError, match="must contain {} once"):
        check_template(template)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    for number in range(4):
        write_sound(folder / "sounds" / f"{number}.wav", 1.0, seed=number)
    saved_tiny_model(folder / "model")
    SoundIndex.create(folder / "index", str(folder / "model")).update([folder / "sounds"], progress=False)
    return folder / "index"


def scores(hits):
    return [(hit.path, hit.cosine) for hit in hits]


def test_the_phrase_reaches_questions_unwanted_ones_moments_and_the_background(index):
    phrased, bare = SoundIndex(index, template="one hears {}"), SoundIndex(index, template="{}")
    whole = "one hears a rain shower"  # five words: as it stands
    assert scores(phrased.search("a rain shower")) == scores(bare.search(whole))
    assert scores(phrased.search("a rain shower")) != scores(bare.search("a rain shower"))
    assert scores(phrased.search(whole)) == scores(bare.search(whole))
    unwanted = {"negative": ["a gusty wind"]}
    said = {"negative": ["one hears a gusty wind"]}
    assert scores(phrased.search(whole, **unwanted)) == scores(bare.search(whole, **said))
    path = phrased.search(whole, top=1)[0].path
    assert scores(phrased.moments(path, "a rain shower", min_percentile=0)) == scores(
        bare.moments(path, whole, min_percentile=0)
    )
    # Common questions are short too, and kept apart for each phrase.
    assert not np.allclose(phrased.background_vectors, bare.background_vectors)
    assert np.array_equal(
        SoundIndex(index, template="one hears {}").background_vectors, phrased.background_vectors
    )
    with pytest.raises(SearchError, match="must contain"):
        SoundIndex(index, template="rain")
