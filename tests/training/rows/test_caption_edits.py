"""Edits of captions: how often, which words, and never an empty caption."""

from collections import Counter

import numpy as np
import pytest

from auricle.training.rows.caption_edits import CaptionEditor, delete_word


def edits_of(caption, editor, count=400):
    return [editor.edit(caption, np.random.default_rng((0, number))) for number in range(count)]


def test_one_word_goes_and_each_as_often():
    drawn = Counter(edits_of("a dog barks twice", CaptionEditor(1.0), 1200))
    assert set(drawn) == {"dog barks twice", "a barks twice", "a dog twice", "a dog barks"}
    assert min(drawn.values()) > 240 and max(drawn.values()) < 360


@pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 0, 0), (0.8, 290, 350), (1.0, 400, 400)])
def test_the_probability_is_the_share_of_edited_captions(probability, low, high):
    edited = sum(caption != "a dog barks" for caption in edits_of("a dog barks", CaptionEditor(probability)))
    assert low <= edited <= high


@pytest.mark.parametrize("caption", ["rain", "", "  ", "rain ...", "- ! rain", "Rain!"])
def test_the_last_word_stays_and_the_caption_as_it_is(caption):
    assert set(edits_of(caption, CaptionEditor(1.0), 30)) == {caption}


def test_punctuation_is_not_deleted_in_a_words_place():
    assert set(edits_of("a dog - barks", CaptionEditor(1.0), 60)) == {"dog - barks", "a - barks", "a dog -"}


def test_words_of_any_script_and_digits_count():
    assert set(edits_of("ein Vögel 2", CaptionEditor(1.0), 60)) == {"Vögel 2", "ein 2", "ein Vögel"}


def test_an_unedited_caption_keeps_its_white_space():
    assert CaptionEditor(0.0).edit(" a  dog ", np.random.default_rng(0)) == " a  dog "


def test_it_is_a_function_of_the_generator():
    editor, caption = CaptionEditor(0.8), "birds sing while the wind blows"
    assert edits_of(caption, editor, 50) == edits_of(caption, editor, 50)
    assert len(set(edits_of(caption, editor, 50))) > 4


def test_one_of_several_edits_is_drawn():
    """What a synonym replacement needs: a place beside the deletion, and a way to decline."""

    def replace_dog(words, generator):
        return ["hound" if word == "dog" else word for word in words] if "dog" in words else None

    editor = CaptionEditor(1.0, (delete_word, replace_dog))
    drawn = Counter(edits_of("dog barks", editor))
    assert set(drawn) == {"hound barks", "dog", "barks"}
    assert 150 < drawn["hound barks"] < 250
    assert "rain falls" in edits_of("rain falls", editor)


def test_faulty_settings_are_named():
    for probability in (-0.1, 1.1, float("nan")):
        with pytest.raises(
            ValueError, match=f"probability={probability} of caption edits must be between 0 and 1"
        ):
            CaptionEditor(probability)
    with pytest.raises(ValueError, match="edits is empty"):
        CaptionEditor(0.5, ())
