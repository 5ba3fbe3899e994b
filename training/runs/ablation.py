"""The on/off table of a recipe's ingredients: distillation, augmentation and clusters, over seeds."""

import hashlib
import itertools
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...files.cache_root import cache_root
from ...files.content_digests import ContentDigests
from ...files.saved_directories import read_json, write_json
from ..models.model_files import model_files_fingerprint
from ..recipe.reading import RecipeError, Stage, resolve_stages
from ..recipe.schema import Recipe, StageSection
from ..rows.split_loading import load_splits
from ..teachers.cross_fitting import read_held_out_fold
from ..teachers.teacher_bank import TeacherBank, load_teacher, write_teacher_bank
from .recipe_running import run_recipe
from .run_directory import RunDirectory
from .stage_data import LoadedData, refuse_outdated
from .stage_objective import why_bank_is_outdated

INGREDIENTS = ("distillation", "augmentation", "clusters")
# What a stage's section becomes where an ingredient is off.
SWITCHED_OFF: dict[str, dict[str, Any]] = {
    "distillation": {"teachers": []},
    "augmentation": {"word_deletion": 0.0, "back_translated": None},
    "clusters": {"labels": None, "embed_with": None},
}
NOTHING = "none"

logger = logging.getLogger(__name__)


def run_ablation(
    recipe: Recipe, seeds: Sequence[int], directory: Path, *, progress: bool = True
) -> dict[str, Any]:
    """
    Trains a recipe with every subset of its ingredients, once per seed.

    Stages without any ingredient are run once a seed and shared. The others are run for every subset, with the same
    epochs, data and starting weights: the row without any ingredient is the control with equal extra training,
    which the reports do not show. Finished runs are kept: called again, only what is missing is trained.

    Args:
        recipe: a recipe with at least one ingredient.
        seeds: seeds of the recipe; at least one, no two equal.
        directory: for the runs and the table.
        progress: show progress bars.

    Returns:
        ``ingredients``, ``seeds``, and ``figures``: for each subset (``"distillation+clusters"``, ``"none"``) and
        test split the metrics, a list of one value a seed. Empty on all processes but the first.

    Raises:
        RecipeError: if the recipe has no ingredient, contrastive weight 0, or the seeds are not usable.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise RecipeError(f"seeds {list(seeds)}: give one or more, none twice.")
    stages = resolve_stages(recipe)
    ingredients = [name for name in INGREDIENTS if any(_has(stage, name) for stage in stages)]
    if not ingredients:
        raise RecipeError(
            f"recipe {recipe.name!r}: no stage uses any of {', '.join(INGREDIENTS)}: nothing to switch off."
        )
    for stage in stages:
        if not stage.training.contrastive_weight:
            raise RecipeError(
                f"recipe {recipe.name!r}, stage {stage.name!r}: with training.contrastive_weight=0 it cannot be "
                "trained without distillation."
            )
    subsets = [
        subset for size in range(len(ingredients) + 1) for subset in itertools.combinations(ingredients, size)
    ]
    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    for seed in seeds:
        home = directory / f"seed-{seed}"
        varied = _varied_stages(stages)
        shared = _run_shared(recipe, stages, varied, seed, home, progress)
        for subset in subsets:
            name = "+".join(subset) or NOTHING
            logger.warning("seed %d: %s", seed, name)
            variant = _variant(recipe, stages, varied, subset, shared, seed, home, progress)
            results = _run(variant, progress)
            for split, metrics in results.get("figures", {}).items():
                for metric, value in metrics.items():
                    figures.setdefault(name, {}).setdefault(split, {}).setdefault(metric, []).append(value)
    table = {"recipe": recipe.name, "ingredients": ingredients, "seeds": list(seeds), "figures": figures}
    if figures:
        write_json(directory / "ablation.json", table)
    return table if figures else {}


def _has(stage: Stage, ingredient: str) -> bool:
    if ingredient == "augmentation":
        return stage.augmentation.is_on
    return getattr(stage, ingredient).is_on


def _varied_stages(stages: Sequence[Stage]) -> list[str]:
    """Names of the stages that an ingredient touches, themselves or through the model they start from."""
    varied: list[str] = []
    for stage in stages:
        if any(_has(stage, name) for name in INGREDIENTS) or stage.starts_from in varied:
            varied.append(stage.name)
    return varied


def _run_shared(
    recipe: Recipe, stages: Sequence[Stage], varied: list[str], seed: int, home: Path, progress: bool
) -> RunDirectory | None:
    own = [section for section in recipe.stages if section.name not in varied]
    if not own:
        return None
    shared = _changed(recipe, own, seed, home / "shared", stages)
    _run(shared, progress)
    return RunDirectory(shared)


def _run(recipe: Recipe, progress: bool) -> dict[str, Any]:
    """The results of a run; a run that finished earlier is not evaluated again."""
    directory = Path(recipe.run_dir)
    if (directory / "results.json").is_file():
        run = RunDirectory(recipe)  # refuses another recipe's
        data, digests = LoadedData(progress), ContentDigests(cache_root(recipe.data.cache_dir))
        for stage in resolve_stages(recipe):
            refuse_outdated(stage, recipe, run, data, digests)
        return read_json(directory / "results.json")
    return run_recipe(recipe, progress=progress)


def _changed(
    recipe: Recipe, sections: list[StageSection], seed: int, directory: Path, stages: Sequence[Stage]
) -> Recipe:
    starts = {stage.name: stage.starts_from for stage in stages}
    sections = [
        section.model_copy(update={"starts_from": section.starts_from or starts[section.name]})
        for section in sections
    ]
    evaluation = recipe.evaluation.model_copy(update={"questions": [], "compare_untrained": False})
    return recipe.model_copy(
        update={"seed": seed, "output_dir": str(directory), "stages": sections, "evaluation": evaluation}
    )


def _variant(
    recipe: Recipe,
    stages: Sequence[Stage],
    varied: list[str],
    subset: Sequence[str],
    shared: RunDirectory | None,
    seed: int,
    home: Path,
    progress: bool,
) -> Recipe:
    def place(name: str) -> str:
        return name if name in varied or shared is None else str(shared.model_dir(name))

    by_name = {stage.name: stage for stage in stages}
    shared_names = [stage.name for stage in stages if stage.name not in varied]
    sections = []
    for section in recipe.stages:
        if section.name not in varied:
            continue
        stage = by_name[section.name]
        start = stage.starts_from
        changes: dict[str, Any] = {"starts_from": place(start) if start in shared_names else start}
        for ingredient in INGREDIENTS:
            if ingredient not in subset:
                changes[ingredient] = _switched_off(stage, ingredient)
        if "distillation" in subset and stage.distillation.is_on:
            entries = [
                {
                    "source": _shared_bank(stage, entry.source, place(entry.source), home, recipe, progress)
                    if entry.source in shared_names
                    else entry.source,
                    "weight": entry.weight,
                }
                for entry in stage.distillation.teachers
            ]
            changes["distillation"] = {**section.distillation, "teachers": entries}
        source = stage.clusters.embed_with
        if "clusters" in subset and source in shared_names:
            changes["clusters"] = {**section.clusters, "embed_with": place(source)}
        sections.append(section.model_copy(update=changes))
    return _changed(recipe, sections, seed, home / ("+".join(subset) or NOTHING), stages)


def _switched_off(stage: Stage, ingredient: str) -> dict[str, Any]:
    # Named only where there are mixes: ablations from before there were any continue.
    without_mixes = {"mixes": None} if ingredient == "augmentation" and stage.augmentation.mixes else {}
    return SWITCHED_OFF[ingredient] | without_mixes


def _shared_bank(
    stage: Stage, teacher: str, model_dir: str, home: Path, recipe: Recipe, progress: bool
) -> str:
    """A shared teacher is run over the same rows once, not once a subset."""
    # A fold is named only where one is held out: banks of earlier ablations keep their names.
    unset = {"hold_out_fold"} if stage.data.hold_out_fold is None else set()
    data = stage.data.model_dump(mode="json", exclude=unset)
    rows = json.dumps(data, sort_keys=True) + (stage.augmentation.mixes or "")
    directory = home / "banks" / f"{teacher}-{hashlib.sha256(rows.encode()).hexdigest()[:12]}"
    digests = ContentDigests(cache_root(stage.data.cache_dir))
    files = model_files_fingerprint(model_dir, digests)
    is_there = TeacherBank.is_one(directory)
    reason = why_bank_is_outdated(directory, model_dir, files, None, digests) if is_there else None
    if reason is not None:
        logger.warning("%s; making the bank %s again", reason, directory)
    if reason is not None or not is_there:
        write_teacher_bank(
            directory,
            load_teacher(model_dir),
            {"train": load_splits(stage.data, mixes=stage.augmentation.mixes, progress=progress)["train"]},
            digests=digests,
            model_files=files,
            held_out_fold=read_held_out_fold(model_dir),
            model_name=teacher,
            batch_size=recipe.evaluation.batch_size,
            progress=progress,
        )
    return str(directory)
