"""How well sounds are found: retrieval metrics."""

from .metrics import (
    RelevantRanks,
    metrics_from_ranks,
    query_metrics_from_ranks,
    relevance_from_groups,
    relevant_ranks,
    relevant_ranks_from_similarities,
    retrieval_metrics,
    retrieval_metrics_from_similarities,
)

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
