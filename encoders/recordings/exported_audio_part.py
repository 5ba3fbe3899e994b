"""Embeds sounds by a model's exported audio tower, without the model and without transformers' model classes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ...processing.feature_extraction_auricle import AuricleFeatureExtractor
from ..engines.engine_names import lack_of_engine
from ..engines.export_cache import GRAPH, export_directory
from ..engines.known_fingerprints import known_fingerprint
from ..engines.onnx_session import open_session
from ..interface import AudioTextEncoder, EncoderError
from ..model_source import read_model_type

WEIGHTS = "model.safetensors"
_PROJECTION = ("audio_projection.weight", "audio_projection.bias")


class ExportedAudioPart(AudioTextEncoder):
    """
    The sound side of an Auricle model with the engine "onnx", for an update of an index.

    It gives the vectors of the whole model with that engine bit by bit, and starts faster (docs/engines.md). It has
    neither sentences nor frames.

    Args:
        session: ONNX Runtime session of the audio tower.
        extractor: the model's own.
        weight, bias: of the audio projection, float32 ``(projection_dim, hidden_size)`` and ``(projection_dim,)``.
        fingerprint: fingerprint of the model.
        name: directory of the model.

    Raises:
        ValueError: if the graph's inputs or outputs are not those of an audio tower.
    """

    kind = "audio part of an Auricle model"
    engine, engines = "onnx", ("onnx",)

    def __init__(
        self,
        session: Any,
        extractor: AuricleFeatureExtractor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        *,
        fingerprint: str,
        name: str,
    ):
        self._session, self._extractor = session, extractor
        self._names = [entry.name for entry in session.get_inputs()]
        if not set(self._names) <= set(extractor.model_input_names):
            raise ValueError(
                f"{name}: the exported tower takes {self._names}, which its front end does not give."
            )
        self._pooled = [entry.name for entry in session.get_outputs()].index("pooler_output")
        self._weight, self._bias = weight, bias
        self._fingerprint, self.name = fingerprint, name
        self.min_tail_seconds = extractor.min_tail_seconds

    @property
    def fingerprint(self) -> str:
        """Of the whole model."""
        return self._fingerprint

    @property
    def precision(self) -> str:
        """Always "float32"."""
        return "float32"

    @property
    def sampling_rate(self) -> int:
        """The front end's sampling rate in Hz."""
        return self._extractor.sampling_rate

    @property
    def window_seconds(self) -> float:
        """A segment of the front end."""
        return self._extractor.segment_seconds

    @property
    def window_samples(self) -> int:
        """A segment of the front end."""
        return self._extractor.segment_samples

    @property
    def min_tail_samples(self) -> int:
        """The front end's ``min_tail_seconds`` in samples."""
        return self._extractor.min_tail_samples

    @property
    def embedding_dim(self) -> int:
        """The model's ``projection_dim``."""
        return len(self._weight)

    def prepare_texts(self, sentences: Sequence[str]) -> list[str]:
        """
        Raises:
            EncoderError: always.
        """
        raise EncoderError(
            f"{self.name}: only the audio tower was loaded; load the whole model for sentences."
        )

    def embed_texts(
        self, sentences: Sequence[str], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """
        Raises:
            EncoderError: always.
        """
        raise EncoderError(
            f"{self.name}: only the audio tower was loaded; load the whole model for sentences."
        )

    def pieces(self, path: Any, *, offset: float = 0.0, duration: float | None = None) -> Any:
        """Reads with the front end's settings for channels and resampling."""
        return self._extractor.pieces(path, offset=offset, duration=duration)

    def mix(self, samples: np.ndarray, *, name: str | None = None) -> np.ndarray:
        """Mixes with the front end's ``downmix``."""
        return self._extractor.mix(samples, name=name)

    def pool_windows(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """The audio tower's segment vectors before the projection, one window a call."""
        real = self._extractor.at_least_shortest(lengths)
        inputs = self._extractor.encode(waveforms, real, [1] * len(real), None, "cpu")
        feeds = {name: inputs[name].numpy() for name in self._names}
        rows = [
            self._session.run(None, {name: value[place : place + 1] for name, value in feeds.items()})
            for place in range(len(real))
        ]
        return np.concatenate([row[self._pooled] for row in rows])

    @torch.no_grad()
    def project_windows(self, pooled: np.ndarray) -> np.ndarray:
        """The model's audio projection, and unit length."""
        projected = nn.functional.linear(torch.from_numpy(pooled), self._weight, self._bias)
        return nn.functional.normalize(projected, dim=-1).numpy()


def load_sound_encoder(directory: str | os.PathLike[str], fingerprint: str) -> ExportedAudioPart | None:
    """
    Loads the sound side of a saved Auricle model from the cache's export of its audio tower.

    It starts without the model and without transformers' model classes. On a machine with a GPU the whole model is
    loaded, since that is what computes there.

    Args:
        directory: directory of a saved model; of a Hub id the whole model is loaded.
        fingerprint: expected fingerprint, in float32.

    Returns:
        The encoder, which gives the whole model's vectors with the engine "onnx" bit by bit; None if the directory
        changed since its fingerprint was computed, its audio tower was not exported to the cache, or a file cannot be
        used. Loading the whole model then reports the reason.
    """
    place = Path(directory)
    if not place.is_dir() or read_model_type(place) != "auricle" or lack_of_engine("onnx") is not None:
        return None
    graph = export_directory(fingerprint, "audio") / GRAPH
    if known_fingerprint(place) != fingerprint or not graph.is_file():
        return None
    try:
        with safe_open(place / WEIGHTS, framework="pt", device="cpu") as file:
            weight, bias = (file.get_tensor(name).float() for name in _PROJECTION)
        extractor = AuricleFeatureExtractor.from_pretrained(place, local_files_only=True)
        session = open_session(graph, torch.get_num_threads())
        return ExportedAudioPart(session, extractor, weight, bias, fingerprint=fingerprint, name=str(place))
    except (ImportError, OSError, TypeError, ValueError, SafetensorError):
        return None


__all__ = ["ExportedAudioPart", "load_sound_encoder"]
