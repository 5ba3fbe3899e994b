"""Checks salsa's settings (sacred's ``hyper_parameters``): which of them these classes support."""

from collections.abc import Mapping
from typing import Any

from .key_plan import Checkpoint, ConversionError

TEXT_MODELS = (
    "roberta-base",
    "roberta-large",
    "distilroberta-base",
    "bert-base-uncased",
    "bert-large-uncased",
    "prajjwal1/bert-tiny",
    "prajjwal1/bert-mini",
    "prajjwal1/bert-small",
    "prajjwal1/bert-medium",
)
LONGEST_SECONDS = 30
# Setting, the only value that is supported, and what another one would be. Absent settings have that value: older
# versions of the publisher's code did not have them.
_FIXED: tuple[tuple[str, Any, str], ...] = (
    ("normalize", True, "similarities other than cosines"),
    ("audio_features.aggregate", "mean", "a clip's vector that is not the mean of its segments'"),
    ("audio_features.sequence_model.num_layers", 0, "a sequence model over the segments"),
    ("audio_features.adopt_n_layers", 0, "more than one layer between audio tower and shared space"),
    ("audio_features.model_config.return_sequence", False, "vectors of patches instead of segments"),
    ("audio_features.use_local_model", False, "windows of several lengths"),
    ("sentence_features.adopt_n_layers", 0, "more than one layer between text tower and shared space"),
    ("sentence_features.remove_punctuation", True, "captions with their punctuation"),
    ("audio_dataset.sample_rate", 32000, "another sampling rate than PaSST's"),
    ("use_keywords", False, "keywords in addition to the sound"),
    ("use_captions", False, "captions in addition to the sound"),
    ("ablate_audio_embedding", False, "a model without sound"),
    ("use_separate_metadata_embedding_model", False, "a second text model"),
)


def setting(settings: Mapping[str, Any], path: str, default: Any) -> Any:
    """The setting at a dotted path, or ``default`` where it is absent."""
    value: Any = settings
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return default
        value = value[name]
    return value


def check_salsa(checkpoint: Checkpoint) -> None:
    """
    Refuses a model that is not a PaSST, a RoBERTa or BERT, and one linear layer each.

    Raises:
        ConversionError: one line that names the setting, its value and what is supported.
    """
    settings, name = checkpoint.settings, checkpoint.name
    if not settings:
        raise ConversionError(
            f"{name}: has no hyper_parameters, which describe how salsa embeds captions and segments; give "
            "the whole checkpoint, not only its state_dict."
        )
    for path, only, what in _FIXED:
        value = setting(settings, path, only)
        if value != only:
            raise ConversionError(
                f"{name}: its setting {path} is {value!r} ({what}); only {only!r} is supported."
            )
    audio = str(setting(settings, "audio_features.model", "passt"))
    if not audio.startswith("passt"):
        raise ConversionError(
            f"{name}: its setting audio_features.model is {audio!r}; only PaSST ('passt', 'passt_s', ...) is "
            "supported."
        )
    text = setting(settings, "sentence_features.model", "roberta-large")
    if text not in TEXT_MODELS:
        raise ConversionError(
            f"{name}: its setting sentence_features.model is {text!r}; supported are {', '.join(TEXT_MODELS)}."
        )
    _check_segments(settings, name)


def _check_segments(settings: Mapping[str, Any], name: str) -> None:
    length = setting(settings, "audio_features.segment_length", 10)
    hop = setting(settings, "audio_features.hop_length", length)
    if not isinstance(length, int | float) or length <= 0 or LONGEST_SECONDS % length:
        raise ConversionError(
            f"{name}: its setting audio_features.segment_length is {length!r}; only a number of seconds that "
            f"divides {LONGEST_SECONDS} is supported."
        )
    if hop != length:
        raise ConversionError(
            f"{name}: its setting audio_features.hop_length is {hop!r} for segments of {length!r} s; only segments "
            "without overlap or gap are supported."
        )


__all__ = ["TEXT_MODELS", "check_salsa", "setting"]
