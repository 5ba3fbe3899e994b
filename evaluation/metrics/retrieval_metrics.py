"""Full-set retrieval metrics (R@k, mAP@k) with any number of relevant items per query.

Every query is ranked against every item. A similarity matrix of all queries with all items never exists:
scores are computed in tiles, and only the ranks of the relevant items are kept.

**Score.** The inner product of the embeddings as given; unit vectors make it the cosine similarity.

**Order and ties.** Items are ranked by decreasing score; of equal scores the lower item index ranks first.

**Exact scores.** A floating-point matrix product may give two identical items scores that differ in the last
bit, depending on their position in the matrix and on the shape of the product, so ties and near-ties would
depend on the chunk size, the library and the device. Embeddings are therefore rounded to integers of at most
26 bits of norm (a grid of 1.5e-8 for unit vectors, finer than the error of a float32 product). By
Cauchy-Schwarz every partial sum of an inner product then stays below 2**53, and float64 represents it without
rounding: a score is the same number on any device and in any order of summation, and so
are the ranks.

**Metrics.** With the 0-based ranks r_1 < r_2 < ... of a query's R relevant items:

* ``R@k``: 1 if r_1 < k, else 0, that is "at least one relevant item within the top k". With a single relevant
  item a query this is the usual recall; with several it is a hit rate, not the share of them found.
* ``AP@k``: the sum of i / (r_i + 1) over the r_i below k, divided by R, the number of *all* relevant items
  (DCASE Challenge, language-based audio retrieval). A query with R > k cannot reach 1.

Both are averaged over queries in float64 and are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch

Array = np.ndarray | torch.Tensor

_TILE = 8192  # rows or columns of a tile: keeps float64 copies of embeddings small compared with the scores
_SLAB = 2**20  # scores compared at a time: stays in cache
_NORM_BITS = 26  # inner products of two such norms stay below 2**53, the grid's own rounding included


class RelevantRanks(NamedTuple):
    """Positions of the relevant items of every query.

    ``ranks (pairs,)`` int64, 0-based, in the order in which ``relevant`` names them, query after query;
    ``offsets (queries + 1,)`` int64: query q owns ``ranks[offsets[q]:offsets[q + 1]]``.
    """

    ranks: np.ndarray
    offsets: np.ndarray


def retrieval_metrics(
    query_embeds: Array,
    item_embeds: Array,
    relevant: Sequence[Sequence[int]],
    *,
    recall_at: Sequence[int] = (1, 5, 10),
    map_at: Sequence[int] = (10, 16),
    max_similarities: int = 2**25,
) -> dict[str, float]:
    """R@k and mAP@k of ranking all items for every query.

    Args:
        query_embeds: ``(queries, width)`` finite numbers, a numpy array or a tensor on any device.
        item_embeds: ``(items, width)``, likewise. Scoring runs on the device of the query embeddings.
        relevant: for every query the indices of its relevant items, in any order, at least one.
        recall_at: the k of R@k. map_at: the k of mAP@k.
        max_similarities: maximum number of scores (8 bytes each) in memory. Affects speed, never results.

    Returns:
        ``{"R@1": ..., "mAP@10": ..., ...}``, fractions in [0, 1].

    Raises:
        ValueError: naming the query, item or value at fault: empty or non-finite embeddings, widths that
            differ, a query with no, repeated or unknown relevant items, a cut-off below one.
    """
    recall_at, map_at = _checked_cutoffs("recall_at", recall_at), _checked_cutoffs("map_at", map_at)
    found = relevant_ranks(query_embeds, item_embeds, relevant, max_similarities=max_similarities)
    return metrics_from_ranks(*found, recall_at=recall_at, map_at=map_at)


def retrieval_metrics_from_similarities(
    similarities: Array,
    relevant: Sequence[Sequence[int]],
    *,
    recall_at: Sequence[int] = (1, 5, 10),
    map_at: Sequence[int] = (10, 16),
) -> dict[str, float]:
    """As `retrieval_metrics`, for an existing matrix ``(queries, items)`` of finite numbers, higher is nearer.

    Scores are compared in their own precision.
    """
    recall_at, map_at = _checked_cutoffs("recall_at", recall_at), _checked_cutoffs("map_at", map_at)
    found = relevant_ranks_from_similarities(similarities, relevant)
    return metrics_from_ranks(*found, recall_at=recall_at, map_at=map_at)


@torch.no_grad()
def relevant_ranks(
    query_embeds: Array,
    item_embeds: Array,
    relevant: Sequence[Sequence[int]],
    *,
    max_similarities: int = 2**25,
) -> RelevantRanks:
    """The ranks of all relevant items; arguments and errors as in `retrieval_metrics`.

    Apart from the scores, the work is one comparison of each relevant item with each item.
    """
    _checked_cutoffs("max_similarities", [max_similarities])
    queries = _checked_matrix("query_embeds", query_embeds, "query", "component")
    items = _checked_matrix("item_embeds", item_embeds, "item", "component")
    if queries.shape[1] != items.shape[1]:
        raise ValueError(
            f"query_embeds are {queries.shape[1]} wide, item_embeds {items.shape[1]}: both must be the same"
        )
    columns, offsets = _flatten_relevant(relevant, len(queries), len(items))
    device = torch.device("cpu") if queries.device.type == "mps" else queries.device  # MPS has no float64
    query_scales = _grid_scale(_checked_norms("query", queries, device))
    # One scale for all items: its own scale for each would change the order of their scores.
    item_scale = _grid_scale(_checked_norms("item", items, device).max())

    width = min(len(items), _TILE, max_similarities)
    height = min(len(queries), _TILE, max_similarities // width)
    ranks = torch.zeros(len(columns), dtype=torch.int64)
    for top in range(0, len(queries), height):
        bottom = min(top + height, len(queries))
        grid = _to_grid(queries[top:bottom], query_scales[top:bottom, None])
        pairs = slice(offsets[top], offsets[bottom])
        rows = torch.from_numpy(np.repeat(np.arange(bottom - top), np.diff(offsets[top : bottom + 1]))).to(
            device
        )
        cols = torch.from_numpy(columns[pairs]).to(device)
        own = _pair_scores(grid, items, item_scale, rows, cols)
        better = torch.zeros(len(cols), dtype=torch.int64, device=device)
        for left in range(0, len(items), width):
            tile = grid @ _to_grid(items[left : left + width], item_scale).T
            better += _count_better(tile, left, rows, cols, own, min(_SLAB, max_similarities))
        ranks[pairs] = better.cpu()
    return RelevantRanks(ranks.numpy(), offsets)


@torch.no_grad()
def relevant_ranks_from_similarities(similarities: Array, relevant: Sequence[Sequence[int]]) -> RelevantRanks:
    """The ranks of all relevant items in an existing matrix ``(queries, items)``."""
    scores = _checked_matrix("similarities", similarities, "query", "item")
    columns, offsets = _flatten_relevant(relevant, *scores.shape)
    height = max(1, _SLAB // scores.shape[1])
    ranks = torch.zeros(len(columns), dtype=torch.int64)
    for top in range(0, len(scores), height):
        bottom = min(top + height, len(scores))
        block = scores[top:bottom]
        finite = torch.isfinite(block)
        if not finite.all():
            row, column = (int(i) for i in torch.nonzero(~finite)[0])
            raise ValueError(
                f"similarities: query {top + row}, item {column} is {block[row, column].item()}: "
                "every score must be finite"
            )
        pairs = slice(offsets[top], offsets[bottom])
        rows = torch.from_numpy(np.repeat(np.arange(bottom - top), np.diff(offsets[top : bottom + 1])))
        rows, cols = rows.to(block.device), torch.from_numpy(columns[pairs]).to(block.device)
        ranks[pairs] = _count_better(block, 0, rows, cols, block[rows, cols], _SLAB).cpu()
    return RelevantRanks(ranks.numpy(), offsets)


def metrics_from_ranks(
    ranks: np.ndarray,
    offsets: np.ndarray,
    *,
    recall_at: Sequence[int] = (1, 5, 10),
    map_at: Sequence[int] = (10, 16),
) -> dict[str, float]:
    """The means over queries of `query_metrics_from_ranks`, under the same names."""
    values = query_metrics_from_ranks(ranks, offsets, recall_at=recall_at, map_at=map_at)
    return {name: float(value.mean(dtype=np.float64)) for name, value in values.items()}


def query_metrics_from_ranks(
    ranks: np.ndarray,
    offsets: np.ndarray,
    *,
    recall_at: Sequence[int] = (1, 5, 10),
    map_at: Sequence[int] = (10, 16),
) -> dict[str, np.ndarray]:
    """Every query's own values, each ``(queries,)`` float64 in [0, 1].

    Args:
        ranks, offsets: as in `RelevantRanks`; the ranks of one query may come in any order.

    Raises:
        ValueError: no query, a query without ranks, a negative or repeated rank, a cut-off below one.
    """
    recall_at, map_at = _checked_cutoffs("recall_at", recall_at), _checked_cutoffs("map_at", map_at)
    ranks, offsets = np.asarray(ranks), np.asarray(offsets)
    if (
        ranks.ndim != 1
        or offsets.ndim != 1
        or len(offsets) < 2
        or offsets[0] != 0
        or offsets[-1] != len(ranks)
    ):
        raise ValueError(
            f"ranks of shape {ranks.shape} and offsets of shape {offsets.shape} do not belong together: "
            "offsets must start at 0, end at the number of ranks and name at least one query"
        )
    counts = np.diff(offsets)
    if (counts < 1).any():
        raise ValueError(f"query {int(np.argmax(counts < 1))} has no rank: every query needs at least one")
    owner = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((ranks, owner))
    ranks = ranks[order].astype(np.int64)
    repeated = np.flatnonzero((owner[1:] == owner[:-1]) & (ranks[1:] == ranks[:-1]))
    for fault in (*np.flatnonzero(ranks < 0)[:1], *repeated[:1]):
        raise ValueError(
            f"query {owner[fault]}: rank {ranks[fault]}: a query's ranks differ and count from 0"
        )

    ordinal = np.arange(len(ranks)) - offsets[:-1][owner] + 1
    precision = ordinal / (ranks + 1.0)
    values = {f"R@{k}": (ranks[offsets[:-1]] < k).astype(np.float64) for k in recall_at}
    for k in map_at:
        gained = np.bincount(owner, weights=np.where(ranks < k, precision, 0.0), minlength=len(counts))
        values[f"mAP@{k}"] = gained / counts
    return values


def relevance_from_groups(
    query_groups: Sequence[Hashable], item_groups: Sequence[Hashable]
) -> list[list[int]]:
    """For every query the ascending indices of the items of its group (a clip's id, a class, ...).

    Raises:
        ValueError: a query's group that no item has.
    """
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(item_groups):
        members.setdefault(group, []).append(index)
    for index, group in enumerate(query_groups):
        if group not in members:
            raise ValueError(
                f"query {index} is of group {group!r}, which none of the {len(item_groups)} items has"
            )
    return [list(members[group]) for group in query_groups]


def _checked_norms(kind: str, embeds: torch.Tensor, device: torch.device) -> torch.Tensor:
    """``(rows,)`` float64 Euclidean norms; raises for a row that is not finite."""
    norms = torch.cat(
        [torch.linalg.vector_norm(part.to(device).double(), dim=1) for part in embeds.split(_TILE)]
    )
    bad = torch.nonzero(~torch.isfinite(norms))
    if len(bad):
        row = int(bad[0])
        odd = embeds[row][~torch.isfinite(embeds[row])]
        what = f"contains {odd[0].item()}" if len(odd) else "is too long for float64"
        raise ValueError(f"{kind}_embeds: {kind} {row} {what}: every embedding must be finite")
    return norms


def _grid_scale(norms: torch.Tensor) -> torch.Tensor:
    """The power of two, float64, that brings each norm just below 2**26 (a zero norm stays zero)."""
    exponents = torch.frexp(norms).exponent.cpu().numpy()
    scales = np.ldexp(1.0, _NORM_BITS - np.maximum(exponents, -900))  # 2**927 is still a float64
    return torch.as_tensor(scales, device=norms.device)


def _to_grid(embeds: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Embeddings times their scale, rounded to integers: float64 on the scale's device."""
    return embeds.to(scale.device).double().mul(scale).round_()


def _pair_scores(
    grid: torch.Tensor, items: torch.Tensor, item_scale: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor
) -> torch.Tensor:
    """``(pairs,)`` the exact score of query ``rows[p]`` with item ``cols[p]``."""
    scores = [
        (grid[r] * _to_grid(items[c.to(items.device)], item_scale)).sum(1)
        for r, c in zip(rows.split(_TILE), cols.split(_TILE), strict=True)
    ]
    return torch.cat(scores)


def _count_better(
    tile: torch.Tensor, left: int, rows: torch.Tensor, cols: torch.Tensor, own: torch.Tensor, slab: int
) -> torch.Tensor:
    """For every pair the number of items in the tile that rank before it.

    Args:
        tile: ``(height, width)`` scores of the items ``left ... left + width - 1``.
        rows, cols, own: ``(pairs,)`` the pair's row in the tile, its item's index among all, its score.
        slab: scores compared at a time.
    """
    counts = torch.zeros_like(cols)
    indices = torch.arange(left, left + tile.shape[1], device=tile.device)
    step = max(1, slab // tile.shape[1])
    for start in range(0, len(cols), step):
        part = slice(start, start + step)
        scores, mine = tile[rows[part]], own[part, None]
        counts[part] = ((scores > mine) | ((scores == mine) & (indices < cols[part, None]))).sum(1)
    return counts


def _checked_cutoffs(name: str, cutoffs: Sequence[int]) -> tuple[int, ...]:
    for value in cutoffs:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name}: {value!r} is not an integer of at least 1")
    return tuple(int(value) for value in cutoffs)


def _checked_matrix(name: str, values: Array, row: str, column: str) -> torch.Tensor:
    matrix = values.detach() if isinstance(values, torch.Tensor) else torch.as_tensor(np.asarray(values))
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(
            f"{name} has shape {tuple(matrix.shape)}: it needs two axes, at least one {row} and one {column}"
        )
    if matrix.is_complex() or matrix.dtype == torch.bool:
        raise ValueError(f"{name} contains {matrix.dtype}: real numbers are needed")
    return matrix


def _flatten_relevant(
    relevant: Sequence[Sequence[int]], num_queries: int, num_items: int
) -> tuple[np.ndarray, np.ndarray]:
    """All relevant item indices in one row, ``(pairs,)``, and each query's start, ``(queries + 1,)``."""
    if len(relevant) != num_queries:
        raise ValueError(f"relevant has {len(relevant)} queries, the scores have {num_queries}")
    lists = [np.asarray(indices) for indices in relevant]
    for query, indices in enumerate(lists):
        if indices.ndim == 1 and len(indices) == 0:
            raise ValueError(f"query {query} has no relevant item: leave such queries out")
        if indices.ndim != 1 or indices.dtype.kind not in "iu":
            raise ValueError(f"query {query}: {relevant[query]!r} is not a flat sequence of item indices")
    offsets = np.concatenate([[0], np.cumsum([len(indices) for indices in lists])]).astype(np.int64)
    columns = np.concatenate(lists).astype(np.int64)
    owner = np.repeat(np.arange(num_queries), np.diff(offsets))
    outside = np.flatnonzero((columns < 0) | (columns >= num_items))
    if len(outside):
        pair = outside[0]
        raise ValueError(
            f"query {owner[pair]}: item {columns[pair]} does not exist, indices run from 0 to {num_items - 1}"
        )
    order = np.lexsort((columns, owner))
    twice = np.flatnonzero((np.diff(owner[order]) == 0) & (np.diff(columns[order]) == 0))
    if len(twice):
        pair = order[twice[0]]
        raise ValueError(f"query {owner[pair]} names item {columns[pair]} twice")
    return columns, offsets
