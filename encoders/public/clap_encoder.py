"""CLAP models of the transformers library with the encoder interface."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from ..auricle_embedding import evaluation_mode
from ..engines.engine_names import EngineError, lack_of_engine
from ..engines.export_cache import any_exports, export_directory, exports_are_there
from ..engines.one_at_a_time import compute_one_at_a_time
from ..engines.onnx_engine import run_by_onnx
from ..interface import EncoderError
from ..model_source import license_of
from .transformers_encoder import (
    TransformersEncoder,
    checked_precision,
    chosen_device,
    features_of,
    load_parts,
    real_samples,
    unit_vectors,
)


class ClapEncoder(TransformersEncoder):
    """
    LAION's contrastive language-audio models, unfused and fused (Wu et al., 2023, arXiv:2211.06687).

    The feature extractor crops longer sounds at random, and a fused one draws a sound of each batch that it calls
    long. Nothing is random here: a window is at most the extractor's own length, 10 s, is padded by the
    checkpoint's rule (``repeatpad``: repeated as often as it fits whole, then silence), and is never called long.

    ``logit_scale`` is the one for sounds against sentences, as in zero-shot classification.
    """

    kind, batches_have_one_shape = "CLAP model", True
    engines = ("torch", "packed", "onnx")
    # The length that LAION trained with; positions would allow more.
    text_limit = 77

    @classmethod
    def recognizes(cls, directory: Path, model_type: str | None) -> bool:
        """Whether the model type in a directory's ``config.json`` is CLAP's."""
        return model_type == "clap"

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
        """Loads a directory or a Hub id; arguments and errors as of [`load_encoder`]."""
        from transformers import ClapModel

        name = os.fspath(name)
        dtype = checked_precision(name, precision)
        try:
            model, tokenizer, extractor = load_parts(name, ClapModel, revision=revision, dtype=dtype)
        except ValueError as error:
            raise EncoderError(str(error)) from error
        if extractor.truncation == "fusion" and not model.config.audio_config.enable_fusion:
            raise EncoderError(
                f"{name}: preprocessor_config.json makes inputs of a fused model (truncation 'fusion'), and "
                "config.json is of an unfused one (enable_fusion false)."
            )
        encoder = cls(
            model,
            tokenizer,
            extractor,
            window_seconds=window_seconds,
            name=name,
            revision=revision,
            license=license_of(name, revision),
        )
        return encoder.to(chosen_device(device))

    @property
    def ready_engines(self) -> tuple[str, ...]:
        """The engines, without "onnx" if this model was not exported yet."""
        can_export = not self.model.config.audio_config.enable_fusion
        can_export = can_export and lack_of_engine("onnx", self.precision, self.model.device) is None
        # The fingerprint takes time.
        if can_export and any_exports() and exports_are_there(self.fingerprint):
            return self.engines
        return tuple(name for name in self.engines if name != "onnx")

    def use_engine(self, engine: str) -> None:
        """
        See [`AudioTextEncoder.use_engine`]; with "onnx" the audio tower computes its windows one at a time.

        Raises:
            EngineError: if "onnx" has to export a tower, and cannot; or for a fused model, which chooses its layers by
                the input.
        """
        if engine != "onnx" or self.engine != "torch":
            super().use_engine(engine)
            return
        if self.model.config.audio_config.enable_fusion:
            lack = "a fused model chooses its layers by the input, so it cannot be exported"
            raise EngineError(self.name or self.kind, engine, lack)
        fingerprint, inputs = self.fingerprint, self._two_of_each()
        captions, tokens = torch.export.Dim("captions", min=1), torch.export.Dim("tokens", min=2, max=512)
        axes = {"audio": {0: torch.export.Dim("windows", min=1)}, "text": {0: captions, 1: tokens}}
        for tower, given in inputs.items():
            model = getattr(self.model, f"{tower}_model")
            shapes = dict.fromkeys(given, axes[tower])
            run_by_onnx(
                model, given, shapes, export_directory(fingerprint, tower), name=self.name or self.kind
            )
        compute_one_at_a_time(self.model.audio_model)
        self.engine = engine

    def _two_of_each(self) -> dict[str, dict[str, torch.Tensor]]:
        """Two windows and two sentences as inputs of the towers."""
        noise = 0.1 * np.random.default_rng(0).standard_normal((2, self.window_samples)).astype(np.float32)
        features = self._features(noise, [self.window_samples] * 2)
        sentences = self.tokenizer(
            ["rain", "waves break on a stony beach while gulls cry far away"],
            padding=True,
            return_tensors="pt",
        )
        return {
            "audio": {"input_features": features, "is_longer": _never_longer(features)},
            "text": {name: sentences[name] for name in ("input_ids", "attention_mask")},
        }

    def _features(self, waveforms: np.ndarray, lengths: Sequence[int]) -> torch.Tensor:
        with _global_random_state_kept():
            inputs = self.extractor(
                real_samples(waveforms, lengths), sampling_rate=self.sampling_rate, return_tensors="pt"
            )
        return inputs["input_features"].to(self.model.device, self.model.dtype)

    @property
    def longest_window_seconds(self) -> float:
        """The extractor's length."""
        return self.extractor.nb_max_samples / self.extractor.sampling_rate

    @property
    def embedding_dim(self) -> int:
        """The model's ``projection_dim``."""
        return self.model.config.projection_dim

    @property
    def logit_scale(self) -> float:
        """Of sounds against sentences."""
        return float(self.model.logit_scale_a.detach().float().exp())

    def _text_positions(self) -> int:
        # Positions start after the padding index, as in RoBERTa.
        text = self.model.config.text_config
        return text.max_position_embeddings - (text.pad_token_id or 0) - 1

    def _text_rows(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return features_of(
            self.model.get_text_features(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            )
        )

    @torch.no_grad()
    def pool_windows(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """Unit vectors."""
        features = self._features(waveforms, lengths)
        with evaluation_mode(self.model):
            rows = self.model.get_audio_features(input_features=features, is_longer=_never_longer(features))
        return unit_vectors(features_of(rows))


def _never_longer(features: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(features), 1, dtype=torch.bool, device=features.device)


@contextmanager
def _global_random_state_kept() -> Iterator[None]:
    """The fused extractor draws a number at each call, which would change what the caller draws next."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


__all__ = ["ClapEncoder"]
