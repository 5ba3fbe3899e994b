"""Retrieval metrics and the evaluation protocol. Names are imported when first used, since importing torch is slow."""

from typing import Any

__all__ = [
    "RelevantRanks",
    "metrics_from_ranks",
    "query_metrics_from_ranks",
    "relevance_from_groups",
    "relevant_ranks",
    "relevant_ranks_from_similarities",
    "retrieval_metrics",
    "retrieval_metrics_from_similarities",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .metrics import retrieval_metrics as module

    return getattr(module, name)
