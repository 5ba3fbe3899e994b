"""One answer to a question."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Hit:
    """
    One answer.

    Attributes:
        path: absolute.
        start, end: of the moment, seconds.
        score: what it is ranked by: the cosine, less what was unwanted; with names, the fused rank.
        cosine: of the moment and the question; of a moment that a moment head found, the head's score.
        percentile: share of common questions that fit this moment less, 0 to 100; None for questions by sound.
        duration: of the file, seconds.
        tags: of the file.
        license: of the file, or None where nothing tells it.
        metadata: of the file, by name.
    """

    path: str
    start: float
    end: float
    score: float
    cosine: float
    percentile: float | None
    duration: float
    tags: tuple[str, ...]
    license: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


__all__ = ["Hit"]
