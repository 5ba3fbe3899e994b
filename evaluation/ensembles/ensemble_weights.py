"""Weights of an ensemble's members, found on a validation split."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from tqdm.auto import tqdm

from ..metrics.retrieval_metrics import metrics_from_ranks, relevant_ranks_from_similarities

# AISTAT report (arXiv 2509.16649), E1: by system (SID) and tower. Each is the product of a weight of the
# system within its tower and the tower's weight. The weights of E2 to E4 are not known.
E1_WEIGHTS = {
    ("sid2", "passt"): 0.2275,
    ("sid2", "eat"): 0.07,
    ("sid2", "beats"): 0.06,
    ("sid3", "passt"): 0.0,
    ("sid3", "eat"): 0.12,
    ("sid3", "beats"): 0.045,
    ("sid4", "passt"): 0.325,
    ("sid4", "eat"): 0.0,
    ("sid4", "beats"): 0.045,
    ("sid5", "passt"): 0.0975,
    ("sid5", "eat"): 0.01,
    ("sid5", "beats"): 0.0,
}
METRIC = "mAP@16"
TEMPERATURE = 0.05
ROUNDS = 500


def simplex_grid(members: int, parts: int) -> Iterator[tuple[float, ...]]:
    """All weights that are multiples of ``1 / parts``, 0 or more, and add up to 1, equal ones first."""
    points = [
        np.diff((-1, *bars, parts + members - 1)) - 1
        for bars in itertools.combinations(range(parts + members - 1), members - 1)
    ]
    # Of weights that score alike the more even ones win: they come first.
    points.sort(key=lambda point: (float(np.square(point).sum()), tuple(point)))
    for point in points:
        yield tuple(float(value) / parts for value in point)


def grid_search(
    scores: Sequence[np.ndarray],
    relevant: Sequence[Sequence[int]],
    *,
    parts: int = 20,
    metric: str = METRIC,
    progress: bool = False,
    description: str = "weights",
) -> tuple[list[float], float]:
    """
    The weights from a grid on the simplex that give the best ranking by the weighted sum of similarities.

    Args:
        scores: scores of each member, ``(queries, clips)``.
        relevant: relevant clips of each query.
        parts: the grid's step is ``1 / parts``; the report's weights fit 20.
        metric: R@1, R@5, R@10, mAP@10 or mAP@16.
        progress: show a progress bar.
        description: text of the progress bar.

    Returns:
        The weights, which add up to 1, and the metric's value under them; of equal values the more even weights.

    Raises:
        ValueError: if there are no members, shapes differ or ``parts`` is below 1.
    """
    if not scores or parts < 1 or len({matrix.shape for matrix in scores}) != 1:
        shapes = [matrix.shape for matrix in scores]
        raise ValueError(
            f"{len(scores)} members of shapes {shapes}, parts={parts}: need equal shapes, 1 part or more."
        )
    stacked = torch.stack([torch.as_tensor(matrix, dtype=torch.float32) for matrix in scores])
    best: tuple[list[float], float] | None = None
    points = list(simplex_grid(len(scores), parts))
    for weights in tqdm(points, desc=description, disable=not progress):
        total = torch.tensordot(torch.tensor(weights, dtype=torch.float32), stacked, dims=1)
        value = metrics_from_ranks(*relevant_ranks_from_similarities(total, relevant))[metric]
        if best is None or value > best[1]:
            best = (list(weights), value)
    return best


def two_level_search(
    scores: Mapping[tuple[str, str], np.ndarray],
    relevant: Sequence[Sequence[int]],
    *,
    inner: str = "system",
    parts: int = 20,
    metric: str = METRIC,
    progress: bool = False,
) -> dict[tuple[str, str], float]:
    """
    The report's grid search in two levels (arXiv 2509.16649, ensembles).

    With ``inner="system"``, systems then models (E1, E2): first, for every tower, the weights of its systems;
    then the weights of the towers' sums. With ``inner="tower"``, models then systems (E3, E4), the other way
    round. A member's weight is the product of the two.

    Args:
        scores: by (system, tower) the similarities, ``(queries, clips)``.
        relevant: relevant clips of each query.
        inner: ``"system"`` or ``"tower"``: the first level.
        parts, metric, progress: as [`grid_search`] takes them.

    Returns:
        By (system, tower) the weight; they add up to 1.

    Raises:
        ValueError: for another ``inner``, or as [`grid_search`].
    """
    if inner not in ("system", "tower"):
        raise ValueError(f"inner={inner!r} must be 'system' or 'tower'.")
    outer = 1 if inner == "system" else 0
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in scores:
        groups.setdefault(name[outer], []).append(name)
    options = {"parts": parts, "metric": metric, "progress": progress}
    within: dict[tuple[str, str], float] = {}
    sums = []
    for group, names in groups.items():
        weights, _ = grid_search([scores[name] for name in names], relevant, description=group, **options)
        within.update(zip(names, weights, strict=True))
        sums.append(sum(weight * scores[name] for name, weight in zip(names, weights, strict=True)))
    between, _ = grid_search(sums, relevant, description="all", **options)
    of_group = dict(zip(groups, between, strict=True))
    return {name: within[name] * of_group[name[outer]] for name in scores}


def convex_weights(
    scores: Sequence[np.ndarray],
    relevant: Sequence[Sequence[int]],
    *,
    temperature: float = TEMPERATURE,
    rounds: int = ROUNDS,
) -> list[float]:
    """
    Weights on the simplex that minimise the cross-entropy of the right clips, a convex problem.

    Each query's target is uniform over its right clips, its prediction the softmax over clips of the weighted sum
    divided by the temperature. Solved by exponentiated gradient steps from equal weights (Kivinen and Warmuth,
    1997); a step that does not lower the loss is halved.

    Args:
        scores: scores of each member, ``(queries, clips)``.
        relevant: relevant clips of each query.
        temperature: above 0.
        rounds: steps at most.
    """
    stacked = torch.stack([torch.as_tensor(matrix, dtype=torch.float32) for matrix in scores]) / temperature
    targets = torch.zeros(stacked.shape[1:], dtype=torch.float32)
    for query, clips in enumerate(relevant):
        targets[query, list(clips)] = 1 / len(clips)

    def loss_of(weights: torch.Tensor) -> torch.Tensor:
        logits = torch.tensordot(weights, stacked, dims=1)
        return -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()

    weights = torch.full((len(scores),), 1 / len(scores))
    step = 1.0
    for _ in range(rounds):
        variable = weights.clone().requires_grad_(True)
        loss = loss_of(variable)
        (gradient,) = torch.autograd.grad(loss, variable)
        moved = torch.softmax(weights.clamp_min(1e-12).log() - step * gradient, dim=0)
        with torch.no_grad():
            if loss_of(moved) < loss:
                if torch.allclose(moved, weights, atol=1e-6, rtol=0):
                    return moved.tolist()
                weights, step = moved, step * 1.2
            else:
                step /= 2
                if step < 1e-6:
                    break
    return weights.tolist()


def paper_weights(names: Sequence[tuple[str, str]]) -> list[float]:
    """
    The report's E1 weights of members named by (system, tower).

    Raises:
        ValueError: naming the members that are missing or not in E1.
    """
    missing, unknown = E1_WEIGHTS.keys() - set(names), set(names) - E1_WEIGHTS.keys()
    if missing or unknown:
        wanted, absent, other = (
            sorted("/".join(name) for name in some) for some in (E1_WEIGHTS, missing, unknown)
        )
        raise ValueError(f"E1 needs the members {wanted}; missing: {absent}, not in it: {other}.")
    return [E1_WEIGHTS[name] for name in names]


__all__ = [
    "E1_WEIGHTS",
    "convex_weights",
    "grid_search",
    "paper_weights",
    "simplex_grid",
    "two_level_search",
]
