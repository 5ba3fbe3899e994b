"""From a recipe's model section to a model: where weights come from, and what is refused."""

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import tiny_audio_config, tiny_front_end, tiny_text_encoder_dir

from auricle.training.models import pretrained_text
from auricle.training.models.model_building import build_model, load_model
from auricle.training.models.pretrained_text import (
    PackagedEncoder,
    PretrainedError,
    locate_text_encoder,
    sha256_of,
)
from auricle.training.recipe.reading import RecipeError
from auricle.training.recipe.schema import ModelSection


@pytest.fixture(scope="module")
def text_dir(tmp_path_factory):
    return tiny_text_encoder_dir(tmp_path_factory.mktemp("text") / "bert")


@pytest.fixture
def section(text_dir):
    """The tiny model's section, with changes."""

    def make(*, audio=None, front_end=None, text=None, **more) -> ModelSection:
        return ModelSection.model_validate(
            {
                "audio": {"config": tiny_audio_config(), **(audio or {})},
                "front_end": front_end or tiny_front_end(),
                "text": {"pretrained": str(text_dir), **(text or {})},
                "projection_dim": 12,
                **more,
            }
        )

    return make


@pytest.fixture
def own_copy(text_dir, tmp_path):
    return shutil.copytree(text_dir, tmp_path / "own")


def refused(kind, section: ModelSection) -> str:
    with pytest.raises(kind) as caught:
        build_model(section, 0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_settings_reach_model_and_processor(section, text_dir):
    built = build_model(
        section(
            text={"max_tokens": 9, "normalize_captions": False, "config": {"hidden_dropout_prob": 0.25}},
            text_pooling="mean",
            temperature=0.1,
            learn_temperature=True,
        ),
        0,
    )
    config = built.model.config
    assert (config.projection_dim, config.temperature, config.text_pooling) == (12, 0.1, "mean")
    assert built.model.current_logit_scale().item() == pytest.approx(10.0)
    assert config.text_config.hidden_dropout_prob == 0.25
    assert built.model.text_model.embeddings.dropout.p == 0.25
    assert built.processor.max_text_tokens == 9 and not built.processor.normalize_captions
    assert built.origins == {"audio": "random weights", "text": f"directory {text_dir}"}


def test_an_orthogonal_text_projection_keeps_the_angles_and_all_other_weights(section):
    width = build_model(section(), 0).model.config.text_config.hidden_size
    models = {
        start: build_model(
            section(projection_dim=width + 3, text_projection_initialization=start), 0
        ).model.state_dict()
        for start in ("normal", "orthogonal")
    }
    weight = models["orthogonal"]["text_projection.weight"]
    torch.testing.assert_close(weight.T @ weight, torch.eye(width), atol=1e-5, rtol=0)
    different = {
        name for name, value in models["normal"].items() if not torch.equal(value, models["orthogonal"][name])
    }
    assert different == {"text_projection.weight"}
    assert not models["orthogonal"]["text_projection.bias"].any()


def test_the_text_tower_has_the_pretrained_weights(section, text_dir):
    model = build_model(section(), 0).model
    pretrained = load_file(text_dir / "model.safetensors")
    for name, value in model.text_model.state_dict().items():
        assert torch.equal(value, pretrained[name]), name


def test_new_weights_follow_the_seed_and_disturb_no_other_randomness(section):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second, other = (build_model(section(), seed).model for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert not torch.equal(first.audio_projection.weight, other.audio_projection.weight)
    assert torch.equal(
        first.text_model.embeddings.word_embeddings.weight,
        other.text_model.embeddings.word_embeddings.weight,
    )


def test_a_text_tower_with_random_weights_needs_type_and_tokenizer(section, text_dir):
    assert "config.model_type is needed" in refused(RecipeError, section(text={"pretrained": None}))
    config = json.loads((text_dir / "config.json").read_text())
    small = {name: config[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
    small |= {"model_type": "bert", "vocab_size": config["vocab_size"], "intermediate_size": 32}
    text = {"pretrained": None, "config": small}
    assert "model.text.tokenizer is needed" in refused(RecipeError, section(text=text))
    built = build_model(section(text={**text, "tokenizer": str(text_dir)}), 0)
    assert built.origins["text"] == "random weights"


def test_an_unknown_tower_lists_the_known(section):
    message = refused(RecipeError, section(audio={"config": {"model_type": "auricle_past"}}))
    assert "'auricle_past'" in message and "auricle_passt" in message


def test_new_models_mix_the_channels_that_sound_and_others_as_they_are_told(section):
    assert build_model(section(), 0).processor.feature_extractor.downmix == "active"
    told = section(front_end={**tiny_front_end(), "downmix": "mean", "resampler": "torchaudio"})
    extractor = build_model(told, 0).processor.feature_extractor
    assert (extractor.downmix, extractor.resampler) == ("mean", "torchaudio")


@pytest.mark.parametrize(
    ("audio", "front_end", "says"),
    [
        ({"sampling_rate": 32000}, {}, "16000 as sampling_rate, the audio tower expects 32000"),
        ({}, {"feature_size": 40}, "40 as mel bins, the audio tower expects 32"),
        ({}, {"segment_seconds": 2.0}, "200 as frames a segment, the audio tower expects 100"),
    ],
)
def test_front_end_and_tower_must_agree(section, audio, front_end, says):
    wrong = section(audio={"config": tiny_audio_config(**audio)}, front_end=tiny_front_end(**front_end))
    assert says in refused(RecipeError, wrong)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"audio": {"config": tiny_audio_config(hidden_sise=8)}}, "model.audio.config"),
        ({"audio": {"config": tiny_audio_config(hidden_size="wide")}}, "model.audio.config"),
        ({"audio": {"config": tiny_audio_config(num_attention_heads=5)}}, "num_attention_heads=5"),
        ({"front_end": tiny_front_end(segment_seconds=-1.0)}, "model.front_end"),
        ({"front_end": tiny_front_end(window=3)}, "window"),
        ({"text": {"config": {"hidden_dropout": 0.1}}}, "did you mean 'hidden_dropout_prob'?"),
        ({"text": {"config": {"hidden_dropout_prob": "much"}}}, "model.text.config"),
        ({"text": {"max_tokens": 65}}, "model.text.max_tokens is 65, the text tower has positions for 64"),
    ],
)
def test_wrong_settings_name_their_place(section, changes, says):
    assert says in refused(RecipeError, section(**changes))


def test_a_tokenizer_of_another_encoder_is_refused(section, text_dir, own_copy):
    config = json.loads((own_copy / "config.json").read_text())
    (own_copy / "config.json").write_text(json.dumps({**config, "vocab_size": 20}))
    pretrained = load_file(own_copy / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    save_file({**pretrained, name: pretrained[name][:20].clone()}, own_copy / "model.safetensors")
    assert "the text tower expects 20" in refused(RecipeError, section(text={"pretrained": str(own_copy)}))


def test_an_encoder_with_weights_missing_is_refused(section, own_copy):
    weights = load_file(own_copy / "model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, own_copy / "model.safetensors", metadata={"format": "pt"})
    message = refused(PretrainedError, section(text={"pretrained": str(own_copy)}))
    assert "1 weights are missing" in message and "encoder.layer.1.output.dense.weight" in message


@pytest.mark.parametrize("fault", ["absent", "cut off", "of another size"])
def test_an_encoder_whose_weights_cannot_be_loaded_is_refused(section, own_copy, fault):
    path = own_copy / "model.safetensors"
    if fault == "absent":
        path.unlink()
    elif fault == "cut off":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        config = json.loads((own_copy / "config.json").read_text())
        (own_copy / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    message = refused(PretrainedError, section(text={"pretrained": str(own_copy)}))
    assert str(own_copy) in message and "cannot be loaded" in message


def test_a_directory_that_is_no_encoder(section, tmp_path):
    assert "config.json is missing" in refused(PretrainedError, section(text={"pretrained": str(tmp_path)}))
    for name in (str(tmp_path / "none"), "./none", "a/b/c"):
        with pytest.raises(PretrainedError, match="there is no such directory"):
            locate_text_encoder(name)


NAME = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def package(own_copy, tmp_path, monkeypatch):
    """An installed package that carries the tiny encoder; it must never be imported."""
    root = tmp_path / "site" / "tiny_encoder_as_package"
    root.mkdir(parents=True)
    (root / "__init__.py").write_text("raise RuntimeError('imported')")
    shutil.move(own_copy, root / "model")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    entry = PackagedEncoder(
        "tiny_encoder_as_package", "model", sha256_of(root / "model" / "model.safetensors"), "pip install it"
    )
    monkeypatch.setitem(pretrained_text.PACKAGED_ENCODERS, NAME, entry)
    return root


def test_an_encoder_that_a_package_carries_is_used(section, package):
    built = build_model(section(text={"pretrained": NAME}), 0)
    sha256 = sha256_of(package / "model" / "model.safetensors")
    assert built.origins["text"] == f"{NAME}, package tiny_encoder_as_package, SHA-256 {sha256}"
    assert "tiny_encoder_as_package" not in sys.modules


def test_a_packaged_encoder_with_another_hash_is_refused(section, package):
    path = package / "model" / "model.safetensors"
    weights = load_file(path)
    weights["embeddings.LayerNorm.bias"] += 1e-3
    save_file(weights, path, metadata={"format": "pt"})
    message = refused(PretrainedError, section(text={"pretrained": NAME}))
    assert sha256_of(path) in message and "tiny_encoder_as_package" in message and "not used" in message


def test_without_package_and_hub_the_message_says_what_to_install(section, monkeypatch):
    entry = PackagedEncoder("no_such_package_anywhere", "model", "0" * 64, "pip install 'auricle[demo]'")
    monkeypatch.setitem(pretrained_text.PACKAGED_ENCODERS, NAME, entry)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(pretrained_text.PACKAGED_ENCODERS, "nobody/nothing", entry)
    message = refused(PretrainedError, section(text={"pretrained": "nobody/nothing"}))
    assert "nobody/nothing" in message and "not found here or on the Hub" in message
    assert "Without the Hub, pip install 'auricle[demo]' brings it" in message


def test_an_encoder_that_no_package_carries_gives_no_hint(section):
    message = refused(PretrainedError, section(text={"pretrained": "nobody/nothing-else"}))
    assert "nobody/nothing-else" in message and "pip install" not in message


def test_pretrained_audio_weights_and_config_are_taken(section, tmp_path):
    source = build_model(section(), 5).model.audio_model
    source.save_pretrained(tmp_path / "audio")
    built = build_model(section(audio={"pretrained": str(tmp_path / "audio"), "config": {}}), 0)
    for name, value in built.model.audio_model.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name
    sha256 = sha256_of(tmp_path / "audio" / "model.safetensors")
    assert built.origins["audio"].endswith(f"SHA-256 {sha256}")
    missing = section(audio={"pretrained": str(tmp_path / "none"), "config": {}})
    assert "none: there is no such file or directory" in refused(PretrainedError, missing)


def test_a_saved_model_loads_and_anything_else_is_refused(section, tmp_path, text_dir):
    built = build_model(section(), 0)
    built.model.save_pretrained(tmp_path / "saved")
    built.processor.save_pretrained(tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"))
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, built.model.state_dict()[name]), name
    with pytest.raises(PretrainedError, match="config.json is missing"):
        load_model(str(tmp_path))
    with pytest.raises(PretrainedError, match="'bert'"):
        load_model(str(text_dir))
