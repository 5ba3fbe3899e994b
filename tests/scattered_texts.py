"""Sentences with directions of their own: an untrained text tower gives all of them nearly the same."""

from collections.abc import Sequence

import numpy as np


def scatter_texts(index) -> None:
    """Makes an index embed each sentence as a random direction, always the same one."""
    width = index.store.record["width"]

    def scattered(sentences: Sequence[str]) -> np.ndarray:
        seeds = [list(text.encode()) for text in sentences]
        vectors = np.stack([np.random.default_rng(seed).normal(size=width) for seed in seeds])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    index.embed_texts = scattered
