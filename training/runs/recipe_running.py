"""Runs a recipe: its stages in order, then the figures and answers of the result."""

import difflib
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset

from ...data.schema import unique_clips
from ...encoders import AudioTextEncoder, load_encoder
from ...evaluation.retrieval import RetrievalSplit, evaluate_retrieval
from ...files.cache_root import cache_root
from ...files.content_digests import ContentDigests
from ...files.saved_directories import last_complete_checkpoint
from ..models.model_building import BuiltModel, build_model, load_model
from ..recipe.reading import RecipeError, Stage, ignores_model, resolve_stages
from ..recipe.schema import EvaluationSection, Recipe
from ..teachers.cross_fitting import write_held_out_fold
from ..teachers.pooled_captions import PooledCaptions
from ..teachers.process_shares import first_on_main
from .needs import check_needs, check_tables
from .precision import with_effective_precision
from .run_directory import RunDirectory, as_it_began
from .stage_data import LoadedData, prepare_splits, refuse_outdated, without_bad_clips
from .stage_inputs import recorded_inputs
from .stage_objective import prepare_objective
from .stage_running import POOLED_CAPTIONS, run_stage

logger = logging.getLogger(__name__)

ANSWERS_A_QUESTION = 3
LONGEST_WAIT = timedelta(days=1)


def run_recipe(
    recipe: Recipe,
    *,
    only_stage: str | None = None,
    progress: bool = True,
    on_stage_end: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """
    Runs all stages, or one; skips finished stages and resumes unfinished ones.

    Args:
        recipe: the recipe.
        only_stage: run just this stage; those before it must be finished.
        progress: show progress bars.
        on_stage_end: called with the name of each stage that was trained, on the first process.

    Returns:
        The run's results: figures by test split (``figures``), those of the untrained model if requested
        (``untrained``), and ranked results (``answers``); empty if the last stage has not run yet, and on
        all processes but the first.

    Raises:
        RecipeError: if the recipe, its run directory or its stages do not allow it.
        DataError: if the data are invalid.
    """
    recipe = with_effective_precision(as_it_began(recipe))
    stages = resolve_stages(recipe)
    if only_stage is not None and only_stage not in recipe.stage_names():
        raise RecipeError(f"--stage {only_stage!r} is not a stage; there are {recipe.stage_names()}.")
    _check_best_metric(recipe.evaluation)
    # The other processes wait while the first renders and checks sounds; half an hour would be the default.
    process = PartialState(cpu=not torch.cuda.is_available(), timeout=LONGEST_WAIT)
    progress = progress and process.is_main_process

    if process.is_main_process and ignores_model(stages) and "model" in recipe.model_fields_set:
        logger.warning(
            "the recipe's section 'model' is not used: the model is that of %s", stages[0].starts_from
        )
    run = first_on_main(lambda: RunDirectory(recipe))
    wanted = [stage for stage in stages if only_stage in (None, stage.name)]
    # Before the directory is created for its lock, and again once the lock is acquired.
    first_on_main(lambda: check_needs([one for one in wanted if not run.is_finished(one.name)], run))
    with ExitStack() as held:
        first_on_main(lambda: held.enter_context(run.locked()) if process.is_main_process else None)
        # Another training may have ended in it while this one waited.
        run = first_on_main(lambda: RunDirectory(recipe))
        first_on_main(lambda: check_needs([one for one in wanted if not run.is_finished(one.name)], run))
        return _run_stages(recipe, stages, wanted, run, process, progress, on_stage_end)


def _run_stages(
    recipe: Recipe,
    stages: Sequence[Stage],
    wanted: Sequence[Stage],
    run: RunDirectory,
    process: PartialState,
    progress: bool,
    on_stage_end: Callable[[str], None] | None,
) -> dict[str, Any]:
    pooled_captions = _pooled_captions(stages, run)
    data = LoadedData(progress)
    digests = ContentDigests(cache_root(recipe.data.cache_dir))
    # All datasets, before the first of hours of training.
    first_on_main(
        lambda: [
            check_tables(stage, data.splits(stage), recipe.evaluation.relevance_column)
            for stage in wanted
            if not run.is_finished(stage.name)
        ]
    )
    for stage in wanted:
        if not run.is_finished(stage.name):
            _run(stage, recipe, run, process, data, digests, pooled_captions, progress)
            if on_stage_end is not None and process.is_main_process:
                on_stage_end(stage.name)
        else:
            if process.is_main_process:
                logger.warning("stage %s is finished: skipped", stage.name)
            first_on_main(
                lambda stage=stage: (
                    refuse_outdated(stage, recipe, run, data, digests) if process.is_main_process else None
                )
            )
    process.wait_for_everyone()
    if not (process.is_main_process and run.is_finished(stages[-1].name)):
        return {}
    return _report(recipe, stages[-1], run, data, pooled_captions, progress)


def _check_best_metric(evaluation: EvaluationSection) -> None:
    one = np.ones((1, 1), dtype=np.float32)
    known = list(RetrievalSplit([{}], [0], [""], [0]).metrics(one, one))
    if evaluation.best_metric not in known:
        nearest = difflib.get_close_matches(evaluation.best_metric, known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {known}."
        raise RecipeError(f"evaluation.best_metric={evaluation.best_metric!r} is not computed; {hint}")


def _pooled_captions(stages: Sequence[Stage], run: RunDirectory) -> PooledCaptions | None:
    freezes_text = any("text" in stage.training.freeze for stage in stages)
    return PooledCaptions(run.path / POOLED_CAPTIONS) if freezes_text else None


def _run(
    stage: Stage,
    recipe: Recipe,
    run: RunDirectory,
    process: PartialState,
    data: LoadedData,
    digests: ContentDigests,
    pooled_captions: PooledCaptions | None,
    progress: bool,
) -> None:
    models: list[BuiltModel] = []

    def splits_of_stage() -> dict[str, Dataset]:
        # Every process needs the same tables; only the first one decodes, compares and records.
        if not process.is_main_process:
            return without_bad_clips(data.splits(stage), run, stage.name)
        # Build the model before anything is written: its settings may be wrong, or its weights unavailable.
        models.append(_starting_model(stage, recipe, run))
        return prepare_splits(stage, recipe, run, data, digests, progress)

    splits = first_on_main(splits_of_stage)
    built = models[0] if models else _starting_model(stage, recipe, run)
    if stage.starts_from == "pretrained" and process.is_main_process:
        _score_untrained(recipe.evaluation, built, splits, run, pooled_captions, progress)
    process.wait_for_everyone()
    objective = prepare_objective(
        stage,
        splits["train"],
        directory=run.stage_dir(stage.name),
        model_of_stage=lambda name: run.model_dir(name) if name in recipe.stage_names() else None,
        batch_size=recipe.evaluation.batch_size,
        num_workers=recipe.evaluation.num_workers,
        pooled_captions=pooled_captions,
        digests=digests,
        has_begun=last_complete_checkpoint(run.stage_dir(stage.name)) is not None,
        progress=progress,
    )
    recorded = recorded_inputs(run.stage_dir(stage.name)) or {}
    summary = run_stage(
        stage,
        built,
        splits,
        recipe.evaluation,
        objective,
        directory=run.stage_dir(stage.name),
        run_name=f"{recipe.name}/{stage.name}",
        seed=recipe.seed,
        pooled_captions=pooled_captions,
        sounds=recorded.get("the sounds of train", {}).get("fingerprint"),
        progress=progress,
    )
    summary["weights"] = built.origins
    if process.is_main_process:
        held_out = data.held_out_fold(stage)
        if held_out is not None:
            write_held_out_fold(run.model_dir(stage.name), held_out)
            summary["held_out_fold"] = held_out.summary()
        run.finish(stage.name, summary)
    process.wait_for_everyone()


def _starting_model(stage: Stage, recipe: Recipe, run: RunDirectory) -> BuiltModel:
    if stage.starts_from == "pretrained":
        return build_model(stage.model, recipe.seed)
    if stage.starts_from in recipe.stage_names():
        return load_model(str(run.model_dir(stage.starts_from)))
    return load_model(stage.starts_from)


def splits_to_report(splits: dict[str, Dataset]) -> dict[str, Dataset]:
    """The test splits: those whose name begins with ``test``."""
    return {name: table for name, table in splits.items() if name.startswith("test")}


def _score(
    evaluation: EvaluationSection,
    encoder: AudioTextEncoder,
    splits: dict[str, Dataset],
    pooled_captions: PooledCaptions | None,
    progress: bool,
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, tuple[float, float]]]]:
    """Figures and their intervals by test split."""
    scores = {
        name: evaluate_retrieval(
            encoder,
            table,
            relevance_column=evaluation.relevance_column,
            batch_size=evaluation.batch_size,
            progress=progress,
            num_workers=evaluation.num_workers,
            embed_texts=pooled_captions.projected if pooled_captions else None,
        )
        for name, table in splits_to_report(splits).items()
    }
    figures, intervals = ({name: score[part] for name, score in scores.items()} for part in (0, 1))
    return figures, intervals


def _score_untrained(
    evaluation: EvaluationSection,
    built: BuiltModel,
    splits: dict[str, Dataset],
    run: RunDirectory,
    pooled_captions: PooledCaptions | None,
    progress: bool,
) -> None:
    if evaluation.compare_untrained and run.load("untrained") is None:
        encoder = built.encoder().to("cuda" if torch.cuda.is_available() else "cpu")
        run.save("untrained", _score(evaluation, encoder, splits, pooled_captions, progress)[0])


def _report(
    recipe: Recipe,
    stage: Stage,
    run: RunDirectory,
    data: LoadedData,
    pooled_captions: PooledCaptions | None,
    progress: bool,
) -> dict[str, Any]:
    splits = without_bad_clips(data.splits(stage), run, stage.name)
    encoder = load_encoder(run.model_dir(stage.name))
    figures, intervals = _score(recipe.evaluation, encoder, splits, pooled_captions, progress)
    results = {
        "model": str(run.model_dir(stage.name)),
        "relevance_column": recipe.evaluation.relevance_column,
        "evaluated": {
            name: _counts(table, recipe.evaluation.relevance_column)
            for name, table in splits_to_report(splits).items()
        },
        "figures": figures,
        "intervals": intervals,
        "untrained": run.load("untrained"),
        "answers": _answer(recipe.evaluation, encoder, splits),
    }
    run.save("results", results)
    return results


def _counts(table: Dataset, relevance_column: str) -> dict[str, int]:
    """Of an evaluated split: captions, clips, and the captions that are queries of their own."""
    split = RetrievalSplit.from_table(table, relevance_column)
    return {"captions": len(table), "clips": len(split.audio), "queries": len(split.captions)}


def _answer(
    evaluation: EvaluationSection, encoder: AudioTextEncoder, splits: dict[str, Dataset]
) -> list[dict[str, Any]]:
    """Ranks the first test split's clips for every question of the recipe."""
    tests = list(splits_to_report(splits).values())
    if not evaluation.questions or not tests:
        return []
    audio = list(unique_clips(tests[0])["audio"])
    clips, _ = encoder.embed_clips(
        audio, batch_size=evaluation.batch_size, num_workers=evaluation.num_workers
    )
    answers = []
    for question in evaluation.questions:
        scores = clips @ encoder.embed_texts([question])[0]
        best = scores.argsort(kind="stable")[::-1][:ANSWERS_A_QUESTION]
        ranked = [{"path": audio[index]["path"], "score": round(float(scores[index]), 4)} for index in best]
        answers.append({"question": question, "clips": ranked})
    return answers
