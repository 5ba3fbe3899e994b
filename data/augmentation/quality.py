"""Similarity of new captions to their source captions, measured by a text model."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..schema import DataError
from .back_translation import FILE, read_back_translations
from .caption_mixing import METADATA

# A sample of captions gives the same figures, and a text model takes time.
MOST_PAIRS = 2_000


def caption_pairs(directory: str | os.PathLike[str]) -> list[tuple[str, list[str]]]:
    """
    Each kept caption of an augmentation job with its sources: one for a back-translation, two for a mix.

    Raises:
        DataError: if the directory contains neither, or a mix lacks the captions of its sources.
    """
    directory = Path(directory)
    if (directory / FILE).is_file():
        read = read_back_translations(directory).values()
        return [(text, [source]) for source, texts in read for text in texts]
    if not (directory / METADATA).is_file():
        raise DataError(f"{directory}: neither {FILE} nor {METADATA} found; `auricle augment` writes them.")
    lines = [json.loads(line) for line in (directory / METADATA).read_text(encoding="utf-8").splitlines()]
    if any("source_captions" not in line for line in lines):
        raise DataError(
            f"{directory}/{METADATA}: not written by `auricle augment mix`: source_captions is missing."
        )
    return [(line["caption"], list(line["source_captions"])) for line in lines]


def similarity_to_sources(
    pairs: Sequence[tuple[str, Sequence[str]]], embed: Callable[[Sequence[str]], np.ndarray], seed: int = 0
) -> dict[str, Any]:
    """
    Cosine similarity of captions and their sources, and of captions and the sources of other captions.

    Args:
        pairs: see [`caption_pairs`]; of more than 2,000, so many are drawn.
        embed: from sentences to unit vectors ``(sentences, width)``.
        seed: seed of the sample.

    Returns:
        ``captions``, the number of compared captions; ``mean``, ``lowest_twentieth`` and ``to_others``, the mean
        similarity to sources of other captions, the value expected by chance.

    Raises:
        DataError: if there are no pairs.
    """
    if not pairs:
        raise DataError("no captions to compare: the job kept none.")
    generator = np.random.default_rng(seed)
    if len(pairs) > MOST_PAIRS:
        pairs = [pairs[place] for place in sorted(generator.choice(len(pairs), MOST_PAIRS, replace=False))]
    texts = embed([text for text, _ in pairs])
    sources = embed([source for _, sources in pairs for source in sources])
    owner = np.repeat(np.arange(len(pairs)), [len(sources) for _, sources in pairs])
    own = (texts[owner] * sources).sum(axis=1)
    of_caption = np.bincount(owner, own) / np.bincount(owner)
    others = (texts[(owner + 1 + len(pairs) // 2) % len(pairs)] * sources).sum(axis=1)
    return {
        "captions": len(pairs),
        "mean": float(of_caption.mean()),
        "lowest_twentieth": float(np.quantile(of_caption, 0.05)),
        "to_others": float(others.mean()),
    }


__all__ = ["caption_pairs", "similarity_to_sources"]
