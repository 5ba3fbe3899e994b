"""A fingerprint changes with whatever changes an embedding, and with nothing else."""

import string

import pytest
import torch
from tiny_models import (
    tiny_audio_config,
    tiny_front_end,
    tiny_model,
    tiny_model_and_processor,
    tiny_text_config,
)
from transformers import AutoTokenizer

from auricle.encoders.auricle_checkpoint import load_pretrained
from auricle.encoders.model_fingerprint import _processor_settings, model_fingerprint
from auricle.modeling import AuricleConfig, AuricleModel
from auricle.modeling.int8 import quantize_linear_layers
from auricle.processing import AuricleFeatureExtractor, AuricleProcessor


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    model, processor = tiny_model_and_processor(tmp_path_factory.mktemp("model"))
    # As a model of an earlier release.
    processor.feature_extractor.downmix = "mean"
    return model, processor


@pytest.fixture(scope="module")
def known(built):
    return model_fingerprint(*built)


def with_weights_of(model: AuricleModel, config: AuricleConfig) -> AuricleModel:
    other = AuricleModel(config).eval()
    other.load_state_dict(model.state_dict(), strict=False)
    return other


def test_it_is_a_sha256_and_the_same_each_time(built, known):
    assert len(known) == 64 and set(known) <= set(string.hexdigits.lower())
    assert model_fingerprint(*built) == known


def test_saving_loading_and_use_do_not_change_it(built, known, tmp_path):
    model, processor = built
    model.save_pretrained(tmp_path / "elsewhere")
    processor.save_pretrained(tmp_path / "elsewhere")
    model, processor = load_pretrained(tmp_path / "elsewhere")
    assert model_fingerprint(model, processor) == known
    # A tokenizer keeps the padding and truncation of its last call.
    processor(text=["a dog barks", "rain"], text_kwargs={"max_length": 5})
    assert model_fingerprint(model.train(), processor) == known


@pytest.mark.parametrize(
    ("name", "legacy", "other"), [("downmix", "mean", "active"), ("resampler", "soxr", "torchaudio")]
)
def test_a_setting_that_came_later_counts_only_where_it_changes_something(built, known, name, legacy, other):
    model, processor = built
    extractor = processor.feature_extractor
    assert getattr(extractor, name) == legacy
    settings = _processor_settings(processor)["front_end"]
    # What a directory of an earlier release hashed, no setting more or less.
    assert sorted(settings) == [
        *("feature_size", "fmax", "fmin", "front_end", "hop_length", "mean", "min_tail_seconds", "n_fft"),
        *(
            "padding_rule",
            "padding_value",
            "preemphasis",
            "sampling_rate",
            "segment_seconds",
            "std",
            "target_frames",
        ),
        "win_length",
    ]
    try:
        setattr(extractor, name, other)
        changed = model_fingerprint(model, processor)
    finally:
        setattr(extractor, name, legacy)
    assert changed != known and model_fingerprint(model, processor) == known


@pytest.mark.parametrize("name", ["audio_projection.bias", "text_model.embeddings.word_embeddings.weight"])
def test_one_weight_changes_it(known, built, name):
    model = tiny_model()
    assert model_fingerprint(model, built[1]) == known
    with torch.no_grad():
        model.get_parameter(name).reshape(-1)[0] += 1e-6
    assert model_fingerprint(model, built[1]) != known


def test_the_precision_of_the_weights_changes_it(known, built):
    assert model_fingerprint(tiny_model().to(torch.bfloat16), built[1]) != known


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        (None, "text_pooling", "mean"),
        ("audio_config", "layer_norm_eps", 1e-3),
        ("audio_config", "num_attention_heads", 4),
        ("audio_config", "hidden_act", "relu"),
        ("text_config", "num_attention_heads", 4),
        ("text_config", "hidden_act", "relu"),
        ("text_config", "layer_norm_eps", 1e-3),
    ],
)
def test_a_setting_that_changes_embeddings_changes_it(built, known, section, field, value):
    audio, text, own = tiny_audio_config(), tiny_text_config().to_dict(), {}
    target = {"audio_config": audio, "text_config": text, None: own}[section]
    target[field] = value
    config = AuricleConfig(audio_config=audio, text_config=text, projection_dim=12, **own)
    assert model_fingerprint(with_weights_of(built[0], config), built[1]) != known


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        (None, "temperature", 0.2),
        (None, "learn_temperature", True),
        ("audio_config", "patchout_time", 0),
        ("audio_config", "hidden_dropout_prob", 0.3),
        ("audio_config", "initializer_range", 0.5),
        ("text_config", "hidden_dropout_prob", 0.3),
        ("text_config", "initializer_range", 0.5),
        ("text_config", "use_cache", False),
        ("text_config", "transformers_version", "4.0.0"),
        ("text_config", "_name_or_path", "elsewhere"),
        ("text_config", "architectures", ["BertForMaskedLM"]),
    ],
)
def test_names_versions_and_what_acts_in_training_only_do_not_change_it(built, known, section, field, value):
    audio, text, own = tiny_audio_config(), tiny_text_config().to_dict(), {}
    target = {"audio_config": audio, "text_config": text, None: own}[section]
    target[field] = value
    config = AuricleConfig(audio_config=audio, text_config=text, projection_dim=12, **own)
    assert model_fingerprint(with_weights_of(built[0], config), built[1]) == known


def test_cluster_heads_do_not_change_it(built, known):
    model = tiny_model()
    model.audio_cluster_head = torch.nn.Linear(24, 3)
    model.text_cluster_head = torch.nn.Sequential(torch.nn.Linear(16, 3))
    assert any(name.startswith("text_cluster_head.") for name in model.state_dict())
    assert model_fingerprint(model, built[1]) == known


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("segment_seconds", 2.0),
        ("min_tail_seconds", 0.2),
        ("fmax", 7000.0),
        ("preemphasis", 0.9),
        ("padding_value", 0.1),
    ],
)
def test_the_front_end_changes_it(built, known, field, value):
    model, processor = built
    extractor = AuricleFeatureExtractor(**tiny_front_end(**{field: value}))
    assert model_fingerprint(model, AuricleProcessor(extractor, processor.tokenizer)) != known


def test_a_whole_number_is_the_same_with_and_without_a_point(built, known):
    model, processor = built
    extractor = AuricleFeatureExtractor(**tiny_front_end(segment_seconds=1, fmax=7500), downmix="mean")
    assert model_fingerprint(model, AuricleProcessor(extractor, processor.tokenizer)) == known


@pytest.mark.parametrize("change", [{"normalize_captions": False}, {"max_text_tokens": 31}])
def test_the_handling_of_captions_changes_it(built, known, change):
    model, processor = built
    other = AuricleProcessor(processor.feature_extractor, processor.tokenizer, **change)
    assert model_fingerprint(model, other) != known


def test_the_tokenizer_changes_it(built, known, tmp_path):
    model, processor = built
    processor.tokenizer.save_pretrained(tmp_path)
    same = AutoTokenizer.from_pretrained(tmp_path)
    assert model_fingerprint(model, AuricleProcessor(processor.feature_extractor, same)) == known
    other = AutoTokenizer.from_pretrained(tmp_path, padding_side="left")
    assert model_fingerprint(model, AuricleProcessor(processor.feature_extractor, other)) != known
    same.add_tokens(["quacks"])
    assert model_fingerprint(model, AuricleProcessor(processor.feature_extractor, same)) != known


def test_a_quantised_model_has_none(built):
    model, processor = built
    with pytest.raises(ValueError, match="8-bit layers has no fingerprint"):
        model_fingerprint(quantize_linear_layers(model), processor)
