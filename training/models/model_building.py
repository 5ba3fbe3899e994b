"""Builds a dual encoder and its processor from a recipe's model section."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel
from transformers.configuration_utils import PreTrainedConfig

from ...conversion import ConversionError, ConversionReport, load_published, sha256_of
from ...encoders.auricle_checkpoint import load_pretrained
from ...encoders.auricle_encoder import AuricleEncoder
from ...encoders.checkpoint_faults import quiet_loading
from ...modeling import AUDIO_CONFIGS, AUDIO_MODELS, AuricleConfig, AuricleModel
from ...processing import AuricleFeatureExtractor, AuricleProcessor
from ..recipe.reading import RecipeError
from ..recipe.schema import ModelSection
from .pretrained_text import (
    EncoderSource,
    PretrainedError,
    locate_text_encoder,
    looks_like_path,
    offline_hint,
)

# What configs and feature extractors raise for a value they do not take.
WRONG_SETTING = (TypeError, ValueError, StrictDataclassError)


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

    def encoder(self) -> AuricleEncoder:
        """The model as an encoder; it shares the weights."""
        return AuricleEncoder(self.model, self.processor)


def build_model(section: ModelSection, seed: int) -> BuiltModel:
    """
    Builds the dual encoder of a recipe, new weights drawn from ``seed``.

    Raises:
        RecipeError: if a tower's or the front end's settings are wrong or do not fit each other.
        PretrainedError: if pretrained weights are not available.
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
    except WRONG_SETTING as error:
        raise RecipeError(f"model: {_in_one_line(error)}") from error
    tokenizer = _tokenizer(section, source)
    _check_tokenizer(tokenizer, section, config.text_config)
    processor = AuricleProcessor(
        _feature_extractor(section, config.audio_config),
        tokenizer,
        max_text_tokens=section.text.max_tokens,
        caption_normalization=section.text.caption_normalization,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AuricleModel(config)
        if section.text_projection_initialization == "orthogonal":
            torch.nn.init.orthogonal_(model.text_projection.weight)
    origins = {"audio": "random weights", "text": "random weights"}
    if source is not None:
        _load_text_weights(model, source, section.text.pretrained)
        origins["text"] = source.origin
    if section.audio.pretrained_source:
        origins["audio"] = _load_audio_weights(model, section.audio.pretrained_source)
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
    name = section.audio.pretrained_source
    if name and looks_like_path(name) and not Path(name).exists():
        raise PretrainedError(f"audio encoder {name}: there is no such file or directory.")
    published = _load_published(kind, name, values)[0].config if name and Path(name).is_file() else None
    try:
        if published is not None:
            return AUDIO_CONFIGS[kind](**_own_fields(published) | values)
        if name:
            return AUDIO_CONFIGS[kind](**_own_fields(AUDIO_CONFIGS[kind].from_pretrained(name)) | values)
        return AUDIO_CONFIGS[kind](**values)
    except OSError as error:
        raise PretrainedError(f"audio encoder {name}: cannot be loaded ({_first_line(error)}).") from error
    except WRONG_SETTING as error:
        raise RecipeError(f"model.audio.config: {_in_one_line(error)}") from error


def _own_fields(config: PreTrainedConfig) -> dict[str, Any]:
    """What a config's class declares itself, so that a new config can be made with some of it replaced."""
    names = type(config).__dataclass_fields__.keys() - PreTrainedConfig.__dataclass_fields__.keys()
    return {name: getattr(config, name) for name in names}


def _load_published(
    kind: str, name: str, settings: Mapping[str, Any]
) -> tuple[PreTrainedModel, ConversionReport]:
    """The publisher's own file, read without running code in it; it does not state the number of heads."""
    try:
        return load_published(
            kind.removeprefix("auricle_"), name, attention_heads=settings.get("num_attention_heads")
        )
    except ConversionError as error:
        raise PretrainedError(f"audio encoder {error}") from error


def _text_config(section: ModelSection, source: EncoderSource | None) -> PreTrainedConfig:
    values = dict(section.text.config)
    name = section.text.pretrained
    if source is None and "model_type" not in values:
        raise RecipeError("model.text: without 'pretrained', config.model_type is needed, e.g. 'roberta'.")
    try:
        if source is None:
            return AutoConfig.for_model(**values)
        config = AutoConfig.from_pretrained(source.location)
    except OSError as error:
        raise PretrainedError(
            f"text encoder {name}: not found here or on the Hub ({_first_line(error)}).{offline_hint(name)}"
        ) from error
    except WRONG_SETTING as error:
        raise RecipeError(f"model.text.config: {_in_one_line(error)}") from error
    _refuse_unknown("model.text.config", values, {*config.to_dict(), *config.attribute_map}, type(config))
    try:
        return AutoConfig.from_pretrained(source.location, **values)
    except WRONG_SETTING as error:
        raise RecipeError(f"model.text.config: {_in_one_line(error)}") from error


def _tokenizer(section: ModelSection, source: EncoderSource | None):
    location = section.text.tokenizer or (source.location if source else None)
    if location is None:
        raise RecipeError("model.text.tokenizer is needed where model.text.pretrained is not given.")
    try:
        return AutoTokenizer.from_pretrained(location)
    except (OSError, ValueError) as error:
        raise PretrainedError(f"tokenizer {location}: cannot be loaded ({_first_line(error)}).") from error


def _check_tokenizer(tokenizer, section: ModelSection, text_config: PreTrainedConfig) -> None:
    vocabulary = getattr(text_config, "vocab_size", None)
    if vocabulary is not None and len(tokenizer) > vocabulary:
        raise RecipeError(
            f"model.text: the tokenizer has {len(tokenizer)} tokens, the text tower expects {vocabulary}; make "
            "model.text.tokenizer and the encoder agree."
        )
    longest = getattr(text_config, "max_position_embeddings", None)
    if longest is not None and section.text.max_tokens > longest:
        raise RecipeError(
            f"model.text.max_tokens is {section.text.max_tokens}, the text tower has positions for {longest}."
        )


def _feature_extractor(section: ModelSection, audio_config: PreTrainedConfig) -> AuricleFeatureExtractor:
    # As transformers has it, a feature extractor keeps unknown arguments as attributes, without effect.
    known = [name for name in inspect.signature(AuricleFeatureExtractor).parameters if name != "kwargs"]
    _refuse_unknown("model.front_end", section.front_end, known, AuricleFeatureExtractor)
    try:
        extractor = AuricleFeatureExtractor(**section.front_end)
    except WRONG_SETTING as error:
        raise RecipeError(f"model.front_end: {_in_one_line(error)}") from error
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
    pooled = {"add_pooling_layer": False} if getattr(model.text_model, "pooler", False) is None else {}
    encoder = _load_encoder(
        f"text encoder {name}",
        type(model.text_model),
        source.location,
        offline_hint(name),
        config=model.config.text_config,
        **pooled,
    )
    model.text_model.load_state_dict(encoder.state_dict(), strict=True)


def _load_audio_weights(model: AuricleModel, name: str) -> str:
    if Path(name).is_file():
        config = model.config.audio_config
        encoder, report = _load_published(config.model_type, name, _own_fields(config))
        model.audio_model.load_state_dict(encoder.state_dict(), strict=True)
        return f"{name}, SHA-256 {report.source_sha256}"
    encoder = _load_encoder(
        f"audio encoder {name}",
        AUDIO_MODELS[model.config.audio_config.model_type],
        name,
        config=model.config.audio_config,
        local_files_only=Path(name).is_dir(),
    )
    model.audio_model.load_state_dict(encoder.state_dict(), strict=True)
    weights = Path(name) / "model.safetensors"
    return f"{name}, SHA-256 {sha256_of(weights)}" if weights.is_file() else f"Hub {name}"


def _load_encoder(
    what: str, encoder_class: type[PreTrainedModel], location: str, hint: str = "", **options
) -> PreTrainedModel:
    """
    Loads pretrained weights, all of them.

    Raises:
        PretrainedError: if there are no weights, they do not fit, or some are missing: transformers would initialise
            those at random and only log it.
    """
    try:
        with quiet_loading():
            encoder, report = encoder_class.from_pretrained(
                location, dtype=torch.float32, output_loading_info=True, **options
            )
    except (OSError, RuntimeError, SafetensorError) as error:
        raise PretrainedError(f"{what}: cannot be loaded ({_first_line(error)}).{hint}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise PretrainedError(
            f"{what}: {len(missing)} weights are missing there, such as {', '.join(missing[:3])}; it is not the "
            f"encoder that the config describes."
        )
    return encoder


def _refuse_unknown(where: str, given: Iterable[str], known: Iterable[str], kind: type) -> None:
    for name in given:
        if name not in known:
            nearest = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(sorted(known))}."
            raise RecipeError(f"{where}.{name} is not a field of {kind.__name__}; {hint}")


def _first_line(error: Exception) -> str:
    return next(
        (line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), "no reason given"
    )


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
