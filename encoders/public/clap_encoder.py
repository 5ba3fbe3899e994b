"""CLAP models of the transformers library with the encoder interface."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from ..auricle_embedding import evaluation_mode
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

    kind = "CLAP model"
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
        with _global_random_state_kept():
            inputs = self.extractor(
                real_samples(waveforms, lengths), sampling_rate=self.sampling_rate, return_tensors="pt"
            )
        features = inputs["input_features"].to(self.model.device, self.model.dtype)
        is_longer = torch.zeros(len(features), 1, dtype=torch.bool, device=features.device)
        with evaluation_mode(self.model):
            rows = features_of(self.model.get_audio_features(input_features=features, is_longer=is_longer))
        return unit_vectors(rows)


@contextmanager
def _global_random_state_kept() -> Iterator[None]:
    """The fused extractor draws a number at each call, which would change what the caller draws next."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


__all__ = ["ClapEncoder"]
