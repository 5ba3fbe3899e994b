"""Auricle's dual encoder with the encoder interface."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from ..modeling import AuricleModel
from ..modeling.int8 import Int8Linear, Int8RowLinear, quantize_linear_layers
from ..processing import AuricleProcessor
from .auricle_checkpoint import ADAPTER_CONFIG, load_pretrained, load_processor
from .auricle_embedding import (
    embed_captions,
    embed_clips,
    embed_frames,
    evaluation_mode,
    frames_per_window,
    pool_windows,
    token_counts,
)
from .engines.auricle_towers import use_onnx_towers
from .engines.engine_names import ENGINES, lack_of_engine
from .engines.export_cache import exports_are_there
from .engines.kept_weights import keep_computed_weights
from .engines.known_fingerprints import files_of, known_fingerprint
from .engines.one_at_a_time import compute_one_at_a_time
from .engines.packed_linear import pack_linear_layers
from .engines.text_part import load_text_part
from .interface import AudioTextEncoder, EncoderError
from .model_fingerprint import count_parameters, model_fingerprint, text_fingerprint
from .model_source import license_of
from .settings.precision import HALF, INT8_FORM, PRECISIONS, compute_towers_in, of_int8

TEXTS_COUNTED_AT_A_TIME = 4096


class AuricleEncoder(AudioTextEncoder):
    """
    A dual encoder of this package, from a saved directory, an adapter, the Hub, or memory.

    A recording's vector is the projection of the mean over its segments, as in training. Clips may be given in any
    form that the processor takes.

    Args:
        model: on any device; in evaluation mode only while it embeds, so a training loop may use it.
        processor: the model's own.
        name: where it was loaded from.
        revision: commit of the Hub repository.
        license: license of the weights.
        tower_precision: "bfloat16" or "float16" lets both towers of this model compute in it from now on; see
            [`compute_towers_in`].
    """

    kind, batches_have_one_shape = "Auricle model", True
    precisions = PRECISIONS
    engines = ENGINES

    def __init__(
        self,
        model: AuricleModel,
        processor: AuricleProcessor,
        *,
        name: str = "",
        revision: str | None = None,
        license: str | None = None,
        tower_precision: str = "float32",
    ):
        self._tower_precision = tower_precision
        # Of the float32 model, where the layers are quantised.
        self._float32_fingerprints: tuple[str, str] | None = None
        self._int8_form = INT8_FORM
        self._known_fingerprint: str | None = None
        if tower_precision != "float32":
            compute_towers_in(tower_precision, model.audio_model, model.text_model)
        self.model, self.processor = model, processor
        self.name, self.revision, self.license = name, revision, license
        self.min_tail_seconds = processor.feature_extractor.min_tail_seconds
        self.max_text_tokens = min(processor.max_text_tokens, processor.tokenizer.model_max_length)

    @classmethod
    def recognizes(cls, directory: Path, model_type: str | None) -> bool:
        """Whether a directory contains a model of this class, by its files and the model type in ``config.json``."""
        return cls.directories_only(directory) or model_type == "auricle"

    @classmethod
    def directories_only(cls, directory: Path) -> bool:
        """Whether a directory contains only adapters."""
        return (directory / ADAPTER_CONFIG).is_file() and not (directory / "config.json").is_file()

    @classmethod
    def load(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        device: Any = None,
        precision: str = "float32",
        window_seconds: float | None = None,
    ) -> Self:
        """
        Loads a directory, an adapter's directory or a Hub id; arguments and errors as of [`load_encoder`].

        The window is part of the model: only its own length is accepted.
        """
        if precision not in cls.precisions:
            raise EncoderError(f"{name}: precision {precision!r} is not one of {', '.join(cls.precisions)}.")
        files = files_of(name)
        try:
            model, processor = load_pretrained(name, revision=revision)
        except ValueError as error:
            raise EncoderError(str(error)) from error
        commit = getattr(model.config, "_commit_hash", None)
        encoder = cls(
            model,
            processor,
            name=os.fspath(name),
            revision=commit,
            license=license_of(name, revision),
            tower_precision=precision if precision in HALF else "float32",
        )
        # Weights of adapters are in a second directory.
        encoder.loaded_files = None if cls.directories_only(Path(name)) else files
        if window_seconds not in (None, encoder.window_seconds):
            raise EncoderError(
                f"{name}: a window of {window_seconds:g} s is not accepted; this model's windows last "
                f"{encoder.window_seconds:g} s."
            )
        if precision == "int8":
            encoder._quantize()
        if device is None:
            # 8-bit layers run on the CPU.
            device = "cuda" if torch.cuda.is_available() and precision != "int8" else "cpu"
        keep_computed_weights(encoder.to(device).model)
        return encoder

    @classmethod
    def load_for_texts(cls, directory: Path, fingerprint: str) -> Self | None:
        """
        Loads only the text side, if the directory has not changed since its fingerprint was computed.

        Args:
            directory: directory of a saved model.
            fingerprint: expected fingerprint.

        Returns:
            The encoder, which cannot embed sounds; None if the whole model must be loaded.
        """
        if known_fingerprint(directory) != fingerprint:
            return None
        model = load_text_part(directory)
        if model is None:
            return None
        try:
            processor = load_processor(os.fspath(directory), None)
        except ValueError:
            return None
        encoder = cls(model, processor, name=os.fspath(directory))
        encoder._known_fingerprint = fingerprint
        return encoder

    @property
    def fingerprint(self) -> str:
        """See [`model_fingerprint`]; with the precision of the towers, if that is not float32."""
        if self._known_fingerprint is not None:
            return self._known_fingerprint
        if self._float32_fingerprints is not None:
            return of_int8(self._float32_fingerprints[0], self._int8_form)
        try:
            return self._in_its_precision(model_fingerprint(self.model, self.processor))
        except ValueError as error:
            raise EncoderError(f"{self.name or self.kind}: {error}") from error

    @property
    def text_fingerprint(self) -> str:
        """Fingerprint of the text tower, its pooling, tokenizer and caption normalisation, without the projection."""
        if self._float32_fingerprints is not None:
            return of_int8(self._float32_fingerprints[1], self._int8_form)
        return self._in_its_precision(text_fingerprint(self.model, self.processor))

    def _in_its_precision(self, fingerprint: str) -> str:
        if self._tower_precision == "float32":
            return fingerprint
        return hashlib.sha256(f"{fingerprint} towers in {self._tower_precision}".encode()).hexdigest()

    @property
    def precision(self) -> str:
        """ "int8" if linear layers are quantised, the towers' if that is half, else the type of the weights."""
        if any(isinstance(module, Int8Linear) for module in self.model.modules()):
            return "int8"
        if self._tower_precision != "float32":
            return self._tower_precision
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def sampling_rate(self) -> int:
        """The front end's sampling rate in Hz."""
        return self.processor.feature_extractor.sampling_rate

    @property
    def window_seconds(self) -> float:
        """A segment of the front end."""
        return self.processor.feature_extractor.segment_seconds

    @property
    def window_samples(self) -> int:
        """A segment of the front end."""
        return self.processor.feature_extractor.segment_samples

    @property
    def min_tail_samples(self) -> int:
        """The front end's ``min_tail_seconds`` in samples."""
        return self.processor.feature_extractor.min_tail_samples

    @property
    def embedding_dim(self) -> int:
        """The model's ``projection_dim``."""
        return self.model.config.projection_dim

    @property
    def matryoshka_dims(self) -> tuple[int, ...]:
        """The widths up to ``embedding_dim`` that the model's configuration names."""
        named = getattr(self.model.config, "matryoshka_dims", None) or ()
        return tuple(sorted((width for width in named if width <= self.embedding_dim), reverse=True))

    @property
    def pooled_text_dim(self) -> int:
        """The text tower's ``hidden_size``."""
        return self.model.config.text_config.hidden_size

    @property
    def num_parameters(self) -> int:
        """Number of parameters of both towers and their projections."""
        return count_parameters(self.model)

    @property
    def logit_scale(self) -> float:
        """``1 / temperature``."""
        return float(self.model.current_logit_scale("cpu"))

    @property
    def frame_seconds(self) -> float:
        """A window divided into frames of about half a second."""
        return self.window_seconds / frames_per_window(self.model.config.audio_config, self.window_seconds)

    @property
    def embeds_short_windows(self) -> bool:
        """
        True for PaSST, which accepts shorter spectrograms, and BEATs, which cuts off padding; EAT attends to padding.
        """
        return self.model.config.audio_config.model_type in ("auricle_passt", "auricle_beats")

    def to(self, device: Any) -> Self:
        """Moves the model to a device."""
        self.model.to(device)
        return self

    def _quantize(self) -> None:
        """
        Gives the towers 8-bit linear layers; the projections after them stay in float32.

        Windows and sentences are computed one at a time from then on: 8-bit activations of the audio tower share a
        scale a call. The text tower rounds by token: weights of published language models have few, large activations.
        """
        model = self.model
        self._float32_fingerprints = (
            model_fingerprint(model, self.processor),
            text_fingerprint(model, self.processor),
        )
        model.audio_model = quantize_linear_layers(model.audio_model)
        model.text_model = quantize_linear_layers(model.text_model, layer=Int8RowLinear)
        compute_one_at_a_time(model.audio_model)
        compute_one_at_a_time(model.text_model)

    @property
    def earlier_fingerprints(self) -> tuple[str, ...]:
        """Fingerprints of earlier forms of int8: form 1 rounded sentences with one scale per call."""
        own = self._float32_fingerprints
        return () if own is None or self._int8_form == 1 else (of_int8(own[0], 1),)

    def use_rounding_of(self, fingerprint: str) -> None:
        """See [`AudioTextEncoder.use_rounding_of`]."""
        if fingerprint not in self.earlier_fingerprints:
            return
        model, _ = load_pretrained(self.name, revision=self.revision)
        self.model.text_model = quantize_linear_layers(model.text_model)
        compute_one_at_a_time(self.model.text_model)
        self._int8_form = 1

    @property
    def ready_engines(self) -> tuple[str, ...]:
        """The engines, without "onnx" if this model was not exported yet."""
        if not lack_of_engine("onnx", self.precision, self.model.device) and exports_are_there(
            self.fingerprint
        ):
            return self.engines
        return tuple(name for name in self.engines if name != "onnx")

    def use_engine(self, engine: str) -> None:
        """
        See [`AudioTextEncoder.use_engine`]; the audio tower then computes its windows one at a time.

        Raises:
            EngineError: also if "onnx" has to export a tower, and cannot.
        """
        if engine == self.engine:
            return
        if self.engine != "torch" or engine not in self.engines:
            raise ValueError(f"engine {engine!r} is not one of {', '.join(self.engines)}.")
        if engine == "packed":
            pack_linear_layers(self.model)
        else:
            use_onnx_towers(self.model, self.processor, self.fingerprint, self.name or self.kind)
        compute_one_at_a_time(self.model.audio_model)
        self.engine = engine

    def prepare_texts(self, sentences: Sequence[str]) -> list[str]:
        """See [`AuricleProcessor.prepare_text`]."""
        return self.processor.prepare_text(list(sentences)) if len(sentences) else []

    def count_tokens(self, sentences: Sequence[str]) -> list[int]:
        """See [`AudioTextEncoder.count_tokens`]."""
        prepared, lengths = self.prepare_texts(sentences), []
        for start in range(0, len(prepared), TEXTS_COUNTED_AT_A_TIME):
            part = prepared[start : start + TEXTS_COUNTED_AT_A_TIME]
            lengths += token_counts(self.processor.tokenizer, part)
        return lengths

    def embed_texts(
        self, sentences: Sequence[str], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """See [`AudioTextEncoder.embed_texts`]."""
        return embed_captions(self.model, self.processor, sentences, batch_size=batch_size, progress=progress)

    def pool_texts(
        self, sentences: Sequence[str], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """The text tower's pooled output before the projection."""
        return embed_captions(
            self.model, self.processor, sentences, batch_size=batch_size, progress=progress, pooled=True
        )

    @torch.no_grad()
    def project_texts(self, pooled: np.ndarray) -> np.ndarray:
        """The model's text projection, and unit length."""
        rows = torch.from_numpy(pooled).to(self.model.device, self.model.dtype)
        return self.model.project_text(rows).float().cpu().numpy()

    def pieces(
        self, path: Any, *, offset: float = 0.0, duration: float | None = None
    ) -> Iterator[np.ndarray]:
        """Reads with the front end's settings for channels and resampling."""
        return self.processor.feature_extractor.pieces(path, offset=offset, duration=duration)

    def mix(self, samples: np.ndarray, *, name: str | None = None) -> np.ndarray:
        """Mixes with the front end's ``downmix``."""
        return self.processor.feature_extractor.mix(samples, name=name)

    def pool_windows(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """The audio tower's segment vectors before the projection; on a CPU one window at a time."""
        return pool_windows(self.model, self.processor.feature_extractor, waveforms, lengths)

    @torch.no_grad()
    def embed_short_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """See [`AudioTextEncoder.embed_short_windows`]; PaSST's patches cover only the given sound."""
        if self.model.config.audio_config.model_type != "auricle_passt":
            return super().embed_short_windows(waveforms)
        extractor = self.processor.feature_extractor
        lengths = [waveforms.shape[1]] * len(waveforms)
        inputs = extractor.encode(waveforms, lengths, [1] * len(lengths), None, self.model.device)
        with evaluation_mode(self.model):
            pooled = self.model.pool_audio(inputs["input_features"].to(self.model.device))
            return self.model.project_audio(pooled).float().cpu().numpy()

    def embed_frames(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """See [`AudioTextEncoder.embed_frames`]: means of the tower's columns of patches, projected."""
        return embed_frames(self.model, self.processor, waveforms, lengths, frame_seconds=self.frame_seconds)

    @torch.no_grad()
    def project_windows(self, pooled: np.ndarray) -> np.ndarray:
        """The model's audio projection, and unit length."""
        rows = torch.from_numpy(pooled).to(self.model.device, self.model.dtype)
        return self.model.project_audio(rows).float().cpu().numpy()

    def embed_clips(
        self,
        clips: Sequence[Any],
        *,
        batch_size: int = 16,
        progress: bool = False,
        description: str = "sounds",
        skip_unreadable: bool = False,
        num_workers: int = 0,
    ) -> tuple[np.ndarray, list[tuple[int, str]]]:
        """See [`AudioTextEncoder.embed_clips`]."""
        return embed_clips(
            self.model,
            self.processor,
            clips,
            batch_size=batch_size,
            progress=progress,
            description=description,
            skip_unreadable=skip_unreadable,
            num_workers=num_workers,
        )


__all__ = ["AuricleEncoder"]
