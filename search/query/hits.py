"""One result of a query, and results as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Integral
from typing import Any

from ..errors import SearchError


@dataclass(frozen=True)
class Hit:
    """
    One result of a query.

    Attributes:
        path: absolute path of the file.
        start, end: times of the moment in seconds.
        score: the value by which results are ranked: the cosine minus the penalty for unwanted sounds; with names,
            the fused rank.
        cosine: cosine similarity of the moment and the query; for moments of a moment head, the head's score.
        percentile: share of common queries that score lower for this moment, 0 to 100; None if the query is a
            recording.
        duration: duration of the file in seconds.
        tags: tags of the file.
        license: license of the file, or None if it is unknown.
        metadata: metadata of the file, by name.
        digest: SHA-256 of the file's content as it was indexed, in hexadecimal; None for a file that is not indexed.
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
    digest: str | None = None


def hits_as_json(hits: Sequence[Hit], *, encoding: str = "utf-8") -> str:
    """Results as JSON; characters are escaped only if the output's encoding lacks one of them."""
    return rows_as_json([asdict(hit) for hit in hits], encoding=encoding)


def rows_as_json(rows: Sequence[Mapping[str, Any]], *, encoding: str = "utf-8") -> str:
    """[`hits_as_json`] for dictionaries of result fields."""
    text = json.dumps(rows, indent=2, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(rows, indent=2)
    return text


def check_top(top: int) -> None:
    """
    Raises:
        SearchError: for a number of results that is not an integer, or below 1.
    """
    if isinstance(top, bool) or not isinstance(top, Integral):
        raise SearchError(f"top={top!r}: must be an integer.")
    if top < 1:
        raise SearchError(f"top={top}: must be 1 or more.")


__all__ = ["Hit", "check_top", "hits_as_json", "rows_as_json"]
