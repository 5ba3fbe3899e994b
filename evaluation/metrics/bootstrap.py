"""Bootstrap intervals of means over queries."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

_AT_ONCE = 2**24  # counts drawn at a time: 128 MiB


class Interval(NamedTuple):
    """A mean and its 95 % interval."""

    value: float
    low: float
    high: float


def bootstrap_means(
    values: Mapping[str, np.ndarray], *, resamples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """
    Means over queries with 95 % percentile intervals (Efron, 1979): queries are drawn with replacement.

    All metrics share the draws. Clips are not resampled: the intervals show the variation between sets of similar
    queries, not between libraries of clips.

    Args:
        values: by metric the value of every query, ``(queries,)``, finite.
        resamples: draws, at least 1.
        seed: seed of the draws.

    Returns:
        By metric the mean and the 2.5 % and 97.5 % points of its resampled means.

    Raises:
        ValueError: if there are no queries, metrics differ in their number, a value is not finite, or
            ``resamples`` is below 1.
    """
    if resamples < 1:
        raise ValueError(f"resamples={resamples} must be at least 1.")
    names = list(values)
    lengths = {len(values[name]) for name in names}
    if len(lengths) != 1 or not min(lengths):
        raise ValueError(f"values of {sorted(lengths)} queries: all metrics need the same, at least one.")
    table = np.stack([np.asarray(values[name], dtype=np.float64) for name in names], axis=1)
    if not np.isfinite(table).all():
        query, metric = (int(place) for place in np.argwhere(~np.isfinite(table))[0])
        raise ValueError(f"{names[metric]} of query {query} is {table[query, metric]}: it must be finite.")
    queries = len(table)
    generator = np.random.default_rng(seed)
    means = []
    step = max(1, _AT_ONCE // queries)
    for start in range(0, resamples, step):
        draws = generator.multinomial(
            queries, np.full(queries, 1 / queries), size=min(step, resamples - start)
        )
        means.append(draws @ table / queries)
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5], axis=0)
    return {
        name: Interval(float(table[:, place].mean()), float(low[place]), float(high[place]))
        for place, name in enumerate(names)
    }


def bootstrap_differences(
    first: Mapping[str, np.ndarray],
    second: Mapping[str, np.ndarray],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """
    Difference of two systems, query by query: a paired bootstrap of ``first - second``.

    Args:
        first: by metric the values of the same queries in the same order as ``second``'s.
        second: the other system's.
        resamples: draws, at least 1.
        seed: seed of the draws.

    Raises:
        ValueError: if metrics or numbers of queries differ, or as [`bootstrap_means`].
    """
    if first.keys() != second.keys():
        raise ValueError(f"metrics differ: {sorted(first)} against {sorted(second)}.")
    for name in first:
        if len(first[name]) != len(second[name]):
            raise ValueError(
                f"{name}: {len(first[name])} queries against {len(second[name])}; a paired comparison needs "
                "the same."
            )
    differences = {name: np.asarray(first[name]) - np.asarray(second[name]) for name in first}
    return bootstrap_means(differences, resamples=resamples, seed=seed)


def bootstrap_group_means(
    values: Mapping[str, np.ndarray],
    groups: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """
    Means over queries with intervals over their groups, such as recordings: a cluster bootstrap.

    Queries of one recording share its sound, so their values are not independent and intervals over queries
    are too narrow. Here whole groups are drawn with replacement; a draw's mean is over all queries of the
    drawn groups.

    Args:
        values: by metric the value of every query, ``(queries,)``, finite.
        groups: the group of every query.
        resamples: draws, at least 1.
        seed: seed of the draws.

    Returns:
        By metric the mean over queries and the 2.5 % and 97.5 % points of its resampled means.

    Raises:
        ValueError: if the numbers of group labels and queries differ, or as in [`bootstrap_means`].
    """
    means = bootstrap_means(values, resamples=1, seed=seed)
    if resamples < 1:
        raise ValueError(f"resamples={resamples} must be at least 1.")
    names = list(values)
    table = np.stack([np.asarray(values[name], dtype=np.float64) for name in names], axis=1)
    if len(groups) != len(table):
        raise ValueError(f"{len(groups)} groups for {len(table)} queries: every query needs one.")
    _, places = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(places).astype(np.float64)
    sums = np.stack([np.bincount(places, weights=column) for column in table.T], axis=1)
    generator = np.random.default_rng(seed)
    drawn = []
    step = max(1, _AT_ONCE // len(sizes))
    for start in range(0, resamples, step):
        draws = generator.multinomial(
            len(sizes), np.full(len(sizes), 1 / len(sizes)), size=min(step, resamples - start)
        )
        drawn.append((draws @ sums) / (draws @ sizes)[:, None])
    low, high = np.percentile(np.concatenate(drawn), [2.5, 97.5], axis=0)
    return {
        name: Interval(means[name].value, float(low[place]), float(high[place]))
        for place, name in enumerate(names)
    }


__all__ = ["Interval", "bootstrap_differences", "bootstrap_group_means", "bootstrap_means"]
