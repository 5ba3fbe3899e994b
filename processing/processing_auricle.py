"""One callable for both modalities: sentences to tokens, sounds to log-mel segments."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .caption_form import (
    NEWEST_CAPTION_NORMALIZATION,
    caption_normalization_of,
    check_caption_normalization,
    normalize_caption,
)
from .caption_normalizer import forget_last_call, with_caption_normalization
from .segment_blocks import SegmentBlock


class AuricleProcessor(ProcessorMixin):
    r"""
    Wraps the feature extractor for sounds and the text tower's tokenizer for sentences.

    Args:
        feature_extractor: an [`AuricleFeatureExtractor`].
        tokenizer: the text tower's tokenizer.
        normalize_captions: the old form of ``caption_normalization``: True is ``"auricle-1"``, False ``"none"``.
        max_text_tokens: longer sentences are cut to so many tokens, special ones included.
        caption_normalization: what is done to sentences before tokenising, by name: ``"auricle-2"`` (lower case, no
            punctuation, symbols or emoji; the default), ``"auricle-1"`` (lower case, no ASCII punctuation),
            ``"publisher"`` (the same, white space left alone) or ``"none"``; see ``caption_form.py``. The
            tokenizer is given it too, in a copy, so that it does by itself what the processor does.

    Raises:
        ValueError: for an unknown ``caption_normalization``, or one that ``normalize_captions`` contradicts.
    """

    _auto_class = "AutoProcessor"

    def __init__(
        self,
        feature_extractor,
        tokenizer,
        normalize_captions: bool | None = None,
        max_text_tokens: int = 32,
        caption_normalization: str | None = None,
        **kwargs,
    ):
        super().__init__(feature_extractor, tokenizer, **kwargs)
        if normalize_captions is not None:
            older = caption_normalization_of(normalize_captions)
            if caption_normalization not in (None, older):
                raise ValueError(
                    f"normalize_captions={normalize_captions} means caption_normalization={older!r}, but that is "
                    f"{caption_normalization!r}; give caption_normalization alone."
                )
            caption_normalization = older
        self.caption_normalization = caption_normalization or NEWEST_CAPTION_NORMALIZATION
        self.max_text_tokens = max_text_tokens

    @property
    def caption_normalization(self) -> str:
        """What is done to sentences before tokenising, by name; setting it changes the tokenizer as well."""
        return self._caption_normalization

    @caption_normalization.setter
    def caption_normalization(self, name: str) -> None:
        self._caption_normalization = check_caption_normalization(name)
        self.tokenizer = with_caption_normalization(self.tokenizer, name)

    @property
    def normalize_captions(self) -> bool:
        """Whether anything but outer white space is removed; the old form of `caption_normalization`."""
        return self.caption_normalization != "none"

    @normalize_captions.setter
    def normalize_captions(self, value: bool) -> None:
        self.caption_normalization = caption_normalization_of(value)

    @classmethod
    def from_args_and_dict(cls, args, processor_dict: dict[str, Any], **kwargs):
        """As the base class; what was saved without a word about captions normalised them as ``"auricle-1"``."""
        given = {**processor_dict, **kwargs}
        if "caption_normalization" in given:
            # Saved for older versions only, and beside it a caller may choose another form.
            processor_dict = {
                key: value for key, value in processor_dict.items() if key != "normalize_captions"
            }
        elif "normalize_captions" not in given:
            processor_dict = {**processor_dict, "normalize_captions": True}
        return super().from_args_and_dict(args, processor_dict, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs):
        """As the base class; the tokenizer is saved with this limit of tokens, without the last call's padding."""
        limit = self.tokenizer.model_max_length
        forget_last_call(self.tokenizer)
        try:
            self.tokenizer.model_max_length = self.max_text_tokens
            return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
        finally:
            self.tokenizer.model_max_length = limit

    def to_dict(self) -> dict[str, Any]:
        """What ``processor_config.json`` holds; ``normalize_captions`` for versions that know no other form."""
        captions = {
            "caption_normalization": self.caption_normalization,
            "normalize_captions": self.normalize_captions,
        }
        return {**super().to_dict(), **captions}

    @property
    def model_input_names(self) -> list[str]:
        """Names of everything that a call may return."""
        return [*self.tokenizer.model_input_names, *self.feature_extractor.model_input_names]

    def __call__(
        self,
        text: str | list[str] | None = None,
        audio: Any = None,
        sampling_rate: int | None = None,
        return_tensors: str | None = "pt",
        text_kwargs: dict[str, Any] | None = None,
        audio_kwargs: dict[str, Any] | None = None,
        common_kwargs: dict[str, Any] | None = None,
        images_kwargs: dict[str, Any] | None = None,
        videos_kwargs: dict[str, Any] | None = None,
        **kwargs,
    ) -> BatchFeature:
        """
        Model inputs of sentences, sounds or both.

        Args:
            text: a sentence or a list of sentences, none of them empty.
            audio: a sound or a list of sounds, see [`AuricleFeatureExtractor.__call__`].
            sampling_rate: rate in Hz of bare arrays in ``audio``.
            return_tensors: ``"pt"``, ``"np"`` or None for lists.
            text_kwargs: for the tokenizer only.
            audio_kwargs: for the feature extractor only.
            common_kwargs, kwargs: for both; only the tokenizer heeds ``padding`` and ``truncation``.
            images_kwargs, videos_kwargs: taken for the sake of callers that pass them always; unused.

        Returns:
            ``input_ids`` and ``attention_mask`` ``(captions, tokens)``, ``input_features``
            ``(segments, frames, mel bins)`` and ``segment_counts`` ``(clips,)``, as far as asked for.

        Raises:
            ValueError: if neither is given, or a sentence is empty or not a string.
            AudioReadError: for a sound that cannot be read.
        """
        if text is None and audio is None:
            raise ValueError("nothing to process: give text, audio, or both.")
        common = {**(common_kwargs or {}), **kwargs}
        return_tensors = common.pop("return_tensors", return_tensors)
        data: dict[str, Any] = {}
        if text is not None:
            options = {"padding": True, "truncation": True, "max_length": self.max_text_tokens}
            options |= {**common, **(text_kwargs or {}), "return_tensors": return_tensors}
            # Generic callers pass explicit Nones and padding alone; our limit must survive them.
            if options.get("max_length") is None:
                options["max_length"] = self.max_text_tokens
            data.update(self.tokenizer(self.prepare_text(text), **options))
        if audio is not None:
            options = {"sampling_rate": sampling_rate, **common, **(audio_kwargs or {})}
            options["return_tensors"] = return_tensors
            data.update(self.feature_extractor(audio, **options))
        return BatchFeature(data)

    def iter_segments(self, path: str | os.PathLike[str], **options) -> Iterator[SegmentBlock]:
        """A long recording block by block; arguments and errors as of the feature extractor's method."""
        return self.feature_extractor.iter_segments(path, **options)

    def prepare_text(self, text: str | list[str]) -> list[str]:
        """
        Sentences as the tokenizer gets them.

        Raises:
            ValueError: for an empty list, something that is not a string, or a sentence without a word; the
                message names its place.
        """
        if isinstance(text, bytes) or not isinstance(text, Iterable):
            raise ValueError(f"text is a {type(text).__name__}, but must be a string or a list of strings.")
        sentences = [text] if isinstance(text, str) else list(text)
        if not sentences:
            raise ValueError("text is an empty list; give at least one sentence.")
        prepared = []
        for index, sentence in enumerate(sentences):
            if not isinstance(sentence, str):
                raise ValueError(f"text[{index}] is a {type(sentence).__name__}, but must be a string.")
            words = normalize_caption(sentence, self.caption_normalization)
            if not words.strip():
                raise ValueError(f"text[{index}] is {sentence[:50]!r}: it holds no word to search for.")
            prepared.append(words)
        return prepared


__all__ = ["AuricleProcessor", "normalize_caption"]
