"""
Does an ensemble help where distillation hardly does? Mean similarities of models that the study has trained.

    python benchmarks/overlap_study/ensembles.py --seeds 11-18

Evaluates, for each seed, the start and the teacher of `seen` (the same scenes and training, other weights and
order), and the mean of their similarities. Trains what the work directory lacks. Finished figures are small JSON
files and are not computed again; the table of all of them is printed at the end.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from run import RECIPE, ROOT, Workshop, row_hash, seeds_of
from study_rows import StudyRow
from table import FIGURE, interval
from training_loop import embed, figures

from auricle.files.saved_directories import write_json

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import table

ROWS_DIR = ROOT / "docs" / "experiments" / "rows_ensembles"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", required=True, help="such as 11-18")
    parser.add_argument("--rows-dir", type=Path, default=ROWS_DIR, help="default: %(default)s")
    parser.add_argument("--work-dir", type=Path, default=Path("runs/overlap_study"), help="as of run.py")
    arguments = parser.parse_args()
    for seed in seeds_of(arguments.seeds, parser):
        path = arguments.rows_dir / f"ensemble_2-{seed}.json"
        if not path.is_file() or json.loads(path.read_text())["recipe_hash"] != row_hash(
            RECIPE, StudyRow("seen")
        ):
            arguments.rows_dir.mkdir(parents=True, exist_ok=True)
            write_json(path, evaluate(Workshop(RECIPE, seed, arguments.work_dir)))
    print_table(arguments.rows_dir)


def evaluate(work: Workshop) -> dict:
    """Figures of two models and of the mean of their similarities, on the test split."""
    row, split = StudyRow("seen"), work.splits["test"]
    found = []
    for model in (work.start(row), *work.teachers(row)):
        clips, captions = embed(model, split)
        found.append(clips @ captions.T)
    return {
        "row": "ensemble_2",
        "seed": work.seed,
        "recipe_hash": row_hash(RECIPE, row),
        "models": [figures(one, split) for one in found],
        "ensemble": figures(np.mean(found, axis=0), split),
    }


def print_table(directory: Path) -> None:
    """Means over seeds, and the ensemble's paired difference from the mean of its models."""
    rows = [json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))]
    singles = [float(np.mean([one[FIGURE] for one in row["models"]])) for row in rows]
    together = [row["ensemble"][FIGURE] for row in rows]
    gains = [both - single for both, single in zip(together, singles, strict=True)]
    body = [[str(len(rows)), f"{np.mean(singles):.4f}", f"{np.mean(together):.4f}", interval(gains)]]
    print(table(body, ["seeds", "mean of the models", "ensemble of two", "difference and 95 % interval"]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
