"""The processor: sentences, sounds and both, and the form that sentences get."""

import json

import numpy as np
import pytest
import torch
from tiny_models import SAMPLING_RATE, sound, tiny_model_and_processor
from transformers import AutoTokenizer

from auricle.processing import AudioReadError, AuricleProcessor, normalize_caption


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    _, processor = tiny_model_and_processor(folder)
    return processor.feature_extractor, folder / "text"


@pytest.fixture
def processor(parts):
    return make(parts)


def make(parts, **settings):
    extractor, text = parts
    return AuricleProcessor(extractor, AutoTokenizer.from_pretrained(text), **settings)


def words_of(processor, ids):
    return processor.tokenizer.decode(ids, skip_special_tokens=True)


# ---------------------------------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A dog barks.", "a dog barks"),
        ("  Rain,  rain\tand\nmore RAIN!  ", "rain rain and more rain"),
        ("It's a well-known bell (twice)", "its a wellknown bell twice"),
        ("\N{LATIN CAPITAL LETTER E WITH ACUTE}tude", "\N{LATIN SMALL LETTER E WITH ACUTE}tude"),
        ("?!...", ""),
        ("", ""),
        ("3 beeps", "3 beeps"),
    ],
)
def test_the_form_of_captions(caption, expected):
    assert normalize_caption(caption) == expected
    assert normalize_caption(expected) == expected


def test_captions_are_normalised_by_default_and_not_on_request(parts):
    sentences = [" A dog barks, then rain! ", "rain"]
    assert make(parts).prepare_text(sentences) == ["a dog barks then rain", "rain"]
    assert make(parts, normalize_captions=False).prepare_text(sentences) == [
        "A dog barks, then rain!",
        "rain",
    ]
    plain = words_of(make(parts), make(parts)(text=sentences)["input_ids"][0])
    assert plain == "a dog barks then rain"
    kept = make(parts, normalize_captions=False)
    assert words_of(kept, kept(text=sentences)["input_ids"][0]).replace(" ", "") == "adogbarks,thenrain!"


def test_sentences_become_padded_tokens(processor):
    got = processor(text=["a dog barks", "rain"])
    assert got["input_ids"].shape == got["attention_mask"].shape == (2, 5)
    assert got["attention_mask"].tolist() == [[1] * 5, [1] * 3 + [0] * 2]
    assert [words_of(processor, ids) for ids in got["input_ids"]] == ["a dog barks", "rain"]
    assert set(got) <= set(processor.model_input_names)


def test_one_sentence_is_a_list_of_one(processor):
    assert torch.equal(processor(text="rain")["input_ids"], processor(text=["rain"])["input_ids"])
    assert processor(text=("rain", "bell"))["input_ids"].shape == (2, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"text\[0\] is '': it contains no word"),
        (["rain", "   \n"], r"text\[1\] is ' +\\n': it contains no word"),
        (["rain", "bell", "?!..."], r"text\[2\] is '\?!...': it contains no word"),
        ([], "text is an empty list"),
        (["rain", None], r"text\[1\] is a NoneType, but must be a string"),
        (["rain", 3.5], r"text\[1\] is a float, but must be a string"),
        ([["rain"]], r"text\[0\] is a list, but must be a string"),
        ([b"rain"], r"text\[0\] is a bytes, but must be a string"),
    ],
)
def test_faulty_sentences_are_named(processor, text, message):
    with pytest.raises(ValueError, match=message):
        processor(text=text)
    with pytest.raises(ValueError, match=message):
        processor.prepare_text(text)


def test_punctuation_alone_is_a_sentence_only_where_it_is_kept(parts):
    kept = make(parts, normalize_captions=False)
    assert kept(text="?!")["input_ids"].shape == (1, 4)


def test_a_text_of_ten_thousand_characters_is_cut(processor):
    long = "dog " * 2_500
    assert len(long) == 10_000
    got = processor(text=[long, "rain"])
    assert got["input_ids"].shape == (2, 32)
    assert got["attention_mask"].sum(dim=1).tolist() == [32, 3]
    assert words_of(processor, got["input_ids"][0]) == " ".join(["dog"] * 30)
    one_word = processor(text="x" * 10_000)
    assert one_word["input_ids"].shape[1] <= 32


def test_the_message_about_a_long_faulty_text_is_short(processor):
    with pytest.raises(ValueError) as caught:
        processor(text="?" * 10_000)
    assert len(str(caught.value)) < 200


def test_the_most_tokens_are_a_setting(parts):
    sentence = "a dog barks and rain falls and a bell rings"
    assert make(parts, max_text_tokens=6)(text=sentence)["input_ids"].shape == (1, 6)
    assert make(parts)(text=sentence)["input_ids"].shape == (1, 12)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"padding": "max_length"}, (2, 32)),
        ({"padding": "max_length", "max_length": 12}, (2, 12)),
        ({"padding": "max_length", "max_length": None}, (2, 32)),
        ({"text_kwargs": {"padding": "max_length", "max_length": 9}}, (2, 9)),
        ({"common_kwargs": {"padding": "longest", "max_length": 4}}, (2, 4)),
        ({"truncation": True, "max_length": 4}, (2, 4)),
        ({"max_length": None, "padding": True, "truncation": True}, (2, 5)),
    ],
)
def test_padding_on_request(processor, options, shape):
    assert processor(text=["a dog barks", "rain"], **options)["input_ids"].shape == shape
    both = processor(text=["a dog barks", "rain"], audio=sound(0.5), sampling_rate=SAMPLING_RATE, **options)
    assert both["input_ids"].shape == shape
    assert both["input_features"].shape == (1, 100, 32)


# --------------------------------------------------------------------------------- sounds, and both


def test_sounds_are_the_feature_extractors(processor):
    clips = [sound(1.5, seed=1), sound(0.2, seed=2)]
    got = processor(audio=clips, sampling_rate=SAMPLING_RATE)
    expected = processor.feature_extractor(clips, sampling_rate=SAMPLING_RATE)
    assert set(got) == {"input_features", "segment_counts"}
    assert torch.equal(got["input_features"], expected["input_features"])
    assert got["segment_counts"].tolist() == [2, 1]
    by_name = processor(audio=clips, audio_kwargs={"sampling_rate": SAMPLING_RATE})
    assert torch.equal(by_name["input_features"], expected["input_features"])


def test_both_together_are_what_each_is_alone(processor):
    clips, sentences = [sound(1.5, seed=1), sound(0.2, seed=2)], ["a dog barks", "rain", "a bell"]
    both = processor(text=sentences, audio=clips, sampling_rate=SAMPLING_RATE)
    text, audio = processor(text=sentences), processor(audio=clips, sampling_rate=SAMPLING_RATE)
    assert set(both) == set(text) | set(audio)
    assert not set(text) & set(audio)
    for name, tensor in {**text, **audio}.items():
        assert torch.equal(both[name], tensor), name


@pytest.mark.parametrize("kind", ["np", None])
def test_the_type_asked_for(processor, kind):
    got = processor(text="rain", audio=sound(0.5), sampling_rate=SAMPLING_RATE, return_tensors=kind)
    assert not any(isinstance(value, torch.Tensor) for value in got.values())
    assert np.shape(got["input_ids"]) == (1, 3)
    assert np.shape(got["input_features"]) == (1, 100, 32)


def test_results_move_between_devices(processor):
    got = processor(text="rain", audio=sound(0.5), sampling_rate=SAMPLING_RATE).to("meta")
    assert {tensor.device.type for tensor in got.values()} == {"meta"}


def test_neither_is_an_error(processor):
    with pytest.raises(ValueError, match="give text, audio, or both"):
        processor()


def test_errors_of_sounds_come_through(processor, tmp_path):
    with pytest.raises(ValueError, match="sampling rate is needed"):
        processor(audio=sound(0.5))
    with pytest.raises(AudioReadError, match="nothing.wav: no such file"):
        processor(text="rain", audio=[str(tmp_path / "nothing.wav")])


def test_saved_and_loaded_it_is_the_same(parts, tmp_path):
    first = make(parts, normalize_captions=False, max_text_tokens=5)
    first.save_pretrained(tmp_path)
    again = AuricleProcessor.from_pretrained(tmp_path)
    assert (again.normalize_captions, again.max_text_tokens) == (False, 5)
    clip, sentences = sound(1.7, seed=3), ["A dog barks, loud and long!", "rain"]
    expected = first(text=sentences, audio=clip, sampling_rate=SAMPLING_RATE)
    got = again(text=sentences, audio=clip, sampling_rate=SAMPLING_RATE)
    assert set(got) == set(expected)
    assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())
    stored = json.loads((tmp_path / "processor_config.json").read_text())
    assert stored["auto_map"] == {"AutoProcessor": "processing_auricle.AuricleProcessor"}
    assert (stored["normalize_captions"], stored["max_text_tokens"]) == (False, 5)


# ------------------------------------------------------------------------------------------ keywords


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"max_length": 4, "text_kwargs": {"max_length": 9}},
            "'max_length' is given twice.* within text_kwargs",
        ),
        ({"padding": True, "text_kwargs": {"padding": "max_length"}}, "'padding' is given twice"),
        (
            {"sampling_rate": 8_000, "audio_kwargs": {"sampling_rate": SAMPLING_RATE}},
            "'sampling_rate' is given twice.* within audio_kwargs",
        ),
        ({"max_lenght": 4}, r"unknown arguments \['max_lenght'\] for AuricleProcessor"),
        ({"common_kwargs": {"foo": 3}}, r"unknown arguments \['foo'\]"),
        ({"audio_kwargs": {"foo": 3}}, r"unknown arguments \['foo'\] for AuricleFeatureExtractor"),
    ],
)
def test_a_keyword_that_is_unknown_or_given_twice_is_refused(processor, options, message):
    given = {"text": "rain", "audio": {"array": sound(0.5), "sampling_rate": SAMPLING_RATE}}
    with pytest.raises(ValueError, match=message):
        processor(**given, **options)


def test_keywords_reach_those_whom_they_concern(processor):
    clip = {"array": sound(0.5), "sampling_rate": SAMPLING_RATE}
    got = processor(
        text=["a dog barks", "rain"],
        audio=clip,
        segment_seconds=0.5,
        add_special_tokens=False,
        pad_to_multiple_of=8,
        images_kwargs={"do_resize": False},
        videos_kwargs=None,
        common_kwargs={"return_tensors": "np"},
        text_kwargs={},
    )
    assert got["input_ids"].shape == (2, 8)
    assert got["input_features"].shape == (1, 50, 32)
    assert isinstance(got["input_ids"], np.ndarray) and isinstance(got["input_features"], np.ndarray)
    only_text = processor(text="rain", audio=clip, text_kwargs={"return_tensors": "np"}, audio_kwargs={})
    assert isinstance(only_text["input_ids"], np.ndarray)
    assert isinstance(only_text["input_features"], torch.Tensor)


def test_the_keywords_are_typed_as_the_librarys_are(processor):
    kinds = AuricleProcessor.valid_processor_kwargs.__annotations__
    assert {"padding", "max_length", "allow_file_names"} <= set(kinds["text_kwargs"].__annotations__)
    assert {"sampling_rate", "segment_seconds", "mel_ranges"} <= set(kinds["audio_kwargs"].__annotations__)
    merged = processor._merge_kwargs(
        processor.valid_processor_kwargs, tokenizer_init_kwargs={}, sampling_rate=8
    )
    assert merged["audio_kwargs"]["sampling_rate"] == 8
    assert merged["text_kwargs"]["padding"] is True


def test_the_tokenizers_saved_padding_is_heeded_and_its_saved_length_is_not(parts):
    extractor, text = parts
    tokenizer = AutoTokenizer.from_pretrained(text, padding="max_length", max_length=50)
    processor = AuricleProcessor(extractor, tokenizer, max_text_tokens=12)
    assert processor(text="rain")["input_ids"].shape == (1, 12)
    assert processor(text="rain", padding=True)["input_ids"].shape == (1, 3)


def test_the_limit_is_the_tokenizers_too(parts, tmp_path):
    sentence = "a dog barks and rain falls and a bell rings"
    processor = make(parts, max_text_tokens=6)
    assert processor.tokenizer.model_max_length == 6
    processor.tokenizer.model_max_length = 4  # as sentence-transformers' max_seq_length does
    assert processor(text=sentence)["input_ids"].shape == (1, 4)
    processor.max_text_tokens = 9
    assert processor.tokenizer.model_max_length == 9
    assert processor(text=sentence)["input_ids"].shape == (1, 9)
    assert processor(text=sentence, max_length=11)["input_ids"].shape == (1, 11)
    processor.save_pretrained(tmp_path)
    again = AuricleProcessor.from_pretrained(tmp_path)
    assert (again.max_text_tokens, again.tokenizer.model_max_length) == (9, 9)
