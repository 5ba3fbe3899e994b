"""Runs a recipe: its stages in order, then the figures and answers of the result."""

import logging
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset

from ..data.schema import unique_clips
from ..evaluation.embedding import embed_captions, embed_clips
from ..evaluation.retrieval import evaluate_retrieval
from .model_building import BuiltModel, build_model, load_model
from .recipe import EvaluationSection, Recipe
from .recipe_reading import RecipeError, Stage, resolve_stages
from .run_directory import RunDirectory
from .split_loading import check_splits, load_splits
from .stage_running import run_stage

logger = logging.getLogger(__name__)

ANSWERS_A_QUESTION = 3


def run_recipe(recipe: Recipe, *, only_stage: str | None = None, progress: bool = True) -> dict[str, Any]:
    """
    Runs all stages, or one, skipping what is finished and resuming what is not.

    Args:
        recipe: the recipe.
        only_stage: run just this stage; those before it must be finished.
        progress: show progress bars.

    Returns:
        The run's results: figures a test split (``figures``), those of the untrained model where wanted
        (``untrained``), and ranked answers (``answers``); empty if the last stage has not run yet.

    Raises:
        RecipeError: if the recipe, its run directory or its stages do not allow it.
        DataError: if the data are not as they should be.
    """
    stages = resolve_stages(recipe)
    if only_stage is not None and only_stage not in recipe.stage_names():
        raise RecipeError(f"--stage {only_stage!r} is not a stage; there are {recipe.stage_names()}.")
    run = RunDirectory(recipe)
    process = PartialState(cpu=not torch.cuda.is_available())
    progress = progress and process.is_main_process
    if process.is_main_process:
        run.start()
    process.wait_for_everyone()
    for stage in stages:
        if only_stage not in (None, stage.name):
            continue
        if run.is_finished(stage.name):
            logger.warning("stage %s is finished: skipped", stage.name)
            continue
        _run(stage, recipe, run, process, progress)
    process.wait_for_everyone()
    if not run.is_finished(stages[-1].name):
        return {}
    if process.is_main_process:
        return _report(recipe, stages[-1], run, progress)
    return run.load("results") or {}


def _run(stage: Stage, recipe: Recipe, run: RunDirectory, process: PartialState, progress: bool) -> None:
    with process.main_process_first():
        splits = _prepare_splits(stage, run, process, progress)
    built = _starting_model(stage, recipe, run)
    if stage.starts_from == "pretrained" and process.is_main_process:
        _score_untrained(recipe.evaluation, built, splits, run, progress)
    process.wait_for_everyone()
    summary = run_stage(
        stage,
        built,
        splits,
        recipe.evaluation,
        directory=run.stage_dir(stage.name),
        run_name=f"{recipe.name}/{stage.name}",
        seed=recipe.seed,
        progress=progress,
    )
    summary["weights"] = built.origins
    if process.is_main_process:
        run.finish(stage.name, summary)
    process.wait_for_everyone()


def _prepare_splits(
    stage: Stage, run: RunDirectory, process: PartialState, progress: bool
) -> dict[str, Dataset]:
    splits = load_splits(stage.data, progress=progress)
    if not stage.data.check_audio:
        return splits
    # Every process needs the same tables; only the first one decodes and reports.
    if not process.is_main_process:
        return _without_bad_clips(splits, run, stage.name)
    splits, reports = check_splits(splits, stage.data, progress=progress)
    run.save(
        f"{stage.name}/audio_check",
        {name: {"checked": report.checked, "bad": report.bad} for name, report in reports.items()},
    )
    for name, report in reports.items():
        if report.bad:
            logger.warning("split %s: %d of %d clips left out", name, len(report.bad), report.checked)
    return splits


def _without_bad_clips(splits: dict[str, Dataset], run: RunDirectory, stage: str) -> dict[str, Dataset]:
    """The tables without what the main process found unusable when it checked them for a stage."""
    good = dict(splits)
    for name, report in (run.load(f"{stage}/audio_check") or {}).items():
        bad = {path for path, _ in report["bad"]}
        if bad:
            good[name] = splits[name].filter(
                lambda audio, bad=bad: audio["path"] not in bad, input_columns="audio"
            )
    return good


def _starting_model(stage: Stage, recipe: Recipe, run: RunDirectory) -> BuiltModel:
    if stage.starts_from == "pretrained":
        return build_model(recipe.model, recipe.seed)
    if stage.starts_from in recipe.stage_names():
        if not run.is_finished(stage.starts_from):
            raise RecipeError(
                f"stage {stage.name!r} starts from {stage.starts_from!r}, which is not finished; run that first."
            )
        return load_model(str(run.model_dir(stage.starts_from)))
    if not Path(stage.starts_from).is_dir():
        raise RecipeError(
            f"stage {stage.name!r}: starts_from={stage.starts_from!r} is neither 'pretrained', nor a stage "
            f"({recipe.stage_names()}), nor a directory."
        )
    return load_model(stage.starts_from)


def test_splits(splits: dict[str, Dataset]) -> dict[str, Dataset]:
    """The splits that results are stated on: those whose name begins with ``test``."""
    return {name: table for name, table in splits.items() if name.startswith("test")}


def _score(
    evaluation: EvaluationSection, built: BuiltModel, splits: dict[str, Dataset], progress: bool
) -> dict[str, dict[str, float]]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        name: evaluate_retrieval(
            built.model.to(device),
            built.processor,
            table,
            relevance_column=evaluation.relevance_column,
            batch_size=evaluation.batch_size,
            progress=progress,
        )
        for name, table in test_splits(splits).items()
    }


def _score_untrained(
    evaluation: EvaluationSection,
    built: BuiltModel,
    splits: dict[str, Dataset],
    run: RunDirectory,
    progress: bool,
) -> None:
    if evaluation.compare_untrained and run.load("untrained") is None:
        run.save("untrained", _score(evaluation, built, splits, progress))


def _report(recipe: Recipe, stage: Stage, run: RunDirectory, progress: bool) -> dict[str, Any]:
    splits = _without_bad_clips(load_splits(stage.data, progress=progress), run, stage.name)
    built = load_model(str(run.model_dir(stage.name)))
    results = {
        "model": str(run.model_dir(stage.name)),
        "figures": _score(recipe.evaluation, built, splits, progress),
        "untrained": run.load("untrained"),
        "answers": _answer(recipe.evaluation, built, splits),
    }
    run.save("results", results)
    return results


def _answer(
    evaluation: EvaluationSection, built: BuiltModel, splits: dict[str, Dataset]
) -> list[dict[str, Any]]:
    """Ranks the first test split's clips for every question of the recipe."""
    tests = list(test_splits(splits).values())
    if not evaluation.questions or not tests:
        return []
    audio = list(unique_clips(tests[0])["audio"])
    clips, _ = embed_clips(built.model, built.processor, audio, batch_size=evaluation.batch_size)
    answers = []
    for question in evaluation.questions:
        scores = clips @ embed_captions(built.model, built.processor, [question])[0]
        best = scores.argsort(kind="stable")[::-1][:ANSWERS_A_QUESTION]
        ranked = [{"path": audio[index]["path"], "score": round(float(scores[index]), 4)} for index in best]
        answers.append({"question": question, "clips": ranked})
    return answers
