"""Runs the steps of a chain: training, teacher banks, evaluation, ensembles, submission files."""

import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ...data import DataError
from ...encoders import load_encoder
from ...evaluation.ensembles.ensemble import Ensemble, Member
from ...evaluation.ensembles.ensemble_weights import grid_search, two_level_search
from ...evaluation.protocol import evaluate_similarities, query_values
from ...evaluation.relevance import match_relevance, read_relevance
from ...evaluation.reports.submission import write_submission
from ...evaluation.similarities import Similarities, compute_similarities, weighted_sum
from ...files.json_files import write_json
from ...files.replacing import replace_path
from ..models.model_files import model_files_fingerprint
from ..runs.recipe_running import run_recipe
from ..teachers.teacher_bank import load_teacher, write_teacher_bank
from .chain_recipe import Run, bank_dir
from .plan import Step
from .step_states import Workplace, split_of

CardWriter = Callable[[Path], object]


def make_step(step: Step, place: Workplace, write_card: CardWriter) -> None:
    """
    Runs a step and records its inputs; existing outputs of the step are replaced.

    A training resumes from its last checkpoint. All others start again: a kill costs at most one of them.

    Args:
        step: the step; its inputs must exist.
        place: the chain with its places.
        write_card: writes the model card of a run's directory.

    Raises:
        ValueError: for errors of the step, in one line each.
    """
    if step.kind == "train":
        place.forget_tables()
        run_recipe(place.chain.recipe(step.run, place.data_dir, place.out), progress=place.progress)
    else:
        # First remove the record: if the step is killed, it must run again, whatever outputs exist.
        place.record_path(step).unlink(missing_ok=True)
        if step.kind == "bank":
            _make_bank(step.run, place)
        elif step.kind == "evaluate":
            _evaluate_run(step, place)
        elif step.kind == "card":
            write_card(place.out / "runs" / step.run.name)
        elif step.kind == "ensemble":
            _make_ensemble(step, place)
        elif step.kind == "evaluate-ensemble":
            _evaluate_ensemble(step, place)
        place.record(step)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def remove_run(run: Run, place: Workplace) -> None:
    """Deletes a training so that it starts again; if killed, the training is either complete or deleted."""
    directory = place.out / "runs" / run.name
    gone = directory.with_name(f".outdated_{run.name}")
    shutil.rmtree(gone, ignore_errors=True)
    if directory.exists():
        replace_path(directory, gone)
        shutil.rmtree(gone)


def _make_bank(run: Run, place: Workplace) -> None:
    model = place.chain.model_dir(run, place.out)
    write_teacher_bank(
        bank_dir(run.name, place.out),
        load_teacher(str(model)),
        {"train": place.bank_rows(run)},
        model_name=str(model),
        batch_size=place.chain.section.batch_size,
        digests=place.digests,
        model_files=model_files_fingerprint(str(model), place.digests),
        progress=place.progress,
    )


def _evaluate_run(step: Step, place: Workplace) -> None:
    section = place.chain.section
    tables = place.splits(step.run)
    encoder = load_encoder(str(place.chain.model_dir(step.run, place.out)))
    wanted = [section.test, *([section.validation] if step.run.system in section.members else [])]
    for name in wanted:
        similarities = compute_similarities(
            encoder,
            split_of(tables, name, step),
            name=step.run.name,
            batch_size=section.batch_size,
            progress=place.progress,
        )
        directory = place.similarities_dir(name, step.run)
        shutil.rmtree(directory, ignore_errors=True)
        similarities.save(directory)
        if name == section.test:
            _report(step.run.name, similarities, place)


def _report(name: str, similarities: Similarities, place: Workplace) -> None:
    section = place.chain.section
    relevant = None
    if section.relevance:
        annotations = read_relevance(place.data_dir / section.relevance)
        relevant = match_relevance(annotations, similarities.queries, similarities.clip_ids)
    report = evaluate_similarities(
        similarities, relevant=relevant, resamples=section.resamples, seed=section.seed
    )
    write_json(place.out / "evaluation" / f"{name}.json", report)
    submission = place.out / "submissions" / f"{name}.csv"
    submission.parent.mkdir(parents=True, exist_ok=True)
    write_submission(submission, similarities, queries=sorted(relevant) if relevant else None)


def _make_ensemble(step: Step, place: Workplace) -> None:
    section = place.chain.section
    settings = section.ensembles[step.ensemble]
    members = place.members(step)
    target = place.out / step.outputs[0]
    if step.whole:
        found = Ensemble.load(place.out / "ensembles" / f"{step.ensemble}.json")
        weights = {member.name: member.weight for member in found.members}
        how = {"method": f"weights of {step.ensemble}, members trained on the whole development set"}
    else:
        loaded = {
            _name(run): Similarities.load(place.similarities_dir(section.validation, run)) for run in members
        }
        first = next(iter(loaded.values()))
        for other in loaded.values():
            first.check_same_pairs(other)
        weights = _search(loaded, settings.inner, settings.metric, settings.parts, place)
        total = weighted_sum(list(loaded.values()), [weights[name] for name in loaded], step.ensemble)
        how = {
            "method": "systems-then-models" if settings.inner == "system" else "models-then-systems",
            "source": total.source,
            "split": total.split,
            "metric": f"{settings.metric}, single annotation",
            "members": {
                name: float(query_values(one)[settings.metric].mean()) for name, one in loaded.items()
            },
            "ensemble": float(query_values(total)[settings.metric].mean()),
        }
    Ensemble(
        tuple(
            Member(_name(run), os.path.abspath(place.chain.model_dir(run, place.out)), weights[_name(run)])
            for run in members
        ),
        how,
    ).save(target, relative=True)


def _search(
    loaded: dict[str, Similarities], inner: str, metric: str, parts: int, place: Workplace
) -> dict[str, float]:
    relevant = [[int(clip)] for clip in next(iter(loaded.values())).clip_of_query]
    scores = {tuple(name.split("/")): np.asarray(one.scores) for name, one in loaded.items()}
    options = {"parts": parts, "metric": metric, "progress": place.progress}
    if len({tower for _, tower in scores}) == 1 or len({system for system, _ in scores}) == 1:
        # With only one tower or one system, both levels are the same search.
        found, _ = grid_search(list(scores.values()), relevant, **options)
        return dict(zip(loaded, found, strict=True))
    weights = two_level_search(scores, relevant, inner=inner, **options)
    return {"/".join(name): weight for name, weight in weights.items()}


def _evaluate_ensemble(step: Step, place: Workplace) -> None:
    section = place.chain.section
    ensemble = Ensemble.load(place.out / "ensembles" / f"{step.ensemble}.json")
    weights = {member.name: member.weight for member in ensemble.members}
    members = place.members(step)
    if sorted(weights) != sorted(map(_name, members)):
        raise DataError(
            f"{step.name}: the ensemble is of {', '.join(sorted(weights))}, but the plan has "
            f"{', '.join(sorted(map(_name, members)))}."
        )
    total = weighted_sum(
        [Similarities.load(place.similarities_dir(section.test, run)) for run in members],
        [weights[_name(run)] for run in members],
        step.ensemble,
    )
    _report(step.ensemble, total, place)


def _name(run: Run) -> str:
    return f"{run.system}/{run.tower}"


__all__ = ["CardWriter", "make_step", "remove_run"]
