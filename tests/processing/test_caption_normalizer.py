"""The tokenizer by itself gives what the processor gives, whatever is typed, before and after saving."""

import csv
import hashlib
import json
import os
import random
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import saved_tiny_model, tiny_front_end, tiny_vocabulary, write_sound
from tokenizers import AddedToken, ByteLevelBPETokenizer
from transformers import AutoTokenizer, BertTokenizerFast, RobertaTokenizer, pipeline

from auricle.encoders.auricle_checkpoint import load_pretrained
from auricle.processing import (
    CAPTION_NORMALIZATIONS,
    AuricleFeatureExtractor,
    AuricleProcessor,
    normalize_caption,
)
from auricle.processing.caption_normalizer import caption_steps, own_normalizer, with_caption_normalization

DATA = os.environ.get("AURICLE_DATA_DIR")
FORMS = [name for name in CAPTION_NORMALIZATIONS if name != "none"]
# What AutoTokenizer made of these was not what the processor made of them.
TYPED = [
    "A dog barks, twice.",
    "Rain - and  wind - on a tin roof",
    'The "bell" rings ; people talk .',
    "“Rain” – it’s loud…",  # noqa: RUF001
    " \tOuter\xa0white\u3000space\x1c\x85 ",
    "ΟΔΥΣΣΕΥΣ, ΣΑΣ'Α ΑΣ. Σ",  # noqa: RUF001
    "İstanbul ǅ ẞ K Ω",
    "<mask> and </s> and [MASK] <unk>",
    "naïve cafe\u0301 at 20 °C",
    "雨。風 🐶 👩‍👩‍👧 3️⃣",
    "100% <b>loud</b> & #clear_ {x} [y] \\ ^ `~|",
    "zero\u200bwidth and\u00adsoft\ufeff",
]
WORDS = "a dog barks twice rain and wind on tin roof the bell rings people talk loud clear"


def roberta(folder: Path, captions: list[str]) -> RobertaTokenizer:
    """RoBERTa's kind of tokenizer, its words learned from captions."""
    learned = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    learned.train_from_iterator(captions, vocab_size=2_000, min_frequency=2, special_tokens=specials)
    folder.mkdir(parents=True, exist_ok=True)
    learned.save_model(str(folder))
    mask = AddedToken("<mask>", lstrip=True, normalized=False, special=True)
    return RobertaTokenizer.from_pretrained(str(folder), mask_token=mask, model_max_length=512)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    return {
        "roberta": roberta(tmp_path_factory.mktemp("bpe"), [WORDS] * 3),
        "bert": BertTokenizerFast(vocab=tiny_vocabulary(), do_lower_case=True),
    }


def processor_of(tokenizer, **settings) -> AuricleProcessor:
    return AuricleProcessor(AuricleFeatureExtractor(**tiny_front_end()), tokenizer, **settings)


def state_of(tokenizer) -> dict:
    """The tokenizer as saved, without what the last call left in it."""
    return json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}


def ids_of(tokenizer, captions: list[str]) -> list[list[int]]:
    return tokenizer(captions, padding=True, truncation=True)["input_ids"]


@pytest.mark.parametrize("kind", ["roberta", "bert"])
@pytest.mark.parametrize("name", FORMS)
def test_the_saved_tokenizer_gives_what_the_processor_gives(tokenizers, kind, name, tmp_path):
    processor = processor_of(tokenizers[kind], caption_normalization=name)
    expected = processor(text=TYPED)
    processor.save_pretrained(tmp_path)
    alone = AutoTokenizer.from_pretrained(tmp_path)
    assert ids_of(alone, TYPED) == expected["input_ids"].tolist()
    assert alone.model_input_names == tokenizers[kind].model_input_names
    again = AuricleProcessor.from_pretrained(tmp_path)
    assert again.caption_normalization == name
    for key, tensor in expected.items():
        assert torch.equal(again(text=TYPED)[key], tensor), key


def test_raw_text_was_another_before(tokenizers):
    """The test above would pass with a tokenizer that normalises nothing if it did not matter."""
    processor = processor_of(tokenizers["roberta"])
    assert ids_of(tokenizers["roberta"], TYPED) != processor(text=TYPED)["input_ids"].tolist()


@pytest.mark.parametrize("name", FORMS)
def test_every_character_between_letters_and_alone(tokenizers, name):
    normalizer = with_caption_normalization(tokenizers["roberta"], name).backend_tokenizer.normalizer
    others = []
    for code in range(sys.maxunicode + 1):
        # Which unassigned characters have a lower case depends on the version of Unicode; ideographs are all alike.
        if (
            unicodedata.category(chr(code)) in ("Cs", "Cn")
            or 0x3500 <= code < 0xA000
            or 0x20100 <= code < 0xE0000
        ):
            continue
        if 0xF0100 <= code < 0x10FF00:  # private use
            continue
        text = f"A{chr(code)}b {chr(code)}"
        if normalizer.normalize_str(text) != normalize_caption(text, name):
            others.append(hex(code))
    assert others == []


@pytest.mark.parametrize("name", FORMS)
def test_strings_of_any_letters_marks_and_signs(tokenizers, name):
    normalizer = with_caption_normalization(tokenizers["bert"], name).backend_tokenizer.normalizer
    plain = processor_of(
        tokenizers["bert"]
    ).tokenizer.backend_tokenizer  # keeps the own normalizer after ours
    assert (
        own_normalizer(json.loads(plain.to_str())["normalizer"]) == state_of(tokenizers["bert"])["normalizer"]
    )
    own = tokenizers["bert"].backend_tokenizer.normalizer
    assigned = [chr(code) for code in range(0x3100) if unicodedata.category(chr(code)) != "Cn"]
    greek = [chr(code) for code in range(0x391, 0x3CA) if code != 0x3A2] + list("'.:-\u0301\u02b0\u00ad ")
    generator = random.Random(0)
    for alphabet in (assigned, greek):
        for _ in range(5_000):
            text = "".join(generator.choices(alphabet, k=generator.randint(1, 14)))
            expected = own.normalize_str(normalize_caption(text, name))
            assert normalizer.normalize_str(text) == expected, ascii(text)


@pytest.fixture(scope="module")
def clotho(tmp_path_factory):
    captions = []
    for path in sorted(Path(DATA, "clotho").glob("clotho_captions_*.csv")):
        with open(path, encoding="utf-8", newline="") as file:
            captions += [row[f"caption_{n}"] for row in csv.DictReader(file) for n in range(1, 6)]
    assert len(captions) == 29_645
    return captions, roberta(tmp_path_factory.mktemp("clotho"), captions)


@pytest.mark.skipif(DATA is None, reason="AURICLE_DATA_DIR names no directory with Clotho's files")
@pytest.mark.parametrize("name", FORMS)
def test_every_caption_of_clotho(clotho, name, tmp_path):
    captions, tokenizer = clotho
    processor = processor_of(tokenizer, caption_normalization=name)
    processor.save_pretrained(tmp_path)
    alone = AutoTokenizer.from_pretrained(tmp_path)
    form = alone.backend_tokenizer.normalizer
    others = [text for text in captions if form.normalize_str(text) != normalize_caption(text, name)]
    assert others == []
    # The rest of the tokenizer is the same: a part of the captions, and all with something rare in them, will do.
    rare = [text for text in captions if not text.isascii() or "  " in text or text != text.strip()]
    part = [*captions[::20], *rare]
    got = alone(part, padding=True, truncation=True, return_tensors="np")["input_ids"]
    assert np.array_equal(got, processor(text=part, return_tensors="np")["input_ids"])


def test_a_long_caption_is_cut_where_the_processor_cuts_it(tokenizers, tmp_path):
    processor = processor_of(tokenizers["roberta"], max_text_tokens=9)
    processor(text="rain", text_kwargs={"padding": "max_length", "max_length": 5})
    processor.save_pretrained(tmp_path)
    assert processor.tokenizer.model_max_length == 9
    alone = AutoTokenizer.from_pretrained(tmp_path)
    long = ["rain and wind " * 20]
    assert ids_of(alone, long) == processor(text=long)["input_ids"].tolist()
    assert len(ids_of(alone, long)[0]) == 9
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    assert saved["truncation"] is None and saved["padding"] is None


def test_the_given_tokenizer_stays_as_it_was_and_another_form_takes_the_place(tokenizers):
    given = tokenizers["roberta"]
    before = state_of(given)
    first = processor_of(given)
    second = AuricleProcessor(first.feature_extractor, first.tokenizer, caption_normalization="none")
    third = AuricleProcessor(first.feature_extractor, first.tokenizer, caption_normalization="auricle-2")
    assert state_of(given) == state_of(second.tokenizer) == before
    assert not given.split_special_tokens and not second.tokenizer.split_special_tokens
    assert third.tokenizer is first.tokenizer
    assert second(text="“Rain”")["input_ids"].tolist() == given(["“Rain”"])["input_ids"]
    first.caption_normalization = "publisher"
    assert first(text="a  b")["input_ids"].tolist() == given(["a  b"])["input_ids"]
    assert third(text="a  b")["input_ids"].tolist() == given(["a b"])["input_ids"]
    with pytest.raises(ValueError, match="caption_normalization='loud'"):
        first.caption_normalization = "loud"
    assert first.caption_normalization == "publisher"


def test_only_the_normalizer_differs_from_the_given_tokenizer(tokenizers):
    for kind, given in tokenizers.items():
        own, changed = state_of(given), state_of(with_caption_normalization(given, "auricle-2"))
        assert own_normalizer(changed["normalizer"]) == own["normalizer"], kind
        assert {name for name in own if own[name] != changed[name]} == {"normalizer"}, kind


def test_own_normalizers_of_every_shape_come_out_as_they_were():
    steps = caption_steps("auricle-2")
    lower, sequence = {"type": "Lowercase"}, {"type": "Sequence", "normalizers": [{"type": "NFC"}]}
    for own in (lower, sequence, {"type": "Sequence", "normalizers": [lower, sequence]}):
        assert own_normalizer({"type": "Sequence", "normalizers": [*steps, own]}) == own
        assert own_normalizer(own) == own
    assert own_normalizer({"type": "Sequence", "normalizers": steps}) is None
    assert own_normalizer(None) is None


def test_the_users_own_words_are_found_in_any_writing(tokenizers):
    processor = processor_of(tokenizers["bert"])
    processor.tokenizer.add_tokens(["quacks"])
    number = processor.tokenizer.convert_tokens_to_ids("quacks")
    for text in ("it Quacks!", "it quacks"):
        assert number in processor.tokenizer([text])["input_ids"][0]
        assert number in processor(text=text)["input_ids"][0]


def test_words_found_before_normalisation_leave_it_to_the_processor():
    given = BertTokenizerFast(vocab=tiny_vocabulary(), do_lower_case=True)
    given.add_tokens([AddedToken("XY", normalized=False, special=False)])
    processor = processor_of(given)
    assert processor.tokenizer is given
    assert processor(text="Rain!")["input_ids"].tolist() == given(["rain"])["input_ids"]


def test_the_steps_of_a_name_never_change():
    """They are recognised in saved directories, whose fingerprints leave them out."""
    digests = {
        name: hashlib.sha256(json.dumps(caption_steps(name)).encode()).hexdigest()[:16] for name in FORMS
    }
    assert digests == {
        "auricle-2": "6a24e86d0b05344a",
        "auricle-1": "e91f4cbaf6412740",
        "publisher": "ee232aae993609ed",
    }
    assert caption_steps("none") == []


# --------------------------------------------------------------------------- without the processor


def test_the_pipeline_and_bare_tokenizers_answer_like_the_processor(tmp_path):
    model, processor = saved_tiny_model(tmp_path / "model")
    labels = ["A DOG barks!", "“Rain” falls…", "a bell - rings"]
    clip = write_sound(tmp_path / "clip.wav", 1.3, seed=3)
    tokens = AutoTokenizer.from_pretrained(tmp_path / "model", trust_remote_code=True)(
        labels, padding=True, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        expected = model.get_text_features(**processor(text=labels)).pooler_output
        assert torch.equal(model.get_text_features(**tokens).pooler_output, expected)
        logits = model(**processor(text=labels, audio=str(clip))).logits_per_audio
    pipe = pipeline("zero-shot-audio-classification", model=str(tmp_path / "model"), device="cpu")
    sound = processor.feature_extractor.load(str(clip))
    scores = {
        entry["label"]: entry["score"]
        for entry in pipe(sound, candidate_labels=labels, hypothesis_template="{}")
    }
    for label, probability in zip(labels, logits.softmax(dim=-1)[0].tolist(), strict=True):
        assert scores[label] == pytest.approx(probability, abs=1e-6)
    loaded, _ = load_pretrained(tmp_path / "model")
    assert type(loaded) is type(model)
