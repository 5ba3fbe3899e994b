"""Settings of the dual encoder and of PaSST: what is refused, the published defaults, the round trip."""

import pytest
from huggingface_hub.errors import StrictDataclassError
from tiny_models import tiny_audio_config, tiny_config

from auricle.modeling import AuricleConfig, PasstConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"projection_dims": 3}, "no field 'projection_dims'; did you mean 'projection_dim'"),
        ({"temprature": 0.1}, "no field 'temprature'; did you mean 'temperature'"),
        ({"text_poolings": "cls"}, "did you mean 'text_pooling'"),
        ({"temperature": 0.0}, "temperature=0.0 must be above 0"),
        ({"temperature": -1.0}, "temperature=-1.0 must be above 0"),
        ({"projection_dim": 0}, "projection_dim=0 must be at least 1"),
        ({"projection_dim": "wide"}, "projection_dim"),
        ({"projection_dim": 2.5}, "projection_dim"),
        ({"learn_temperature": "yes"}, "learn_temperature"),
        ({"text_pooling": "max"}, "text_pooling"),
        (
            {"audio_config": {"model_type": "wav2vec2"}},
            "unknown model_type 'wav2vec2'; known towers: .*passt",
        ),
        ({"text_config": {"model_type": "nonsense"}}, "model_type 'nonsense' is not a model"),
        ({"text_config": {"hidden_size": 8}}, "model_type None is not a model"),
        ({"audio_config": {"patchout_tme": 3}}, "PasstConfig has no field 'patchout_tme'; did you mean"),
    ],
)
def test_faulty_settings_are_named(values, message):
    with pytest.raises((ValueError, StrictDataclassError), match=message):
        AuricleConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_sizes": 3}, "did you mean 'hidden_size'"),
        ({"hidden_size": 25}, "hidden_size=25 cannot be split over num_attention_heads=2"),
        ({"num_mel_bins": 12}, "num_mel_bins=12 is smaller than one patch"),
        ({"num_frames": 15}, "num_frames=15 is smaller than one patch"),
        ({"patchout_time": 6}, "patchout_time=6 must leave at least one of the 6 columns"),
        ({"patchout_frequency": 3}, "patchout_frequency=3 must leave at least one of the 3 rows"),
        ({"patchout_time": -1}, "patchout_time=-1"),
        ({"patchout_unstructured": -1}, "patchout_unstructured=-1 must not be negative"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0 must be at least 1"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers"),
        ({"time_stride": 0}, "time_stride=0 must be at least 1"),
        ({"frequency_stride": -2}, "frequency_stride=-2 must be at least 1"),
        ({"num_attention_heads": 0}, "num_attention_heads=0 must be at least 1"),
        ({"patch_size": 0}, "patch_size=0 must be at least 1"),
    ],
)
def test_faulty_tower_settings_are_named(values, message):
    values = tiny_audio_config(**values)
    values.pop("model_type")
    with pytest.raises((ValueError, StrictDataclassError), match=message):
        PasstConfig(**values)


def test_default_config_is_the_published_system():
    config = AuricleConfig()
    assert (config.audio_config.model_type, config.text_config.model_type) == ("auricle_passt", "roberta")
    assert (config.text_config.hidden_size, config.text_config.num_hidden_layers) == (1024, 24)
    assert (config.audio_config.num_frequency_patches, config.audio_config.num_time_patches) == (8, 62)
    overlapping = PasstConfig(frequency_stride=10, time_stride=10)
    assert (overlapping.num_frequency_patches, overlapping.num_time_patches) == (12, 99)
    assert (config.projection_dim, config.temperature, config.learn_temperature) == (1024, 0.05, False)


def test_config_survives_a_round_trip(tmp_path):
    config = tiny_config(temperature=0.07, learn_temperature=True, text_pooling="mean")
    config.save_pretrained(tmp_path)
    again = AuricleConfig.from_pretrained(tmp_path)
    assert type(again.audio_config) is PasstConfig
    assert again.to_dict() | {"_name_or_path": ""} == config.to_dict() | {"_name_or_path": ""}
    nested = AuricleConfig.from_pretrained(tmp_path, temperature=0.2)
    assert (nested.temperature, nested.text_pooling) == (0.2, "mean")


def test_an_attribute_that_resembles_a_field_warns_and_still_loads(tmp_path):
    config = tiny_config()
    with pytest.warns(
        UserWarning, match="AuricleConfig has no field 'temperatures'.*'temperature'"
    ) as caught:
        config.temperatures = 1
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="PasstConfig has no field 'layer_norm_epsilon'"):
        config.audio_config.layer_norm_epsilon = 0.5
    config.save_pretrained(tmp_path)
    with pytest.warns(UserWarning) as caught:
        again = AuricleConfig.from_pretrained(tmp_path)
    named = [str(warning.message).split("'")[1] for warning in caught]
    assert sorted(named) == ["layer_norm_epsilon", "temperatures"]
    assert (again.temperatures, again.audio_config.layer_norm_epsilon) == (1, 0.5)
    assert (again.temperature, again.audio_config.layer_norm_eps) == (0.05, 1e-6)
    assert type(again.audio_config) is PasstConfig
    assert again.to_dict() | {"_name_or_path": ""} == config.to_dict() | {"_name_or_path": ""}


def test_other_attributes_do_not_warn(recwarn, tmp_path):
    config = tiny_config()
    config.my_note, config.temperature, config.num_labels, config._attribute = "x", 0.1, 3, 1
    config.save_pretrained(tmp_path)
    assert AuricleConfig.from_pretrained(tmp_path).my_note == "x"
    assert [str(warning.message) for warning in recwarn if "no field" in str(warning.message)] == []
