"""One callable for both modalities: sentences to tokens, sounds to log-mel segments."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin, Unpack

from .call_options import AuricleProcessorKwargs, split_keywords
from .caption_form import (
    NEWEST_CAPTION_NORMALIZATION,
    caption_normalization_of,
    check_caption_normalization,
    normalize_caption,
)
from .caption_normalizer import forget_last_call, with_caption_normalization
from .pickling_by_name import PicklingByName
from .segment_blocks import SegmentBlock
from .sound_file_names import looks_like_sound_file


class AuricleProcessor(ProcessorMixin, PicklingByName):
    r"""
    Wraps the feature extractor for sounds and the text tower's tokenizer for sentences.

    Args:
        feature_extractor: an [`AuricleFeatureExtractor`].
        tokenizer: the text tower's tokenizer.
        normalize_captions: older setting for ``caption_normalization``: True is ``"auricle-1"``, False is ``"none"``.
        max_text_tokens: limit of tokens of a sentence, with special tokens; longer ones are cut. Becomes the
            tokenizer's ``model_max_length``. If that is lowered later, the lower value applies.
        caption_normalization: name of the caption form, applied before tokenising: ``"auricle-2"`` (lower case, no
            punctuation, symbols or emoji; the default), ``"auricle-1"`` (lower case, no ASCII punctuation),
            ``"publisher"`` (the same, white space unchanged) or ``"none"``; see ``caption_form.py``. A copy of the
            tokenizer gets the same form, so that it tokenizes sentences as the processor does.

    Raises:
        ValueError: for an unknown ``caption_normalization``, or one that contradicts ``normalize_captions``.
    """

    _auto_class = "AutoProcessor"
    valid_processor_kwargs = AuricleProcessorKwargs
    text_kwargs = {"padding": True, "truncation": True, "return_tensors": "pt"}  # noqa: RUF012

    def __init__(
        self,
        feature_extractor: Any,
        tokenizer: Any,
        normalize_captions: bool | None = None,
        max_text_tokens: int = 32,
        caption_normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_extractor, tokenizer, **kwargs)
        if normalize_captions is not None:
            older = caption_normalization_of(normalize_captions)
            if caption_normalization not in (None, older):
                raise ValueError(
                    f"normalize_captions={normalize_captions} means caption_normalization={older!r}, but that is "
                    f"{caption_normalization!r}; give only caption_normalization."
                )
            caption_normalization = older
        self.caption_normalization = caption_normalization or NEWEST_CAPTION_NORMALIZATION
        self.max_text_tokens = max_text_tokens

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "max_text_tokens":  # what others, such as sentence-transformers, show and use as the limit
            self.tokenizer.model_max_length = value

    @property
    def caption_normalization(self) -> str:
        """Name of the caption form, applied before tokenising; setting it also changes the tokenizer."""
        return self._caption_normalization

    @caption_normalization.setter
    def caption_normalization(self, name: str) -> None:
        self._caption_normalization = check_caption_normalization(name)
        self.tokenizer = with_caption_normalization(self.tokenizer, name)

    @property
    def normalize_captions(self) -> bool:
        """Whether more than outer white space is removed; an older form of `caption_normalization`."""
        return self.caption_normalization != "none"

    @normalize_captions.setter
    def normalize_captions(self, value: bool) -> None:
        self.caption_normalization = caption_normalization_of(value)

    @classmethod
    def from_args_and_dict(cls, args, processor_dict: dict[str, Any], **kwargs):
        """As in the base class; processors that were saved without a caption form use ``"auricle-1"``."""
        given = {**processor_dict, **kwargs}
        if "caption_normalization" in given:
            # Saved for older versions only; a caller may choose another form.
            processor_dict = {
                key: value for key, value in processor_dict.items() if key != "normalize_captions"
            }
        elif "normalize_captions" not in given:
            processor_dict = {**processor_dict, "normalize_captions": True}
        return super().from_args_and_dict(args, processor_dict, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs):
        """As in the base class; the tokenizer is saved with this token limit and without the last call's padding."""
        limit = self.tokenizer.model_max_length
        forget_last_call(self.tokenizer)
        try:
            self.tokenizer.model_max_length = self.max_text_tokens
            return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
        finally:
            self.tokenizer.model_max_length = limit

    def to_dict(self) -> dict[str, Any]:
        """The content of ``processor_config.json``; ``normalize_captions`` is for older versions."""
        captions = {
            "caption_normalization": self.caption_normalization,
            "normalize_captions": self.normalize_captions,
        }
        return {**super().to_dict(), **captions}

    @property
    def model_input_names(self) -> list[str]:
        """Names of all fields that a call may return."""
        return [*self.tokenizer.model_input_names, *self.feature_extractor.model_input_names]

    def __call__(
        self,
        text: str | Iterable[str] | None = None,
        audio: Any = None,
        **kwargs: Unpack[AuricleProcessorKwargs],
    ) -> BatchFeature:
        """
        Model inputs of sentences, sounds or both.

        Args:
            text: a sentence or a sequence of sentences, none of them empty.
            audio: a sound or a sequence of sounds, see [`AuricleFeatureExtractor.__call__`].
            kwargs: ``sampling_rate``, the rate in Hz of bare arrays in ``audio``; ``return_tensors``, which is
                ``"pt"`` if not given, ``"np"``, or None for lists; keywords of the tokenizer, of which ``padding``
                and ``truncation`` are on by default and ``max_length`` is ``max_text_tokens``; and keywords of the
                feature extractor. Each may also be given in ``text_kwargs`` or ``audio_kwargs``, for one modality
                only, or in ``common_kwargs``. The tokenizer's own saved ``padding`` is used; its saved
                ``max_length`` is not, since most published encoders have another limit than the one the model was
                trained with.

        Returns:
            ``input_ids`` and ``attention_mask`` ``(captions, tokens)``, ``input_features``
            ``(segments, frames, mel bins)`` and ``segment_counts`` ``(clips,)``, for the given modalities.

        Raises:
            ValueError: if neither modality is given, a sentence is empty, not a string or the name of a sound file,
                or a keyword is unknown or given twice.
            AudioReadError: for a sound that cannot be read.
        """
        if text is None and audio is None:
            raise ValueError("nothing to process: give text, audio, or both.")
        for_text, for_audio = split_keywords(kwargs)
        data: dict[str, Any] = {}
        if text is not None:
            allow_file_names = bool(for_text.pop("allow_file_names", False))
            # sentence-transformers sets its max_seq_length there.
            limit = min(self.max_text_tokens, self.tokenizer.model_max_length)
            options = {**self.text_kwargs, "max_length": limit}
            saved = self.tokenizer.init_kwargs.get("padding")
            options |= {} if saved is None else {"padding": saved}
            # Generic callers pass explicit Nones, or only padding; the limit stays.
            options |= {key: value for key, value in for_text.items() if (key, value) != ("max_length", None)}
            data.update(self.tokenizer(self.prepare_text(text, allow_file_names=allow_file_names), **options))
        if audio is not None:
            data.update(self.feature_extractor(audio, **for_audio))
        return BatchFeature(data)

    def iter_segments(self, path: str | os.PathLike[str], **options: Any) -> Iterator[SegmentBlock]:
        """A long recording in blocks; arguments and errors as in the feature extractor's method."""
        return self.feature_extractor.iter_segments(path, **options)

    def prepare_text(self, text: str | Iterable[str], *, allow_file_names: bool = True) -> list[str]:
        """
        Prepares sentences for the tokenizer.

        Args:
            text: a sentence or a sequence of sentences.
            allow_file_names: accept the name of a sound file as a sentence, for example in a search for a title.

        Raises:
            ValueError: for an empty list, something that is not a string, a sentence without a word, or, unless
                allowed, the name of a sound file; the message gives its index.
        """
        if isinstance(text, bytes | Mapping) or not isinstance(text, Iterable):
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
                raise ValueError(f"text[{index}] is {sentence[:50]!r}: it contains no words to search for.")
            if not allow_file_names and looks_like_sound_file(sentence):
                raise ValueError(
                    f"text[{index}] is {sentence[-80:]!r}, the name of a sound file: it would be embedded as "
                    "words. Give sounds as audio=...; to sentence-transformers, as a dict with 'array' and "
                    "'sampling_rate'. If it is meant as a sentence, end it with a full stop, or pass "
                    "allow_file_names=True."
                )
            prepared.append(words)
        return prepared


__all__ = ["AuricleProcessor", "normalize_caption"]
