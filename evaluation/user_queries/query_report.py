"""How well a model answers each kind of query, and which kinds it answers badly."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from ...data.schema import unique_clips
from ...encoders import AudioTextEncoder
from ..metrics.bootstrap import Interval, bootstrap_means
from ..metrics.retrieval_metrics import query_metrics_from_ranks, relevant_ranks
from .query_kinds import UserQuery, UserQueryError

DEPTH = 16
_PLAIN_KIND = "tag"
_WEAK_SHARE = 0.5


def embed_clips_of(
    encoder: AudioTextEncoder,
    table: Dataset,
    *,
    batch_size: int = 32,
    num_workers: int = 2,
    progress: bool = True,
) -> np.ndarray:
    """Unit vectors of a table's clips, float32 ``(clips, embedding_dim)``, in the order of `unique_clips`."""
    clips, _ = encoder.embed_clips(
        list(unique_clips(table)["audio"]),
        batch_size=batch_size,
        num_workers=num_workers,
        progress=progress,
        description="embedding clips",
    )
    return clips


def evaluate_user_queries(
    encoder: AudioTextEncoder,
    clips: np.ndarray,
    queries: Sequence[UserQuery],
    *,
    batch_size: int = 32,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """
    Ranks all clips for each query.

    Args:
        encoder: the model.
        clips: its vectors of the clips that the queries were made for, ``(clips, embedding_dim)``; see
            [`embed_clips_of`].
        queries: at least one.
        batch_size: queries at a time.
        resamples: of the bootstrap over queries.
        seed: of the bootstrap.

    Returns:
        The report of [`report_of_values`].

    Raises:
        UserQueryError: there are no queries.
    """
    if not queries:
        raise UserQueryError("there are no queries to evaluate")
    texts = encoder.embed_texts([query.text for query in queries], batch_size=batch_size)
    ranks = relevant_ranks(texts, clips, [query.relevant for query in queries])
    values = query_metrics_from_ranks(*ranks, recall_at=(1,), map_at=(DEPTH,))
    return report_of_values(
        queries, values, trap_values(queries, texts @ clips.T), len(clips), resamples=resamples, seed=seed
    )


def report_of_values(
    queries: Sequence[UserQuery],
    values: Mapping[str, np.ndarray],
    traps: np.ndarray,
    clips: int,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """
    Means of each kind of query, and the weak kinds.

    Args:
        queries: at least one.
        values: mAP@16 and R@1 of each query, ``(queries,)`` each.
        traps: what [`trap_values`] returns for the queries.
        clips: number of clips that are ranked.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        ``clips``; ``kinds``, by kind: ``queries``, ``relevant`` (mean number of relevant clips), ``metrics`` with
        95 % intervals, ``random`` (mAP@16 of a random order), ``reached`` (the share of the way from the random to
        the perfect order) and ``traps`` (with interval, or None where no query has one); ``weak``: by kind, why.
    """
    kinds: dict[str, dict[str, Any]] = {}
    for kind in dict.fromkeys(query.kind for query in queries):
        rows = np.array([place for place, query in enumerate(queries) if query.kind == kind])
        counts = np.array([len(queries[row].relevant) for row in rows])
        options = {"resamples": resamples, "seed": seed}
        metrics = bootstrap_means({name: value[rows] for name, value in values.items()}, **options)
        random = float(np.mean([random_average_precision(count, clips, DEPTH) for count in counts]))
        perfect = float(np.mean(np.minimum(counts, DEPTH) / counts))
        trapped = traps[rows][~np.isnan(traps[rows])]
        above = bootstrap_means({"traps": trapped}, **options)["traps"] if len(trapped) else None
        reached = (metrics[f"mAP@{DEPTH}"].value - random) / (perfect - random) if perfect > random else 1.0
        kinds[kind] = {
            "queries": len(rows),
            "relevant": float(counts.mean()),
            "metrics": {name: interval._asdict() for name, interval in metrics.items()},
            "random": random,
            "reached": reached,
            "traps": None if above is None else {"queries": len(trapped), **above._asdict()},
        }
    return {"clips": clips, "kinds": kinds, "weak": _weak_kinds(kinds)}


def trap_values(queries: Sequence[UserQuery], scores: np.ndarray) -> np.ndarray:
    """
    For each query the share of pairs of a relevant clip and a trap in which the relevant clip has the higher score.

    Equal scores count half; one half is chance. The figure sees only what mAP hides: whether the words "without",
    "three" or "later" change anything, beside the sounds that the query names.

    Args:
        queries: with traps or without.
        scores: ``(queries, clips)``.

    Returns:
        float64 ``(queries,)``, NaN for a query without traps.
    """
    shares = np.full(len(queries), np.nan)
    for row, query in enumerate(queries):
        if query.traps:
            relevant, traps = scores[row, list(query.relevant)], scores[row, list(query.traps)]
            differences = relevant[:, None] - traps[None]
            shares[row] = ((differences > 0) + 0.5 * (differences == 0)).mean()
    return shares


def random_average_precision(relevant: int, clips: int, depth: int) -> float:
    """
    The expected AP@``depth`` of a random order.

    Place ``r`` (from 1) holds a relevant clip with probability ``R / N``; if it does, the other ``R - 1`` are equally
    likely at each of the ``r - 1`` places before it.

    Args:
        relevant: number of relevant clips ``R``, 1 to ``clips``.
        clips: number of clips ``N``.
        depth: number of places that count.
    """
    if not 1 <= relevant <= clips:
        raise ValueError(f"relevant={relevant} must be 1 to clips={clips}.")
    others = (relevant - 1) / (clips - 1) if clips > 1 else 0.0
    return sum((1 + (place - 1) * others) / place for place in range(1, min(depth, clips) + 1)) / clips


def format_user_queries(report: Mapping[str, Any]) -> list[str]:
    """The report of [`evaluate_user_queries`] as lines of text."""
    rows = [["kind", "queries", "relevant", "mAP@16", "random", "R@1", "reached", "traps below"]]
    for kind, part in report["kinds"].items():
        traps = part["traps"]
        rows.append(
            [
                kind,
                str(part["queries"]),
                f"{part['relevant']:.1f}",
                _shown(Interval(**part["metrics"][f"mAP@{DEPTH}"])),
                f"{part['random']:.3f}",
                f"{part['metrics']['R@1']['value']:.3f}",
                f"{part['reached']:.2f}",
                "-" if traps is None else _shown(Interval(traps["value"], traps["low"], traps["high"])),
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines = [line.rstrip() for line in lines]
    for kind, reason in report["weak"].items():
        lines.append(f"weak: {kind} ({reason})")
    return lines


def _weak_kinds(kinds: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Kinds that fall far behind bare tags, and kinds whose condition changes nothing."""
    plain = kinds[_PLAIN_KIND]["reached"] if _PLAIN_KIND in kinds else None
    weak: dict[str, str] = {}
    for kind, part in kinds.items():
        reasons = []
        if plain is not None and part["reached"] < _WEAK_SHARE * plain:
            reasons.append(f"reaches {part['reached']:.2f} of the way to the perfect order, tags {plain:.2f}")
        if part["traps"] is not None and part["traps"]["low"] <= 0.5:
            reasons.append(
                f"relevant clips stand above traps in {part['traps']['value']:.2f} of the pairs, chance 0.50"
            )
        if reasons:
            weak[kind] = "; ".join(reasons)
    return weak


def _shown(interval: Interval) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


__all__ = [
    "embed_clips_of",
    "evaluate_user_queries",
    "format_user_queries",
    "random_average_precision",
    "report_of_values",
    "trap_values",
]
