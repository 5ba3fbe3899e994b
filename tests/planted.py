"""Similarities with a planted truth, without any model."""

import numpy as np

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


__all__ = ["average_precision", "planted_similarities"]
