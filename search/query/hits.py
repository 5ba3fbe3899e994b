"""One answer to a question, and answers as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Hit:
    """
    One answer.

    Attributes:
        path: absolute.
        start, end: of the moment, seconds.
        score: what it is ranked by: the cosine, less what was unwanted; with names, the fused rank.
        cosine: of the moment and the question.
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


def hits_as_json(hits: Sequence[Hit], *, encoding: str = "utf-8") -> str:
    """Answers as JSON; letters beyond ASCII are escaped only where the encoding lacks one of them."""
    rows = [asdict(hit) for hit in hits]
    text = json.dumps(rows, indent=2, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(rows, indent=2)
    return text


__all__ = ["Hit", "hits_as_json"]
