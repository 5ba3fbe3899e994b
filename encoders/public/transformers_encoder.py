"""Shared code of encoders for models of the transformers library."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from tqdm.auto import tqdm

from ..auricle_embedding import evaluation_mode
from ..checkpoint_faults import check_complete, named_fault, quiet_loading
from ..engines.packed_linear import pack_linear_layers
from ..interface import AudioTextEncoder, EncoderError, unit_rows
from .library_fingerprint import (
    config_settings,
    count_parameters,
    extractor_settings,
    library_fingerprint,
    tokenizer_settings,
)

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Shorter windows contain too little sound, and the first layers of some models fail on fewer samples.
SHORTEST_WINDOW_SECONDS = 0.1
# A shorter remainder at a recording's end carries little, but would weigh as much as a whole window.
MIN_TAIL_SECONDS = 1.0


class TransformersEncoder(AudioTextEncoder):
    """
    A model of the transformers library with its tokenizer and feature extractor.

    A subclass defines how a batch of sentences and a batch of windows are embedded ([`_text_rows`], [`pool_windows`]).
    Pooled rows are unit vectors: a recording's vector is the normalised mean of its windows'.

    Args:
        model: on any device; in evaluation mode only while it embeds, so a training loop may use it.
        tokenizer: the model's own.
        extractor: the model's own feature extractor.
        window_seconds: length of a window; None is ``longest_window_seconds`` or what the class chooses.
        name: where it was loaded from.
        revision: commit of the Hub repository.
        license: license of the weights.

    Raises:
        EncoderError: for a window that is not from 0.1 s up to what the model takes.
    """

    precisions: ClassVar[tuple[str, ...]] = tuple(PRECISIONS)
    engines: ClassVar[tuple[str, ...]] = ("torch", "packed")
    # Tokens of a sentence at most, where neither tokenizer nor positions say less.
    text_limit: ClassVar[int] = 512

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        extractor: Any,
        *,
        window_seconds: float | None = None,
        name: str = "",
        revision: str | None = None,
        license: str | None = None,
    ):
        self.model, self.tokenizer, self.extractor = model, tokenizer, extractor
        self.name, self.revision, self.license = name, revision, license
        self._window_seconds = checked_window(
            name or self.kind, window_seconds, self.default_window_seconds, self.longest_window_seconds
        )
        self.min_tail_seconds = min(MIN_TAIL_SECONDS, self._window_seconds / 2)
        self.max_text_tokens = min(self.text_limit, tokenizer.model_max_length, self._text_positions())

    @property
    def longest_window_seconds(self) -> float:
        """The longest sound that the model takes, in seconds."""
        raise NotImplementedError

    @property
    def default_window_seconds(self) -> float:
        """Default length of a window."""
        return self.longest_window_seconds

    def _text_positions(self) -> int:
        return self.model.config.text_config.max_position_embeddings

    def _text_rows(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Rows ``(sentences, embedding_dim)`` of tokenised sentences."""
        raise NotImplementedError

    def _settings(self) -> dict[str, Any]:
        """All that vectors depend on but the weights."""
        return {
            "kind": type(self).__name__,
            "model": config_settings(self.model.config),
            "extractor": extractor_settings(self.extractor),
            "tokenizer": tokenizer_settings(self.tokenizer),
            "window_samples": self.window_samples,
            "min_tail_samples": self.min_tail_samples,
            "max_text_tokens": self.max_text_tokens,
        }

    @property
    def fingerprint(self) -> str:
        """Of weights, precision, preprocessing, windows, tokenizer and text limit."""
        return library_fingerprint(self._settings(), self.model.state_dict())

    @property
    def num_parameters(self) -> int:
        """Of the whole model."""
        return count_parameters(self.model)

    @property
    def precision(self) -> str:
        """The type of the weights."""
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def sampling_rate(self) -> int:
        """Hz, of the feature extractor."""
        return self.extractor.sampling_rate

    @property
    def window_seconds(self) -> float:
        """As chosen at loading, or the model's own."""
        return self._window_seconds

    def to(self, device: Any) -> Self:
        """Moves the model to a device."""
        self.model.to(device)
        return self

    def use_engine(self, engine: str) -> None:
        """See [`AudioTextEncoder.use_engine`]; "packed" packs the linear layers of the whole model."""
        use_packed_layers(self, self.model, engine)

    def prepare_texts(self, sentences: Sequence[str]) -> list[str]:
        """
        Sentences unchanged, without white space at the ends.

        Raises:
            ValueError: for a sentence without a letter or digit.
        """
        return [prepared_sentence(sentence) for sentence in sentences]

    def embed_texts(
        self, sentences: Sequence[str], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """See [`AudioTextEncoder.embed_texts`]."""
        prepared = self.prepare_texts(sentences)
        distinct = sorted(set(prepared), key=lambda text: (len(text), text))
        vectors: dict[str, np.ndarray] = {}
        starts = range(0, len(distinct), batch_size)
        for start in tqdm(starts, desc="captions", unit="batch", disable=not progress):
            part = distinct[start : start + batch_size]
            inputs = self.tokenizer(
                part, padding=True, truncation=True, max_length=self.max_text_tokens, return_tensors="pt"
            )
            with torch.no_grad(), evaluation_mode(self.model):
                rows = self._text_rows(inputs.to(self.model.device))
            vectors.update(zip(part, finite_rows(unit_vectors(rows), self), strict=True))
        rows = np.array([vectors[text] for text in prepared], dtype=np.float32)
        return rows.reshape(-1, self.embedding_dim)


def use_packed_layers(encoder: AudioTextEncoder, model: torch.nn.Module, engine: str) -> None:
    """
    Sets the engine of an encoder that has "torch" and "packed".

    Args:
        encoder: encoder of the model.
        model: float32, on the CPU, if the engine is "packed".
        engine: "torch" or "packed"; what is packed stays so.

    Raises:
        ValueError: for another engine, or a model that cannot be packed.
    """
    if engine == "packed" and encoder.engine == "torch":
        pack_linear_layers(model)
        encoder.engine = engine
    elif engine != encoder.engine:
        raise ValueError(f"engine {engine!r} is not one of {', '.join(encoder.engines)}.")


def load_parts(
    name: str, model_class: Any, *, revision: str | None, dtype: torch.dtype, config: Any = None
) -> tuple[Any, Any, Any]:
    """
    A model in evaluation mode, its tokenizer and its feature extractor.

    Args:
        name: directory or Hub id.
        model_class: model class of the transformers library.
        revision: branch, tag or commit of the Hub repository.
        dtype: type of the weights.
        config: the model's, if it is not the one in ``config.json``.

    Raises:
        ValueError: if a part cannot be loaded, or the weights do not fit the model; the message names the part.
    """
    from transformers import AutoFeatureExtractor, AutoTokenizer

    with named_fault(name, "feature extractor"):
        extractor = AutoFeatureExtractor.from_pretrained(name, revision=revision)
    with named_fault(name, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
        check_vocabulary(tokenizer)
    with named_fault(name, "weights"), quiet_loading():
        model, report = model_class.from_pretrained(
            name,
            revision=revision,
            dtype=dtype,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **({} if config is None else {"config": config}),
        )
    check_complete(name, report)
    return model.eval(), tokenizer, extractor


def checked_window(name: str, chosen: float | None, default: float, longest: float) -> float:
    """
    The length of a window in seconds.

    Raises:
        EncoderError: if the chosen one is not from 0.1 s up to the longest; the message names both.
    """
    seconds = default if chosen is None else float(chosen)
    if not (SHORTEST_WINDOW_SECONDS <= seconds <= longest and math.isfinite(seconds)):
        upper = f"from {SHORTEST_WINDOW_SECONDS:g} to {longest:g} s"
        if longest == math.inf:
            upper = f"from {SHORTEST_WINDOW_SECONDS:g} s"
        raise EncoderError(
            f"{name}: a window of {seconds:g} s is not accepted; the model takes windows {upper}."
        )
    return seconds


def checked_precision(name: str, precision: str, allowed: Sequence[str] = tuple(PRECISIONS)) -> torch.dtype:
    """
    The type that a precision means.

    Raises:
        EncoderError: for a precision that is not allowed; the message lists those that are.
    """
    if precision not in allowed:
        raise EncoderError(f"{name}: precision {precision!r} is not one of {', '.join(allowed)}.")
    return PRECISIONS[precision]


def check_vocabulary(tokenizer: Any) -> None:
    """
    Raises:
        ValueError: if a tokenizer has only special tokens, because its vocabulary file is missing: every
            sentence would become unknown words.
    """
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise ValueError("it has no words; a file is missing")


def chosen_device(device: Any) -> Any:
    """A device, or if none was chosen the GPU if there is one."""
    return device if device is not None else "cuda" if torch.cuda.is_available() else "cpu"


def prepared_sentence(sentence: str) -> str:
    """
    A sentence without white space at its ends.

    Raises:
        ValueError: if it contains no letter or digit.
    """
    if not any(letter.isalnum() for letter in sentence):
        raise ValueError(f"{sentence!r}: contains no words to embed.")
    return sentence.strip()


def real_samples(waveforms: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
    """Windows without their padding, float32 ``(samples,)`` each."""
    return [
        np.asarray(row[:length], dtype=np.float32) for row, length in zip(waveforms, lengths, strict=True)
    ]


def features_of(output: Any) -> torch.Tensor:
    """The result of ``get_*_features``: a tensor before transformers 5, now an output object that contains it."""
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def finite_rows(rows: np.ndarray, encoder: AudioTextEncoder) -> np.ndarray:
    """
    The same rows.

    Raises:
        EncoderError: if a number among them is not finite, as half precision may cause.
    """
    if not np.isfinite(rows).all():
        raise EncoderError(
            f"{encoder.name or encoder.kind}: its numbers overflow in {encoder.precision}; take another precision."
        )
    return rows


def unit_vectors(rows: torch.Tensor) -> np.ndarray:
    """Rows on any device and of any type as unit vectors, float32."""
    return unit_rows(rows.float().cpu().numpy())


__all__ = [
    "PRECISIONS",
    "TransformersEncoder",
    "check_vocabulary",
    "checked_precision",
    "checked_window",
    "chosen_device",
    "features_of",
    "finite_rows",
    "load_parts",
    "prepared_sentence",
    "real_samples",
    "unit_vectors",
]
