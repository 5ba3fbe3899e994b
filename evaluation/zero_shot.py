"""Sorting sounds into classes that are named by words, without training."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..modeling import AuricleModel
from ..processing import AuricleProcessor
from .embedding import embed_captions, embed_clips


def classify_sounds(
    model: AuricleModel,
    processor: AuricleProcessor,
    sounds: Sequence[Any],
    labels: Sequence[str],
    *,
    template: str = "the sound of {}",
    batch_size: int = 16,
) -> list[list[tuple[str, float]]]:
    """
    Labels of each sound with their probabilities, the likeliest first.

    A label's probability is the softmax of the cosines divided by the model's temperature: a share among the labels
    given, not the chance that the sound is there at all.

    Args:
        model: the dual encoder.
        processor: its own.
        sounds: in any form that the processor takes, such as paths.
        labels: names of the classes, at least two, none twice.
        template: makes a sentence of a label; ``{}`` stands for it.
        batch_size: segments at a time.

    Raises:
        ValueError: for fewer than two labels, a label twice, or a template without ``{}``.
        AudioReadError: for a sound that cannot be read.
    """
    labels = list(labels)
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise ValueError(f"labels {labels}: name two or more, each once.")
    if "{}" not in template:
        raise ValueError(f"template {template!r}: has no {{}} for the label.")
    text = embed_captions(model, processor, [template.replace("{}", label) for label in labels])
    audio, _ = embed_clips(model, processor, list(sounds), batch_size=batch_size)
    logits = float(model.current_logit_scale("cpu")) * audio.astype(np.float64) @ text.astype(np.float64).T
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return [
        [(labels[place], float(row[place])) for place in np.argsort(-row, kind="stable")] for row in shares
    ]


__all__ = ["classify_sounds"]
