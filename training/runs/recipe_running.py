"""Runs a recipe: its stages in order, then the figures and answers of the result."""

import difflib
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset

from ...data.schema import unique_clips
from ...encoders import AudioTextEncoder, load_encoder
from ...evaluation.retrieval import RetrievalSplit, evaluate_retrieval
from ...files.saved_directories import last_complete_checkpoint
from ..models.model_building import BuiltModel, build_model, load_model
from ..models.pretrained_text import looks_like_path
from ..recipe.reading import RecipeError, Stage, resolve_stages
from ..recipe.schema import EvaluationSection, Recipe
from ..rows.split_loading import check_splits, load_splits, not_read
from ..teachers.pooled_captions import PooledCaptions
from ..teachers.process_shares import first_on_main
from .needed_inputs import check_inputs
from .run_directory import RunDirectory, as_it_began
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
    Runs all stages, or one, skipping what is finished and resuming what is not.

    Args:
        recipe: the recipe.
        only_stage: run just this stage; those before it must be finished.
        progress: show progress bars.
        on_stage_end: called with the name of each stage that was trained, on the first process.

    Returns:
        The run's results: figures a test split (``figures``), those of the untrained model where wanted
        (``untrained``), and ranked answers (``answers``); empty if the last stage has not run yet, and on
        all processes but the first.

    Raises:
        RecipeError: if the recipe, its run directory or its stages do not allow it.
        DataError: if the data are not as they should be.
    """
    recipe = as_it_began(recipe)
    stages = resolve_stages(recipe)
    if only_stage is not None and only_stage not in recipe.stage_names():
        raise RecipeError(f"--stage {only_stage!r} is not a stage; there are {recipe.stage_names()}.")
    _check_best_metric(recipe.evaluation)
    check_inputs(
        stage
        for stage in stages
        if only_stage in (None, stage.name)
        and not (Path(recipe.run_dir, stage.name) / "stage.json").is_file()
    )
    # The other processes wait while the first renders and checks sounds; half an hour would be the default.
    process = PartialState(cpu=not torch.cuda.is_available(), timeout=LONGEST_WAIT)
    progress = progress and process.is_main_process

    def open_run() -> RunDirectory:
        run = RunDirectory(recipe)
        if process.is_main_process:
            run.start()
        return run

    run = first_on_main(open_run)
    pooled_captions = _pooled_captions(stages, run)
    for stage in stages:
        if only_stage not in (None, stage.name):
            continue
        if not run.is_finished(stage.name):
            _run(stage, recipe, run, process, pooled_captions, progress)
            if on_stage_end is not None and process.is_main_process:
                on_stage_end(stage.name)
        elif process.is_main_process:
            logger.warning("stage %s is finished: skipped", stage.name)
    process.wait_for_everyone()
    if not (process.is_main_process and run.is_finished(stages[-1].name)):
        return {}
    return _report(recipe, stages[-1], run, pooled_captions, progress)


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
    pooled_captions: PooledCaptions | None,
    progress: bool,
) -> None:
    _check_start(stage, recipe, run)
    _check_teachers(stage, recipe, run)
    splits = first_on_main(lambda: _prepare_splits(stage, recipe, run, process, progress))
    built = first_on_main(lambda: _starting_model(stage, recipe, run))
    if stage.starts_from == "pretrained" and process.is_main_process:
        _score_untrained(recipe.evaluation, built, splits, run, pooled_captions, progress)
    process.wait_for_everyone()
    objective = prepare_objective(
        stage,
        splits["train"],
        directory=run.stage_dir(stage.name),
        model_of_stage=lambda name: run.model_dir(name) if name in recipe.stage_names() else None,
        batch_size=recipe.evaluation.batch_size,
        pooled_captions=pooled_captions,
        progress=progress,
    )
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
        progress=progress,
    )
    summary["weights"] = built.origins
    if process.is_main_process:
        run.finish(stage.name, summary)
    process.wait_for_everyone()


def _prepare_splits(
    stage: Stage, recipe: Recipe, run: RunDirectory, process: PartialState, progress: bool
) -> dict[str, Dataset]:
    splits = load_splits(stage.data, mixes=stage.augmentation.mixes, progress=progress)
    for name, table in splits.items():
        column = recipe.evaluation.relevance_column
        if name != "train" and column not in table.column_names:
            raise RecipeError(
                f"evaluation.relevance_column={column!r} is not a column of split {name!r}; there are "
                f"{table.column_names}."
            )
    # Every process needs the same tables; only the first one decodes and reports.
    if not process.is_main_process:
        return _without_bad_clips(splits, run, stage.name)
    if stage.data.check_audio:
        good, reports = check_splits(splits, stage.data, progress=progress)
        run.save(
            f"{stage.name}/audio_check",
            {
                name: {
                    "checked": report.checked,
                    "bad": report.bad,
                    "counts": report.counts,
                    "remarks": report.remarks,
                    "left_out": sorted(set(splits[name]["clip_id"]) - set(good[name]["clip_id"])),
                }
                for name, report in reports.items()
            },
        )
        run.save(f"{stage.name}/not_read", not_read(stage.data).as_json())
        for name, report in reports.items():
            if report.bad:
                logger.warning("split %s: %d of %d clips left out", name, len(report.bad), report.checked)
        splits = good
    _refuse_changed_data(stage, run, splits)
    licenses = Counter(unique_clips(splits["train"])["license"])
    run.save(f"{stage.name}/licenses", dict(licenses.most_common()))
    return splits


def _refuse_changed_data(stage: Stage, run: RunDirectory, splits: dict[str, Dataset]) -> None:
    """A checkpoint only fits the rows it was trained on: the order of the next ones depends on all of them."""
    known = {
        name: {"rows": len(table), "sha256": _fingerprint(table)}
        for name, table in splits.items()
        if name in ("train", "validation")
    }
    before = run.load(f"{stage.name}/data")
    if before == known:
        return
    if before is not None and last_complete_checkpoint(run.stage_dir(stage.name)) is not None:
        rows = {name: entry["rows"] for name, entry in before.items()}
        raise RecipeError(
            f"stage {stage.name!r}: the data have changed since it began (rows then {rows}, now "
            f"{ {name: entry['rows'] for name, entry in known.items()} }). Bring them back, or choose another "
            "--output_dir."
        )
    run.save(f"{stage.name}/data", known)


def _fingerprint(table: Dataset) -> str:
    digest = hashlib.sha256()
    for row_id, caption in zip(table["row_id"], table["caption"], strict=True):
        digest.update(f"{row_id}\0{caption}\n".encode())
    return digest.hexdigest()


def _without_bad_clips(splits: dict[str, Dataset], run: RunDirectory, stage: str) -> dict[str, Dataset]:
    """The tables without what the main process found unusable when it checked them for a stage."""
    good = dict(splits)
    for name, report in (run.load(f"{stage}/audio_check") or {}).items():
        left_out = set(report["left_out"])
        if left_out and name in splits:
            kept = [row for row, clip in enumerate(splits[name]["clip_id"]) if clip not in left_out]
            good[name] = splits[name].select(kept)
    return good


def _check_start(stage: Stage, recipe: Recipe, run: RunDirectory) -> None:
    if stage.starts_from == "pretrained":
        return
    if stage.starts_from in recipe.stage_names():
        if not run.is_finished(stage.starts_from):
            raise RecipeError(
                f"stage {stage.name!r} starts from {stage.starts_from!r}, which is not finished; run that first."
            )
    elif not Path(stage.starts_from).is_dir() and (
        looks_like_path(stage.starts_from) or "/" not in stage.starts_from
    ):
        raise RecipeError(
            f"stage {stage.name!r}: starts_from={stage.starts_from!r} is neither 'pretrained', nor a stage "
            f"({recipe.stage_names()}), nor a directory, nor a Hub id (owner/name); "
            f"if it is another recipe's result, run that one first."
        )


def _check_teachers(stage: Stage, recipe: Recipe, run: RunDirectory) -> None:
    teachers = [entry.source for entry in stage.distillation.teachers] if stage.distillation.is_on else []
    source = stage.clusters.embed_with if stage.clusters.is_on else None
    for what, name in [("learns from", name) for name in teachers] + [("takes clusters from", source)]:
        if name in recipe.stage_names() and not run.is_finished(name):
            raise RecipeError(
                f"stage {stage.name!r} {what} {name!r}, which is not finished; run that stage first."
            )


def _starting_model(stage: Stage, recipe: Recipe, run: RunDirectory) -> BuiltModel:
    if stage.starts_from == "pretrained":
        return build_model(stage.model, recipe.seed)
    if stage.starts_from in recipe.stage_names():
        return load_model(str(run.model_dir(stage.starts_from)))
    return load_model(stage.starts_from)


def splits_to_report(splits: dict[str, Dataset]) -> dict[str, Dataset]:
    """The splits that results are stated on: those whose name begins with ``test``."""
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
    recipe: Recipe, stage: Stage, run: RunDirectory, pooled_captions: PooledCaptions | None, progress: bool
) -> dict[str, Any]:
    splits = _without_bad_clips(load_splits(stage.data, progress=progress), run, stage.name)
    encoder = load_encoder(run.model_dir(stage.name))
    figures, intervals = _score(recipe.evaluation, encoder, splits, pooled_captions, progress)
    results = {
        "model": str(run.model_dir(stage.name)),
        "figures": figures,
        "intervals": intervals,
        "untrained": run.load("untrained"),
        "answers": _answer(recipe.evaluation, encoder, splits),
    }
    run.save("results", results)
    return results


def _answer(
    evaluation: EvaluationSection, encoder: AudioTextEncoder, splits: dict[str, Dataset]
) -> list[dict[str, Any]]:
    """Ranks the first test split's clips for every question of the recipe."""
    tests = list(splits_to_report(splits).values())
    if not evaluation.questions or not tests:
        return []
    audio = list(unique_clips(tests[0])["audio"])
    clips, _ = encoder.embed_clips(audio, batch_size=evaluation.batch_size)
    answers = []
    for question in evaluation.questions:
        scores = clips @ encoder.embed_texts([question])[0]
        best = scores.argsort(kind="stable")[::-1][:ANSWERS_A_QUESTION]
        ranked = [{"path": audio[index]["path"], "score": round(float(scores[index]), 4)} for index in best]
        answers.append({"question": question, "clips": ranked})
    return answers
