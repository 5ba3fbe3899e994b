"""One result of a query."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Hit:
    """
    One result of a query.

    Attributes:
        path: absolute path of the file.
        start, end: times of the moment in seconds.
        score: what ranks the result: the cosine, less what is subtracted for unwanted sounds; with names, the fused
            rank.
        cosine: cosine similarity of the moment and the query.
        percentile: share of common queries that score lower for this moment, 0 to 100; None if the query is a
            recording.
        duration: of the file in seconds.
        tags: of the file.
        license: of the file, or None if it is unknown.
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
