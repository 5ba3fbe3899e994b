"""Configuration of the dual encoder: one audio tower, one text tower, a shared space."""

import copy
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, AutoConfig

from .config_checks import (
    FieldNameChecks,
    refuse_impossible_cluster_count,
    refuse_impossible_prefixes,
    refuse_misspelt_fields,
)
from .configuration_beats import BeatsConfig
from .configuration_eat import EatConfig
from .configuration_passt import PasstConfig

AUDIO_CONFIGS = {config.model_type: config for config in (PasstConfig, BeatsConfig, EatConfig)}


@strict
class AuricleConfig(FieldNameChecks, PreTrainedConfig):
    r"""
    Settings of [`AuricleModel`].

    Args:
        audio_config: the audio tower, a config object or a dict whose ``model_type`` is one of ours
            (``auricle_passt``, ``auricle_beats``, ``auricle_eat``). A dict without ``model_type`` is used
            for PaSST.
        text_config: the text tower, a config object or a dict with any ``model_type`` that transformers knows
            as a text encoder. By default RoBERTa-large.
        projection_dim: width of the shared space.
        temperature: divisor of the cosine similarities inside the loss, above 0. The report keeps 0.05.
        learn_temperature: train the temperature, starting from ``temperature``; fixed by default.
        text_pooling: ``"cls"`` uses the text tower's first token, ``"mean"`` the mean over its real tokens.
        num_clusters: classes of the cluster heads, at least 2; 0 (the default) is a model without heads.
        local_projection: a separate projection of frames, trained by the frame-phrase loss; without it frames are
            projected like clips.
        matryoshka_dims: lengths of embedding prefixes that were trained to be used alone, after normalisation to
            unit length; ascending, each at least 1 and at most ``projection_dim``. None if there are none.
    """

    model_type = "auricle"
    _auto_class = "AutoConfig"
    # Tokens of all segments: Trainer would gather and keep them over a whole evaluation.
    keys_to_ignore_at_inference = ("audio_model_output", "text_model_output")
    sub_configs_defaults = {  # noqa: RUF012
        "audio_config": PasstConfig,
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="roberta"),
    }

    audio_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    projection_dim: int = 1024
    temperature: float | int = 0.05
    learn_temperature: bool = False
    text_pooling: Literal["cls", "mean"] = "cls"
    num_clusters: int = 0
    local_projection: bool = False
    matryoshka_dims: list[int] | None = None
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        refuse_misspelt_fields(self, kwargs)
        self.audio_config = _build_audio_config(self.audio_config)
        self.text_config = _build_text_config(self.text_config)
        if self.temperature <= 0:
            raise ValueError(f"temperature={self.temperature} must be above 0.")
        if self.projection_dim < 1:
            raise ValueError(f"projection_dim={self.projection_dim} must be at least 1.")
        refuse_impossible_cluster_count(self.num_clusters)
        refuse_impossible_prefixes(self.matryoshka_dims, self.projection_dim)
        super().__post_init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs) -> Any:
        """As in transformers; unknown fields of a saved audio tower's settings are kept, with a warning."""
        audio = config_dict.get("audio_config")
        if isinstance(audio, dict) and (tower := AUDIO_CONFIGS.get(audio.get("model_type"))) is not None:
            config_dict = {**config_dict, "audio_config": tower.from_dict(audio)}
        return super().from_dict(config_dict, **kwargs)


def _build_audio_config(given: dict | PreTrainedConfig | None) -> PreTrainedConfig:
    if isinstance(given, PreTrainedConfig):
        kind = given.model_type
    else:
        values = dict(given or {})
        kind = values.pop("model_type", PasstConfig.model_type)
    # The class is looked up by its name, not by isinstance: remote code may have two copies of one class.
    if kind not in AUDIO_CONFIGS:
        raise ValueError(f"audio_config: unknown model_type {kind!r}; known towers: {sorted(AUDIO_CONFIGS)}.")
    return given if isinstance(given, PreTrainedConfig) else AUDIO_CONFIGS[kind](**values)


def _build_text_config(given: dict | PreTrainedConfig | None) -> PreTrainedConfig:
    if given is None:
        given = {
            "model_type": "roberta",
            "vocab_size": 50265,
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
            "hidden_dropout_prob": 0.2,
            "attention_probs_dropout_prob": 0.2,
        }
    if isinstance(given, PreTrainedConfig):
        # A copy: the caller's own object stays unchanged.
        config = copy.deepcopy(given)
    else:
        values = dict(given)
        kind = values.pop("model_type", None)
        if kind not in CONFIG_MAPPING:
            raise ValueError(
                f"text_config: model_type {kind!r} is not a model that transformers knows; "
                "give one such as 'roberta' or 'bert'."
            )
        config = CONFIG_MAPPING[kind](**values)
    # A dtype copied along from a published config would give one tower another type than the rest.
    config.dtype = None
    return config


__all__ = ["AUDIO_CONFIGS", "AuricleConfig"]
