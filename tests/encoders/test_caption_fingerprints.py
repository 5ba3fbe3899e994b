"""Directories from before forms of captions had names: the same vectors and the same fingerprint, re-saved too."""

import json
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_model_and_processor
from transformers import AutoTokenizer

from auricle.encoders.auricle_checkpoint import load_pretrained
from auricle.encoders.model_fingerprint import model_fingerprint, text_fingerprint
from auricle.processing import CAPTION_NORMALIZATIONS, AuricleProcessor

# Saved, and its answers recorded, by the code that knew `normalize_captions` only.
BEFORE = Path(__file__).parents[1] / "fixtures" / "saved_before_named_captions"
EXPECTED = json.loads((BEFORE / "expected.json").read_text(encoding="utf-8"))
FORM = {"roberta_normalized": "auricle-1", "bert_as_written": "none"}


def assert_as_before(directory: Path, name: str) -> tuple:
    model, processor = load_pretrained(directory)
    expected = EXPECTED[name]
    assert processor.caption_normalization == FORM[name]
    inputs = processor(text=expected["captions"])
    assert inputs["input_ids"].tolist() == expected["input_ids"]
    with torch.no_grad():
        vectors = model.get_text_features(**inputs).pooler_output
    assert (vectors - torch.tensor(expected["text_embeds"])).abs().max() <= 1e-6
    assert model_fingerprint(model, processor) == expected["model_fingerprint"]
    assert text_fingerprint(model, processor) == expected["text_fingerprint"]
    return model, processor


@pytest.mark.parametrize("name", FORM)
def test_an_older_directory_answers_and_is_called_as_before_also_when_saved_again(name, tmp_path):
    directory = BEFORE / name
    for number in range(3):
        model, processor = assert_as_before(directory, name)
        directory = tmp_path / str(number)
        model.save_pretrained(directory)
        processor.save_pretrained(directory)
    saved = json.loads((directory / "processor_config.json").read_text())
    # The older word is kept for older versions of this package.
    assert (saved["caption_normalization"], saved["normalize_captions"]) == (
        FORM[name],
        FORM[name] != "none",
    )


def test_saved_again_the_tokenizer_normalises_by_itself(tmp_path):
    name = "roberta_normalized"
    captions = EXPECTED[name]["captions"]
    before = AutoTokenizer.from_pretrained(BEFORE / name)
    assert before(captions, padding=True)["input_ids"] != EXPECTED[name]["input_ids"]
    model, processor = load_pretrained(BEFORE / name)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=True)
    assert again(captions, padding=True, truncation=True)["input_ids"] == EXPECTED[name]["input_ids"]


def test_a_directory_without_a_word_about_captions_is_an_old_one(tmp_path):
    model, processor = load_pretrained(BEFORE / "roberta_normalized")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    path = tmp_path / "processor_config.json"
    saved = json.loads(path.read_text())
    del saved["caption_normalization"], saved["normalize_captions"]
    path.write_text(json.dumps(saved))
    assert_as_before(tmp_path, "roberta_normalized")


def test_every_form_has_its_own_fingerprint_whatever_the_tokenizer_held_before(tmp_path):
    model, processor = tiny_model_and_processor(tmp_path)
    extractor = processor.feature_extractor
    found = {}
    for name in CAPTION_NORMALIZATIONS:
        one = AuricleProcessor(extractor, processor.tokenizer, caption_normalization=name)
        found[name] = model_fingerprint(model, one)
        for other in CAPTION_NORMALIZATIONS:
            once = AuricleProcessor(extractor, one.tokenizer, caption_normalization=other)
            back = AuricleProcessor(extractor, once.tokenizer, caption_normalization=name)
            assert model_fingerprint(model, back) == found[name]
    assert len(set(found.values())) == len(CAPTION_NORMALIZATIONS)


def test_the_older_setting_and_the_name_are_one(tmp_path):
    _, processor = tiny_model_and_processor(tmp_path)
    extractor, tokenizer = processor.feature_extractor, processor.tokenizer
    assert processor.caption_normalization == "auricle-2"
    assert AuricleProcessor(extractor, tokenizer, False).caption_normalization == "none"
    assert AuricleProcessor(extractor, tokenizer, True).caption_normalization == "auricle-1"
    processor.normalize_captions = False
    assert processor.caption_normalization == "none" and not processor.normalize_captions
    with pytest.raises(ValueError, match="normalize_captions=True means caption_normalization='auricle-1'"):
        AuricleProcessor(extractor, tokenizer, normalize_captions=True, caption_normalization="auricle-2")
    with pytest.raises(ValueError, match="caption_normalization='auricle-9'; known"):
        AuricleProcessor(extractor, tokenizer, caption_normalization="auricle-9")
