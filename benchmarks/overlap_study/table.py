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
        common = sorted(figures[first].keys() & figures[second].keys())
        differences = [figures[first][seed] - figures[second][seed] for seed in common]
        body.append([f"{first} - {second}", str(len(common)), interval(differences)])
    print(table(body, ["difference", "seeds", "mean and 95 % interval"]) + "\n")
    body = [_quality_line(name, by_seed) for name, by_seed in rows.items()]
    body = [line for line in body if line]
    print("targets, clips among captions / captions among clips\n")
    print(table(body, ["row", *QUALITY]))


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
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():+.4f} [{values.mean() - half:+.4f}, {values.mean() + half:+.4f}]"


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
