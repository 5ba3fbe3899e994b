"""Language-based audio retrieval for `evaluate`: R@k and mAP@k with any number of relevant items a query."""

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
Every query ranks all items by falling score; of equal scores the item that comes first ranks first. R@k is 1
where a relevant item is among the first k. AP@k is the sum of precision at the ranks of relevant items below k,
divided by the number of all relevant items (DCASE Challenge, language-based audio retrieval). Both are means over
queries.
"""
_INPUTS = """
Args:
    predictions: for every query the scores of all items, the same number of items each.
    references: for every query the indices of its relevant items, at least one.
    recall_at, map_at: the k of R@k and of mAP@k.

Returns:
    R@1, R@5, R@10, mAP@10 and mAP@16, or those asked for.
"""
_CITATION = "DCASE 2025 Challenge, Task 6: Language-Based Audio Retrieval."


class Retrieval(evaluate.Metric):
    """R@k and mAP@k from scores."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {
                "predictions": datasets.Sequence(datasets.Value("float64")),
                "references": datasets.Sequence(datasets.Value("int64")),
            }
        )
        return evaluate.MetricInfo(
            description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features
        )

    def _compute(self, predictions, references, recall_at=(1, 5, 10), map_at=(10, 16)) -> dict[str, float]:
        values: dict[str, list[float]] = {f"R@{k}": [] for k in recall_at} | {f"mAP@{k}": [] for k in map_at}
        for query, (scores, relevant) in enumerate(zip(predictions, references, strict=True)):
            scores, relevant = (
                np.asarray(scores, dtype=np.float64),
                np.unique(np.asarray(relevant, dtype=np.int64)),
            )
            _check(query, scores, relevant)
            rank_of = np.empty(len(scores), dtype=np.int64)
            rank_of[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
            ranks = np.sort(rank_of[relevant])
            precisions = np.arange(1, len(ranks) + 1) / (ranks + 1)
            for k in recall_at:
                values[f"R@{k}"].append(float(ranks[0] < k))
            for k in map_at:
                values[f"mAP@{k}"].append(float(precisions[ranks < k].sum() / len(ranks)))
        return {name: float(np.mean(column)) for name, column in values.items()}


def _check(query: int, scores: np.ndarray, relevant: np.ndarray) -> None:
    if not np.isfinite(scores).all():
        raise ValueError(f"query {query}: score {int(np.argmin(np.isfinite(scores)))} is not finite.")
    if not len(relevant):
        raise ValueError(f"query {query}: has no relevant item; at least one is needed.")
    if relevant[0] < 0 or relevant[-1] >= len(scores):
        raise ValueError(f"query {query}: relevant item {relevant[-1]} is not among its {len(scores)} items.")
