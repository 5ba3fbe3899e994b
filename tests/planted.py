"""Similarities and encoders with a planted truth, without any model."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auricle.encoders import AudioTextEncoder
from auricle.encoders.interface import unit_rows
from auricle.evaluation.similarities import Similarities


def planted_similarities(
    *, clips: int = 12, captions: int = 3, noise: float = 0.6, seed: int = 0, name: str = "planted"
) -> Similarities:
    """Every caption is nearest to its own clip, but for normal noise drawn from ``seed``."""
    own = np.repeat(np.arange(clips), captions)
    scores = np.eye(clips)[own] + noise * np.random.default_rng(seed).standard_normal((len(own), clips))
    ids = [f"set/test/{clip}.wav" for clip in range(clips)]
    return Similarities(
        scores=scores.astype(np.float32),
        query_ids=[f"{ids[clip]}#{number % captions}" for number, clip in enumerate(own)],
        queries=[f"caption {number % captions} of clip {clip}" for number, clip in enumerate(own)],
        clip_ids=ids,
        clip_of_query=own.astype(np.int64),
        source="set",
        split="test",
        name=name,
    )


def average_precision(scores: np.ndarray, relevant: list[int], cutoff: int) -> float:
    """AP at a cut-off over all relevant clips, one rank at a time."""
    order = sorted(range(len(scores)), key=lambda clip: (-scores[clip], clip))
    found, total = 0, 0.0
    for rank, clip in enumerate(order[:cutoff], start=1):
        if clip in relevant:
            found += 1
            total += found / rank
    return total / len(relevant)


class PlantedEncoder(AudioTextEncoder):
    """
    Knows a clip by its file's name and a caption by the number in it, and is as good as ``noise`` lets it be.

    Args:
        noise: standard deviation of what is added to a direction that clip and caption share.
        seed: of the noise.
        license: of the weights.
        parameters: how many weights it is to have.
    """

    precision, sampling_rate, window_seconds, embedding_dim = "float32", 16_000, 10.0, 32

    def __init__(self, noise: float, seed: int = 0, license: str | None = "mit", parameters: int = 1000):
        self.noise, self.seed, self.license, self.num_parameters = noise, seed, license, parameters
        # Clips and captions of each call, so that tests see what was embedded.
        self.embedded: list[tuple[str, int]] = []

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.noise} {self.seed}".encode()).hexdigest()

    def prepare_texts(self, sentences: Sequence[str]) -> list[str]:
        return list(sentences)

    def embed_texts(
        self, sentences: Sequence[str], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        self.embedded.append(("texts", len(sentences)))
        return self._vectors([next(w for w in text.split() if w.isdigit()) for text in sentences], sentences)

    def pool_windows(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        raise NotImplementedError

    def embed_clips(
        self, clips: Sequence[Any], *, skip_unreadable: bool = False, **options: Any
    ) -> tuple[np.ndarray, list[tuple[int, str]]]:
        self.embedded.append(("clips", len(clips)))
        names = [Path(clip["path"]).stem for clip in clips]
        return self._vectors([str(int(name.rpartition("_")[2])) for name in names], names), []

    def _vectors(self, numbers: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        rows = [
            _draw(f"direction {number}") + self.noise * _draw(f"{self.seed} {text}")
            for number, text in zip(numbers, texts, strict=True)
        ]
        return unit_rows(np.array(rows).reshape(len(rows), self.embedding_dim))


def _draw(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(PlantedEncoder.embedding_dim)


__all__ = ["PlantedEncoder", "average_precision", "planted_similarities"]
