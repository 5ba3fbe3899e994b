"""
Does distillation help where captions overlap, and does cross-fitting the teachers? Trains the study's missing rows.

    python benchmarks/overlap_study/run.py --seeds 11-18
    python benchmarks/overlap_study/run.py --rows control_u50,seen_u50,cross_fit_u50 --seeds 11-13
    python benchmarks/overlap_study/run.py --esc10 PATH_OF_ESC_10 --rows control,seen,cross_fit --seeds 21-23

A finished row is a small JSON file; a row that is there is skipped, unless it is of another recipe, row or
version of the study. Start and teachers of a seed are kept in the work directory and shared by its rows.
docs/experiments/overlap.md has the plan.
"""

import argparse
import hashlib
import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import yaml
from esc10_mixes import MixSettings, load_mixes, student_fold
from scene_data import SPLITS, SceneSplit, load_seed
from study_rows import MAIN, ROWS, StudyRow
from teacher_targets import cross_fitted_targets, mean_targets, target_quality
from training_loop import Targets, embed, figures, train

from auricle.data.scenes import SceneSettings
from auricle.files.saved_directories import write_json
from auricle.training.models.model_building import BuiltModel, build_model
from auricle.training.recipe.reading import read_recipe, resolve_stages
from auricle.training.teachers.cross_fitting import assign_folds

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "overlap_scenes.yaml"
ROWS_DIR = ROOT / "docs" / "experiments" / "rows"
ESC10_ROWS_DIR = ROOT / "docs" / "experiments" / "rows_esc10"
# To be raised when the study's code changes what a row is.
VERSION = 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--recipe", type=Path, default=RECIPE, help="data, model and training (default: %(default)s)"
    )
    parser.add_argument("--rows", default=",".join(MAIN), help=f"names, by commas, of {', '.join(ROWS)}")
    parser.add_argument("--seeds", required=True, help="such as 11-18 or 11,14")
    parser.add_argument(
        "--rows-dir", type=Path, help=f"finished rows (default: {ROWS_DIR}; of ESC-10 {ESC10_ROWS_DIR})"
    )
    parser.add_argument(
        "--work-dir", type=Path, default=Path("runs/overlap_study"), help="scenes, starts, teachers"
    )
    parser.add_argument(
        "--esc10",
        type=Path,
        help="a copy of ESC-10 or ESC-50: layers its recordings, instead of generating scenes",
    )
    arguments = parser.parse_args()
    rows_dir = arguments.rows_dir or (ESC10_ROWS_DIR if arguments.esc10 else ROWS_DIR)
    names = arguments.rows.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"--rows: there is no row {unknown[0]!r}; accepted are {', '.join(ROWS)}")
    for seed in seeds_of(arguments.seeds, parser):
        run_seed(arguments.recipe, names, seed, rows_dir, arguments.work_dir, arguments.esc10)


def seeds_of(text: str, parser: argparse.ArgumentParser) -> list[int]:
    """The seeds of "11-13,20"."""
    try:
        ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
        return [seed for part in ends for seed in range(part[0], part[-1] + 1)]
    except ValueError:
        parser.error(f"--seeds: {text!r} must be numbers by commas, or ranges such as 11-18")


def row_hash(recipe: Path, row: StudyRow, data: Mapping | None = None) -> str:
    """Sixteen hexadecimal digits of all that decides a row's figures but the seed; `data` replaces the recipe's."""
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    content.pop("description", None)
    if data is not None:
        content["data"] = dict(data)
    changed = {name: value for name, value in asdict(row).items() if value != getattr(StudyRow(), name)}
    settled = json.dumps([content, changed, VERSION], sort_keys=True)
    return hashlib.sha256(settled.encode()).hexdigest()[:16]


def row_path(directory: Path, name: str, seed: int) -> Path:
    return directory / f"{name}-{seed}.json"


def is_finished(path: Path, wanted: str) -> bool:
    """Whether a row is there, made by this recipe."""
    return path.is_file() and json.loads(path.read_text())["recipe_hash"] == wanted


def run_seed(
    recipe: Path, names: list[str], seed: int, rows_dir: Path, work_dir: Path, esc10: Path | None = None
) -> None:
    """Trains and writes the missing rows of a seed."""
    data = {"esc10_mixes": asdict(MixSettings())} if esc10 else None
    missing = [
        name
        for name in names
        if not is_finished(row_path(rows_dir, name, seed), row_hash(recipe, ROWS[name], data))
    ]
    if not missing:
        return
    work = Workshop(recipe, seed, work_dir, esc10)
    for name in missing:
        row, begun = ROWS[name], time.process_time()
        section = work.finetune.training.model_copy(update={"contrastive_weight": row.contrastive_weight})
        start, positives = work.start(row), work.positives(row)
        targets = work.targets(row)
        shared = time.process_time() - begun
        begun = time.process_time()
        model = train(
            start,
            work.train,
            section,
            seed=seed,
            positives=positives,
            targets=targets,
            distillation_temperature=row.temperature,
        )
        record = {
            "row": name,
            "seed": seed,
            "recipe": work.recipe.name,
            "data": "esc10_mixes" if esc10 else "scenes",
            "recipe_hash": row_hash(recipe, row, data),
            "settings": asdict(row),
            "commit": _commit(),
            "figures": work.figures(model),
            "start": work.figures(start),
            "cpu_seconds": round(time.process_time() - begun, 1),
            "cpu_seconds_start_and_teachers": round(shared, 1),
        }
        if targets is not None:
            record["teachers"] = work.teachers_figures(row)
            record["targets"] = target_quality(
                targets,
                work.train,
                batch_size=section.batch_size,
                temperature=row.temperature or work.recipe.model.temperature,
            )
        rows_dir.mkdir(parents=True, exist_ok=True)
        write_json(row_path(rows_dir, name, seed), record)
        figure, before = (record[of]["test"]["multi_text_to_audio_mAP@16"] for of in ("figures", "start"))
        print(
            f"seed {seed} {name}: mAP@16 {figure:.4f} (start {before:.4f}), "
            f"{record['cpu_seconds']:.0f} + {shared:.0f} CPU seconds",
            flush=True,
        )


class Workshop:
    """Data, start and teachers of one seed; made when first asked for, kept in the work directory."""

    def __init__(self, recipe: Path, seed: int, work_dir: Path, esc10: Path | None = None):
        self.recipe, self.seed, self.is_esc10 = read_recipe(str(recipe)), seed, esc10 is not None
        self.pretrain, self.finetune = resolve_stages(self.recipe)
        self.built: BuiltModel = build_model(self.recipe.model, seed)
        if esc10 is not None:
            mixes = MixSettings()
            key, own = row_hash(recipe, StudyRow(), {"esc10_mixes": asdict(mixes)}), mixes.train_scenes
            self.splits = load_mixes(mixes, seed, esc10, self.built, work_dir)
        else:
            scenes = self.recipe.data.scenes.model_dump(exclude={"weight"})
            key, own = row_hash(recipe, StudyRow()), scenes["train_scenes"]
            # As many scenes again for the teachers that never saw the student's; the first ones are the same.
            settings = SceneSettings(**{**scenes, "train_scenes": 2 * own, "seed": seed})
            self.splits = load_seed(settings, self.built, work_dir)
        self.directory = work_dir / key / f"seed-{seed}"
        self.directory.mkdir(parents=True, exist_ok=True)
        whole = self.splits["train"]
        self.train, _ = whole.of_clips(np.arange(own))
        self.others, _ = whole.of_clips(np.arange(own, 2 * own))

    def positives(self, row: StudyRow, split: SceneSplit | None = None) -> np.ndarray | None:
        """The pairs that carry a label; None for the captions' own clips alone."""
        if row.unlabelled is None:
            return None
        split = split or self.train
        without = split.truth & ~split.labels
        kept = row.unlabelled * split.truth.sum() / without.sum()
        drawn = np.random.default_rng(self.seed).random(without.shape)
        return split.labels | (without & (drawn >= kept))

    def start(self, row: StudyRow) -> torch.nn.Module:
        """The student before the second stage."""
        return self._trained("start", row, self.seed, self.train)

    def targets(self, row: StudyRow) -> Targets | None:
        """What the teachers of a row give the student to learn from."""
        if row.teachers == "none":
            return None
        models = self.teachers(row)
        found = [_similarities(*embed(model, self.train)) for model in models]
        if row.teachers in ("cross_fit", "swapped"):
            folds = self._folds(row.folds)
            answering = folds if row.teachers == "cross_fit" else (folds + 1) % row.folds
            by_fold = [np.mean(found[fold :: row.folds], axis=0) for fold in range(row.folds)]
            return cross_fitted_targets(by_fold, answering, self.train.clip_of_row, blocks=row.blocks)
        return mean_targets(found)

    def teachers_figures(self, row: StudyRow) -> list[dict]:
        """Of each teacher, on the test split."""
        return [
            figures(_similarities(*embed(model, self.splits["test"])), self.splits["test"])
            for model in self.teachers(row)
        ]

    def figures(self, model: torch.nn.Module) -> dict[str, dict[str, float]]:
        """Of a model, on all splits that it was not trained on."""
        return {
            name: figures(_similarities(*embed(model, self.splits[name])), self.splits[name])
            for name in SPLITS
            if name in self.splits
        }

    def _folds(self, folds: int) -> np.ndarray:
        if self.is_esc10:
            # Scenes of one half share no recording with those of the other.
            return student_fold(self.train.clip_ids)
        return assign_folds(self.train.clip_ids, folds, seed=self.seed)

    def teachers(self, row: StudyRow) -> list[torch.nn.Module]:
        """The models that a row's targets come from; with folds, one after another for each set of them."""
        if row.teachers == "self":
            return [self.start(row)]
        models = []
        for number in range(row.count):
            seed = 1000 * (number + 1) + self.seed
            if row.teachers == "seen":
                models.append(self._trained(f"seen-{number}", row, seed, self.train))
            elif row.teachers == "other":
                models.append(self._trained(f"other-{number}", row, seed, self.others))
            else:
                folds = self._folds(row.folds)
                for fold in range(row.folds):
                    part, _ = self.train.of_clips(np.flatnonzero(folds != fold))
                    models.append(self._trained(f"fold-{fold}-of-{row.folds}-{number}", row, seed, part))
        return models

    def _trained(self, name: str, row: StudyRow, seed: int, split: SceneSplit) -> torch.nn.Module:
        labels = "" if row.unlabelled is None else f"-u{round(100 * row.unlabelled):02d}"
        path = self.directory / f"{name}{labels}.pt"
        model = build_model(self.recipe.model, seed).model
        if path.is_file():
            model.load_state_dict(torch.load(path, weights_only=True), strict=False)
            return model.eval()
        # Fewer rows, as in a fold, are gone through oftener: as many steps for every teacher.
        section = self.pretrain.training
        share = (
            len(split.clip_of_row) // section.batch_size / (len(self.train.clip_of_row) // section.batch_size)
        )
        section = section.model_copy(update={"epochs": section.epochs / share})
        model = train(model, split, section, seed=seed, positives=self.positives(replace(row), split))
        kept = {key: value for key, value in model.state_dict().items() if not key.startswith("text_model.")}
        torch.save(kept, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
        return model


def _similarities(clips: np.ndarray, captions: np.ndarray) -> np.ndarray:
    return clips @ captions.T


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    return found.stdout.strip()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
