"""From a recipe's model section to a dual encoder and its processor."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.configuration_utils import PreTrainedConfig

from ..evaluation.model_loading import load_pretrained
from ..modeling import AUDIO_CONFIGS, AUDIO_MODELS, AuricleConfig, AuricleModel
from ..processing import AuricleFeatureExtractor, AuricleProcessor
from .pretrained_text import EncoderSource, PretrainedError, locate_text_encoder, offline_hint, sha256_of
from .recipe import ModelSection
from .recipe_reading import RecipeError


@dataclass
class BuiltModel:
    """
    A model ready to train.

    Attributes:
        model: on the CPU, in float32.
        processor: feature extractor and tokenizer.
        origins: where each tower's weights came from, for the run's record.
    """

    model: AuricleModel
    processor: AuricleProcessor
    origins: dict[str, str] = field(default_factory=dict)


def build_model(section: ModelSection, seed: int) -> BuiltModel:
    """
    Builds the dual encoder of a recipe, new weights drawn from ``seed``.

    Raises:
        RecipeError: if a tower's or the front end's settings are wrong or do not fit each other.
        PretrainedError: if pretrained weights cannot be had.
    """
    source = locate_text_encoder(section.text.pretrained) if section.text.pretrained else None
    audio_config = _audio_config(section)
    text_config = _text_config(section, source)
    try:
        config = AuricleConfig(
            audio_config=audio_config,
            text_config=text_config,
            projection_dim=section.projection_dim,
            temperature=section.temperature,
            learn_temperature=section.learn_temperature,
            text_pooling=section.text_pooling,
        )
    except (TypeError, ValueError) as error:
        raise RecipeError(f"model: {error}") from error
    processor = AuricleProcessor(
        _feature_extractor(section, config.audio_config),
        _tokenizer(section, source),
        normalize_captions=section.text.normalize_captions,
        max_text_tokens=section.text.max_tokens,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AuricleModel(config)
    origins = {"audio": "random weights", "text": "random weights"}
    if source is not None:
        _load_text_weights(model, source, section.text.pretrained)
        origins["text"] = source.origin
    if section.audio.pretrained:
        origins["audio"] = _load_audio_weights(model, section.audio.pretrained)
    return BuiltModel(model, processor, origins)


def load_model(directory: str) -> BuiltModel:
    """
    Loads a saved dual encoder and its processor.

    Raises:
        PretrainedError: if the directory is not one.
    """
    try:
        model, processor = load_pretrained(directory)
    except ValueError as error:
        raise PretrainedError(str(error)) from error
    return BuiltModel(model, processor, {"all": str(directory)})


def _audio_config(section: ModelSection) -> PreTrainedConfig:
    values = dict(section.audio.config)
    kind = values.pop("model_type", "auricle_passt")
    if kind not in AUDIO_CONFIGS:
        raise RecipeError(f"model.audio.config.model_type is {kind!r}; known: {sorted(AUDIO_CONFIGS)}.")
    try:
        if section.audio.pretrained:
            return AUDIO_CONFIGS[kind].from_pretrained(section.audio.pretrained, **values)
        return AUDIO_CONFIGS[kind](**values)
    except (TypeError, ValueError, OSError) as error:
        raise RecipeError(f"model.audio.config: {error}") from error


def _text_config(section: ModelSection, source: EncoderSource | None) -> PreTrainedConfig:
    values = dict(section.text.config)
    try:
        if source is not None:
            return AutoConfig.from_pretrained(source.location, **values)
        if "model_type" not in values:
            raise RecipeError(
                "model.text: without 'pretrained', config.model_type is needed, e.g. 'roberta'."
            )
        return AutoConfig.for_model(**values)
    except OSError as error:
        name = section.text.pretrained
        raise PretrainedError(
            f"text encoder {name}: neither here nor on the Hub ({error}).{offline_hint(name)}"
        ) from error


def _tokenizer(section: ModelSection, source: EncoderSource | None):
    location = section.text.tokenizer or (source.location if source else None)
    if location is None:
        raise RecipeError("model.text.tokenizer is needed where model.text.pretrained is not given.")
    try:
        return AutoTokenizer.from_pretrained(location)
    except (OSError, ValueError) as error:
        raise PretrainedError(f"tokenizer {location}: cannot be loaded ({error}).") from error


def _feature_extractor(section: ModelSection, audio_config: PreTrainedConfig) -> AuricleFeatureExtractor:
    try:
        extractor = AuricleFeatureExtractor(**section.front_end)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"model.front_end: {error}") from error
    pairs = {
        "sampling_rate": (extractor.sampling_rate, audio_config.sampling_rate),
        "mel bins": (extractor.feature_size, audio_config.num_mel_bins),
        "frames a segment": (extractor.num_frames, audio_config.num_frames),
    }
    for name, (front_end, tower) in pairs.items():
        if front_end != tower:
            raise RecipeError(
                f"model: the front end gives {front_end} as {name}, the audio tower expects {tower}; make "
                "model.front_end and model.audio.config agree."
            )
    return extractor


def _load_text_weights(model: AuricleModel, source: EncoderSource, name: str) -> None:
    config = model.config.text_config
    encoder_class = type(model.text_model)
    options = {"add_pooling_layer": False} if getattr(model.text_model, "pooler", False) is None else {}
    try:
        encoder = encoder_class.from_pretrained(
            source.location, config=config, dtype=torch.float32, **options
        )
    except (OSError, TypeError):
        try:
            encoder = AutoModel.from_pretrained(source.location, config=config, dtype=torch.float32)
        except OSError as error:
            raise PretrainedError(
                f"text encoder {name}: cannot be loaded ({error}).{offline_hint(name)}"
            ) from error
    wanted = model.text_model.state_dict().keys()
    weights = {key: value for key, value in encoder.state_dict().items() if key in wanted}
    model.text_model.load_state_dict(weights, strict=True)


def _load_audio_weights(model: AuricleModel, name: str) -> str:
    audio_class = AUDIO_MODELS[model.config.audio_config.model_type]
    try:
        encoder = audio_class.from_pretrained(
            name, config=model.config.audio_config, dtype=torch.float32, local_files_only=Path(name).is_dir()
        )
    except (OSError, RuntimeError) as error:
        raise PretrainedError(f"audio encoder {name}: cannot be loaded ({error}).") from error
    model.audio_model.load_state_dict(encoder.state_dict(), strict=True)
    weights = Path(name) / "model.safetensors"
    return f"{name}, SHA-256 {sha256_of(weights)}" if weights.is_file() else f"Hub {name}"
