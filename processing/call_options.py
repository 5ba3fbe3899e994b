"""The keywords of a processor's call, and their division into those for sounds and those for sentences."""

from collections.abc import Mapping
from typing import Any

from transformers.processing_utils import AudioKwargs, ProcessingKwargs, TextKwargs


class AuricleTextKwargs(TextKwargs, total=False):
    """
    Keywords for sentences: those of tokenizers, and this project's.

    Attributes:
        allow_file_names: accept a sentence that looks like the name of a sound file.
    """

    allow_file_names: bool | None


class AuricleAudioKwargs(AudioKwargs, total=False):
    """
    Keywords for sounds: those of feature extractors, and this project's; see [`AuricleFeatureExtractor.__call__`].

    Attributes:
        segment_seconds: another segment length.
        mel_ranges: ``(fmin, fmax)`` in Hz for each clip.
    """

    segment_seconds: float | None
    mel_ranges: list[tuple[float, float]] | None


class AuricleProcessorKwargs(ProcessingKwargs, total=False):
    """Keywords of [`AuricleProcessor.__call__`], flat or within ``text_kwargs`` and ``audio_kwargs``."""

    text_kwargs: AuricleTextKwargs
    audio_kwargs: AuricleAudioKwargs


TEXT_KEYWORDS = frozenset({*TextKwargs.__annotations__, *AuricleTextKwargs.__annotations__})
AUDIO_KEYWORDS = frozenset({*AudioKwargs.__annotations__, *AuricleAudioKwargs.__annotations__})
# Callers that serve all models pass these always.
_OTHER_MODALITIES = ("images_kwargs", "videos_kwargs")
_FOR_OTHERS = frozenset(ProcessingKwargs.__annotations__) - {
    "text_kwargs",
    "audio_kwargs",
    *_OTHER_MODALITIES,
}


def split_keywords(keywords: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    The keywords of one call, sorted by modality.

    Args:
        keywords: flat ones, and ``text_kwargs``, ``audio_kwargs`` and ``common_kwargs``, each a dict or None.
            Flat ones override ``common_kwargs``.

    Returns:
        Keywords for sentences and keywords for sounds.

    Raises:
        ValueError: for an unknown keyword, or one that is given both directly and in a modality's dict.
    """
    flat = dict(keywords)
    nested = {name: dict(flat.pop(name, None) or {}) for name in ("text_kwargs", "audio_kwargs")}
    common = dict(flat.pop("common_kwargs", None) or {})
    for name in (*_OTHER_MODALITIES, *_FOR_OTHERS):
        flat.pop(name, None)
    for name, given in nested.items():
        for key in sorted(given.keys() & flat.keys()):
            raise ValueError(f"{key!r} is given twice: as a separate keyword and within {name}.")
    unknown = (flat.keys() | common.keys()) - TEXT_KEYWORDS - AUDIO_KEYWORDS
    if unknown:
        raise ValueError(f"unknown arguments {sorted(unknown)} for AuricleProcessor.")
    shared = {**common, **flat}
    text, audio = (
        {**{key: value for key, value in shared.items() if key in known}, **nested[name]}
        for name, known in (("text_kwargs", TEXT_KEYWORDS), ("audio_kwargs", AUDIO_KEYWORDS))
    )
    return text, audio


__all__ = ["AUDIO_KEYWORDS", "TEXT_KEYWORDS", "AuricleProcessorKwargs", "split_keywords"]
