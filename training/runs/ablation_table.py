"""Means, intervals and effects of an ablation's runs, as a readable table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

METRICS = ("text_to_audio_mAP@16", "text_to_audio_mAP@10", "text_to_audio_R@1", "audio_to_text_mAP@16")
NOTHING = "none"
# 97.5 % points of Student's t for 1, 2, ... degrees of freedom; the normal one beyond.
STUDENT_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def mean_and_half_width(values: Sequence[float]) -> tuple[float, float]:
    """
    The mean over seeds and half the width of its 95 % interval by Student's t.

    Args:
        values: one a seed.

    Returns:
        (mean, half width); the half width of a single value is NaN, since one run does not show the spread.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) < 2:
        return float(numbers.mean()), math.nan
    freedom = len(numbers) - 1
    point = STUDENT_T[freedom - 1] if freedom <= len(STUDENT_T) else 1.96
    return float(numbers.mean()), float(point * numbers.std(ddof=1) / math.sqrt(len(numbers)))


def ablation_effects(
    figures: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
    ingredients: Sequence[str],
    split: str,
    metric: str,
) -> dict[str, list[float]]:
    """
    What each ingredient adds: its mean gain over all settings of the others, one value a seed.

    Args:
        figures: as [`run_ablation`] returns them.
        ingredients: all that were switched.
        split: test split.
        metric: such as ``text_to_audio_mAP@16``.
    """

    def value(subset: Sequence[str]) -> np.ndarray:
        return np.asarray(figures["+".join(subset) or NOTHING][split][metric], dtype=np.float64)

    effects = {}
    for ingredient in ingredients:
        gains = []
        for name in figures:
            without = [] if name == NOTHING else name.split("+")
            if ingredient not in without:
                with_it = [one for one in ingredients if one in without or one == ingredient]
                gains.append(value(with_it) - value(without))
        effects[ingredient] = [float(gain) for gain in np.mean(gains, axis=0)]
    return effects


def format_ablation(table: Mapping[str, Any]) -> list[str]:
    """
    An ablation as Markdown: a row a subset, its difference from none, and what each ingredient adds.

    Args:
        table: as [`run_ablation`] returns it.
    """
    figures, ingredients = table["figures"], table["ingredients"]
    seeds = ", ".join(map(str, table["seeds"]))
    lines = [
        f"Recipe {table['recipe']}, seeds {seeds}; mean ± half of the 95 % interval over seeds (Student's t)."
    ]
    for split in figures[NOTHING]:
        metrics = [metric for metric in METRICS if metric in figures[NOTHING][split]]
        heads = [
            metric.replace("text_to_audio_", "").replace("audio_to_text_", "audio to text ")
            for metric in metrics
        ]
        lines += ["", f"**{split}**", ""]
        lines.append("| " + " | ".join([*ingredients, *heads, f"{heads[0]} against none, paired"]) + " |")
        lines.append("|" + "---|" * (len(ingredients) + len(heads) + 1))
        for name, splits in figures.items():
            marks = ["yes" if one in name.split("+") else "no" for one in ingredients]
            cells = [_with_interval(splits[split][metric]) for metric in metrics]
            differences = np.subtract(splits[split][metrics[0]], figures[NOTHING][split][metrics[0]])
            paired = "" if name == NOTHING else _with_interval(differences, sign=True)
            lines.append("| " + " | ".join([*marks, *cells, paired]) + " |")
        lines += ["", f"What each adds to {heads[0]}, over all settings of the others:", ""]
        effects = ablation_effects(figures, ingredients, split, metrics[0])
        lines += [f"* {one}: {_with_interval(gains, sign=True)}" for one, gains in effects.items()]
    return lines


def _with_interval(values: Sequence[float], *, sign: bool = False) -> str:
    mean, half = mean_and_half_width(values)
    shown = f"{mean:+.3f}" if sign else f"{mean:.3f}"
    return shown if math.isnan(half) else f"{shown} ± {half:.3f}"
