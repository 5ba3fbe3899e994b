"""Sorting sounds into classes that are named by words, without training."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..encoders import AudioTextEncoder


def classify_sounds(
    encoder: AudioTextEncoder,
    sounds: Sequence[Any],
    labels: Sequence[str],
    *,
    template: str = "the sound of {}",
    batch_size: int = 16,
    logit_scale: float | None = None,
) -> list[list[tuple[str, float]]]:
    """
    Labels of each sound with their probabilities, the likeliest first.

    A label's probability is the softmax of the cosines times ``logit_scale``: a share among the labels given, not
    the probability that the sound occurs at all.

    Args:
        encoder: any encoder.
        sounds: in any form that the encoder takes, such as paths.
        labels: names of the classes, at least two, none twice.
        template: makes a sentence of a label; ``{}`` stands for it.
        batch_size: segments at a time.
        logit_scale: what cosines are multiplied with, above 0; None takes the encoder's own. It moves the
            probabilities and never the order of the labels.

    Raises:
        ValueError: for fewer than two labels, a label twice, a template without ``{}``, a scale that is not above 0,
            or no scale while the encoder has none.
        AudioReadError: for a sound that cannot be read.
    """
    labels = list(labels)
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise ValueError(f"labels {labels}: name two or more, each once.")
    if "{}" not in template:
        raise ValueError(f"template {template!r}: has no {{}} for the label.")
    scale = encoder.logit_scale if logit_scale is None else logit_scale
    if scale is None:
        raise ValueError(
            f"{encoder.name or encoder.kind}: has no logit_scale, so its cosines cannot become probabilities; give "
            "one, such as logit_scale=20."
        )
    if not 0 < scale < float("inf"):
        raise ValueError(f"logit_scale={scale}: must be a number above 0.")
    text = encoder.embed_texts([template.replace("{}", label) for label in labels])
    audio, _ = encoder.embed_clips(list(sounds), batch_size=batch_size)
    logits = scale * audio.astype(np.float64) @ text.astype(np.float64).T
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return [
        [(labels[place], float(row[place])) for place in np.argsort(-row, kind="stable")] for row in shares
    ]


__all__ = ["classify_sounds"]
