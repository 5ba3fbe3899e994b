"""
The finished rows of the study as tables: figures, differences paired by seed, and how far targets are from the truth.

    python benchmarks/overlap_study/table.py [--rows-dir docs/experiments/rows] [--figure multi_text_to_audio_mAP@16]

Intervals are 95 % intervals of Student's t over seeds. A difference uses the seeds that both rows have.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import table

ROWS_DIR = Path(__file__).parents[2] / "docs" / "experiments" / "rows"
FIGURE = "multi_text_to_audio_mAP@16"
# The differences that the plan's hypotheses speak of.
DECISIVE = (
    ("seen", "control"),
    ("cross_fit", "swapped"),
    ("cross_fit", "control"),
    ("cross_fit", "seen"),
    ("other", "control"),
    ("cross_fit_alone", "swapped_alone"),
)
# Number, claim, differences, and when the claim stands by the plan's rule.
HYPOTHESES = (
    (1, "a teacher that saw the rows does not help", (("seen", "control"),), lambda found: found[0][0] <= 0),
    (2, "what a teacher saw matters", (("cross_fit", "swapped"),), lambda found: found[0][0] > 0),
    (
        3,
        "cross-fitting helps in practice",
        (("cross_fit", "control"), ("cross_fit", "seen")),
        lambda found: all(low > 0 for low, _ in found),
    ),
)
QUALITY = ("variation", "labels_variation", "own", "true_own", "calibration", "auc_unlabelled")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows-dir", type=Path, default=ROWS_DIR)
    parser.add_argument("--figure", default=FIGURE, help="default: %(default)s")
    parser.add_argument("--split", default="test", choices=("validation", "test", "test_unseen_wording"))
    arguments = parser.parse_args()
    rows = read_rows(arguments.rows_dir)
    if not rows:
        parser.error(f"--rows-dir: {arguments.rows_dir} has no finished rows; make them with run.py.")
    figures = {
        name: {seed: row["figures"][arguments.split][arguments.figure] for seed, row in by_seed.items()}
        for name, by_seed in rows.items()
    }
    starts = {
        seed: row["start"][arguments.split][arguments.figure]
        for by_seed in rows.values()
        for seed, row in by_seed.items()
    }
    print(f"{arguments.figure} on {arguments.split}\n")
    body = [_figure_line("start", starts)]
    body += [_figure_line(name, by_seed) for name, by_seed in figures.items()]
    print(table(body, ["row", "seeds", "mean", "sd"]) + "\n")
    pairs = [*DECISIVE, *((name, "control") for name in figures)]
    body = []
    for first, second in dict.fromkeys(pairs):
        if first == second or first not in figures or second not in figures:
            continue
        differences = paired_differences(figures, first, second)
        body.append([f"{first} - {second}", str(len(differences)), interval(differences)])
    print(table(body, ["difference", "seeds", "mean and 95 % interval"]) + "\n")
    body = [_quality_line(name, by_seed) for name, by_seed in rows.items()]
    body = [line for line in body if line]
    if body:
        print("targets, clips among captions / captions among clips\n")
        print(table(body, ["row", *QUALITY]) + "\n")
    for text in verdicts(figures):
        print(text)


def verdicts(figures: Mapping[str, Mapping[int, float]]) -> list[str]:
    """
    What the plan's rule says of hypotheses 1 to 3, over the seeds that both rows of a difference have.

    Args:
        figures: by row and seed.

    Returns:
        A sentence a hypothesis whose rows are there.
    """
    found = []
    for number, claim, pairs, stands in HYPOTHESES:
        if not all(name in figures for pair in pairs for name in pair):
            continue
        bounds = [bounds_of(paired_differences(figures, *pair)) for pair in pairs]
        intervals = ", ".join(
            f"{first} - {second} [{low:+.4f}, {high:+.4f}]"
            for (first, second), (low, high) in zip(pairs, bounds, strict=True)
        )
        seeds = min(len(paired_differences(figures, *pair)) for pair in pairs)
        verdict = "stands" if stands(bounds) else "does not stand"
        found.append(f"hypothesis {number} ({claim}) {verdict}: {intervals}, {seeds} seeds")
    return found


def paired_differences(figures: Mapping[str, Mapping[int, float]], first: str, second: str) -> list[float]:
    """Differences of two rows over the seeds that both have."""
    common = sorted(figures[first].keys() & figures[second].keys())
    return [figures[first][seed] - figures[second][seed] for seed in common]


def bounds_of(differences: Sequence[float]) -> tuple[float, float]:
    """Ends of the 95 % interval of Student's t around the mean; infinite for fewer than two values."""
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        return float("-inf"), float("inf")
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def read_rows(directory: Path) -> dict[str, dict[int, dict]]:
    """
    Finished rows by name and seed.

    Raises:
        SystemExit: if rows of one name were made by different recipes.
    """
    rows: dict[str, dict[int, dict]] = {}
    for path in sorted(directory.glob("*.json")):
        row = json.loads(path.read_text(encoding="utf-8"))
        others = rows.setdefault(row["row"], {})
        for other in others.values():
            if other["recipe_hash"] != row["recipe_hash"]:
                raise SystemExit(
                    f"{path}: made by another recipe ({row['recipe_hash']}) than seed {other['seed']} of the same row "
                    f"({other['recipe_hash']}); remove the older ones or train them again."
                )
        others[row["seed"]] = row
    return rows


def interval(differences: Sequence[float]) -> str:
    """Mean and 95 % interval of Student's t; the mean alone for fewer than two values."""
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        return f"{values.mean():+.4f}" if len(values) else ""
    low, high = bounds_of(values)
    return f"{values.mean():+.4f} [{low:+.4f}, {high:+.4f}]"


def _figure_line(name: str, by_seed: Mapping[int, float]) -> list[str]:
    values = np.array(list(by_seed.values()))
    spread = f"{values.std(ddof=1):.4f}" if len(values) > 1 else ""
    return [name, str(len(values)), f"{values.mean():.4f}", spread]


def _quality_line(name: str, by_seed: Mapping[int, Mapping]) -> list[str]:
    found = [row["targets"] for row in by_seed.values() if "targets" in row]
    if not found:
        return []
    means = {key: float(np.mean([part[key] for part in found])) for key in found[0]}
    return [
        name,
        *(f"{means[f'audio_to_text_{key}']:.3f} / {means[f'text_to_audio_{key}']:.3f}" for key in QUALITY),
    ]


if __name__ == "__main__":
    main()
