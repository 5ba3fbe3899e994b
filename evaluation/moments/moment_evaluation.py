"""Evaluation of predicted moments: the measures with intervals over queries and over recordings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics.bootstrap import Interval, bootstrap_group_means, bootstrap_means
from ..metrics.moment_metrics import query_moment_values
from .moment_predictions import Span
from .moment_queries import MomentQuery

# Groups of queries by the median length of their moments, in seconds: (name, shortest, longest).
LENGTHS = (("up to 5 s", 0.0, 5.0), ("5 to 15 s", 5.0, 15.0), ("above 15 s", 15.0, np.inf))


def evaluate_moments(
    queries: Sequence[MomentQuery],
    spans: Mapping[str, Sequence[Span]],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """
    Measures of predicted moments.

    Args:
        queries: with their true moments.
        spans: by ``qid`` the predictions ``(start, end, score)``, the best first; every query needs an entry.
        resamples: draws of each bootstrap.
        seed: of the draws.

    Returns:
        ``queries``, ``recordings``, ``true_moments`` and ``without_prediction``, numbers; ``metrics``: by
        measure ``value``, ``low``, ``high`` with intervals over queries; ``over_recordings``: the same with
        intervals over recordings, whose queries are not independent; ``by_length``: the means of queries whose
        true moments are short, middling and long, by their median.

    Raises:
        ValueError: if a query has no entry, or a span is invalid.
    """
    missing = [query.qid for query in queries if query.qid not in spans]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(queries)} queries have no prediction, first {missing[0]!r}."
        )
    values = query_moment_values(
        [[span[:2] for span in spans[query.qid]] for query in queries], [query.moments for query in queries]
    )
    recordings = [query.vid for query in queries]
    options = {"resamples": resamples, "seed": seed}
    return {
        "queries": len(queries),
        "recordings": len(set(recordings)),
        "true_moments": sum(len(query.moments) for query in queries),
        "without_prediction": sum(not spans[query.qid] for query in queries),
        "resamples": resamples,
        "seed": seed,
        "metrics": _as_records(bootstrap_means(values, **options)),
        "over_recordings": _as_records(bootstrap_group_means(values, recordings, **options)),
        "by_length": _by_length(queries, values),
    }


def format_moment_report(report: Mapping[str, Any]) -> list[str]:
    """
    A report as lines of text, measures in per cent.

    Args:
        report: as [`evaluate_moments`] returns it.
    """
    lines = [
        f"{report['queries']} queries on {report['recordings']} recordings, {report['true_moments']} true moments; "
        f"{report['without_prediction']} queries without a prediction. 95 % bootstrap intervals, "
        f"{report['resamples']} resamples",
        "",
        f"{'':<10}{'value':>7}{'over queries':>18}{'over recordings':>18}",
    ]
    for name, entry in report["metrics"].items():
        cells = [f"{100 * entry['value']:>7.2f}"]
        for interval in (entry, report["over_recordings"][name]):
            bounds = f"[{100 * interval['low']:.2f}, {100 * interval['high']:.2f}]"
            cells.append(f"{bounds:>18}")
        lines.append(f"{name:<10}" + "".join(cells))
    if "ceiling" in report:
        reached = ", ".join(f"{name} {100 * value:.2f}" for name, value in report["ceiling"].items())
        lines += ["", f"an oracle among the spans that {report['edges']} can give reaches {reached}"]
    lines += [
        "",
        f"{'median length':<14}{'queries':>8}" + "".join(f"{name:>10}" for name in report["metrics"]),
    ]
    for name, part in report["by_length"].items():
        cells = (f"{100 * part['metrics'][metric]:.2f}" for metric in report["metrics"])
        lines.append(f"{name:<14}{part['queries']:>8}" + "".join(f"{cell:>10}" for cell in cells))
    return lines


def _by_length(queries: Sequence[MomentQuery], values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    medians = np.array([np.median([end - start for start, end in query.moments]) for query in queries])
    parts = {}
    for name, shortest, longest in LENGTHS:
        chosen = (medians > shortest) & (medians <= longest)
        if chosen.any():
            parts[name] = {
                "queries": int(chosen.sum()),
                "metrics": {metric: float(column[chosen].mean()) for metric, column in values.items()},
            }
    return parts


def _as_records(intervals: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {name: interval._asdict() for name, interval in intervals.items()}


__all__ = ["evaluate_moments", "format_moment_report"]
