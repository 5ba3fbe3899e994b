"""The plan of a chain: its steps in order, with inputs and outputs; a pure function of the recipe."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..recipe.recipe_file import RecipeError
from .chain_recipe import WHOLE, Chain, Run, run_name

Kind = Literal["train", "bank", "evaluate", "card", "ensemble", "evaluate-ensemble", "results"]


@dataclass(frozen=True)
class Step:
    """
    One step of a chain.

    Attributes:
        name: shown to the user, such as ``train sid3_passt``; unique in a plan.
        kind: kind of the step.
        after: names of the steps whose results it needs.
        inputs: descriptions of its inputs.
        outputs: paths that it writes, relative to the output directory.
        current: descriptions of what must be unchanged for the step to be skipped.
        run: the training it belongs to; None for ensembles and the results table.
        ensemble: name of its ensemble.
        whole: whether it belongs to the training on the whole development set.
    """

    name: str
    kind: Kind
    after: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    current: str
    run: Run | None = None
    ensemble: str | None = None
    whole: bool = False

    @property
    def file_name(self) -> str:
        """File name of its record."""
        return self.name.replace(" ", "-") + ".json"


RESULTS = "results"


def plan_chain(
    chain: Chain,
    *,
    towers: Sequence[str] = (),
    only: Sequence[str] = (),
    whole_development: bool = False,
) -> list[Step]:
    """
    The steps of a chain in order.

    Args:
        chain: the recipe of recipes.
        towers: keep runs of these towers, and runs that they learn from; empty keeps all.
        only: runs (``sid3_passt``), ensembles (``E1``) or steps (``bank sid1_passt``): keep these and what they are
            made from. Empty keeps all.
        whole_development: also train all runs on the whole development set.

    Returns:
        The steps, each after the steps that it needs; the results table last.

    Raises:
        RecipeError: if a tower or a name is unknown.
    """
    section = chain.section
    for tower in towers:
        if tower not in section.towers:
            raise RecipeError(
                f"--towers {tower!r}: unknown tower; the towers are {', '.join(section.towers)}."
            )
    chosen = [tower for tower in section.towers if not towers or tower in towers]
    steps = list(_steps(chain, chosen, whole=False))
    if whole_development:
        if not section.whole_development:
            raise RecipeError(
                f"{chain.path}: has no section whole_development, which --whole-development needs."
            )
        steps += _steps(chain, chosen, whole=True)
    every = {step.name: step for step in steps}
    if only:
        steps = _with_needs(every, _targets(every, only))
    elif towers:
        wanted = [step.name for step in steps if step.run is None or step.run.tower in chosen]
        steps = _with_needs(every, wanted)
    return [*steps, _results_step(steps)]


def _steps(chain: Chain, towers: Sequence[str], *, whole: bool) -> Iterator[Step]:
    section = chain.section
    member_runs = [chain.run(system, tower, whole=whole) for system in section.members for tower in towers]
    for system in section.systems:
        for tower in section.towers:
            run = chain.run(system, tower, whole=whole)
            yield _train_step(chain, run)
            if not whole:
                yield _evaluate_step(chain, run)
            yield _card_step(run)
        if system == section.teachers:
            for tower in section.towers:
                yield _bank_step(chain, chain.run(system, tower, whole=whole))
    if len(member_runs) < 2:
        return
    for name in section.ensembles:
        yield _ensemble_step(name, member_runs, whole=whole)
        if not whole:
            yield _ensemble_evaluation_step(chain, name, member_runs)


def _train_step(chain: Chain, run: Run) -> Step:
    banked = {
        name for name in run.teachers if name.removeprefix(WHOLE).rpartition("_")[0] == chain.section.teachers
    }
    stage = chain.stage(run.system, run.tower)
    # A model that is only learned from is read from its bank.
    direct = [name for name in run.after if name not in banked or name in _started_from(chain, run)]
    return Step(
        f"train {run.name}",
        "train",
        (*(f"train {name}" for name in direct), *(f"bank {name}" for name in run.teachers if name in banked)),
        (
            f"recipe {chain.section.systems[run.system].replace('{tower}', run.tower)}",
            f"data: {', '.join(stage.data.sources)}",
            *(f"model {name}" for name in direct),
            *(f"bank {name}" for name in run.teachers if name in banked),
        ),
        (f"runs/{run.name}/{run.stage}/model", f"runs/{run.name}/results.json"),
        "recipe, start model, teacher banks, cluster model, augmentation files, rows and sounds",
        run,
        whole=run.whole,
    )


def _started_from(chain: Chain, run: Run) -> set[str]:
    stage = chain.stage(run.system, run.tower)
    prefix = WHOLE if run.whole else ""
    return {
        prefix + name.split("/")[1]
        for name in (stage.starts_from, stage.clusters.embed_with)
        if name and name.startswith("runs/")
    }


def _bank_step(chain: Chain, run: Run) -> Step:
    return Step(
        f"bank {run.name}",
        "bank",
        (f"train {run.name}",),
        (f"model {run.name}", "training rows of all systems that learn from it, mixes included"),
        (f"banks/{run.name}",),
        "the teacher's files, rows and sounds",
        run,
        whole=run.whole,
    )


def _evaluate_step(chain: Chain, run: Run) -> Step:
    section = chain.section
    splits = [section.test, *([section.validation] if run.system in section.members else [])]
    return Step(
        f"evaluate {run.name}",
        "evaluate",
        (f"train {run.name}",),
        (f"model {run.name}", *(f"split {name}" for name in splits), *_relevance(chain)),
        (
            *(f"similarities/{name}/{run.name}" for name in splits),
            f"evaluation/{run.name}.json",
            f"submissions/{run.name}.csv",
        ),
        "the model's files, rows and sounds of the splits, the relevance file",
        run,
    )


def _relevance(chain: Chain) -> tuple[str, ...]:
    return (f"relevance {chain.section.relevance}",) if chain.section.relevance else ()


def _card_step(run: Run) -> Step:
    return Step(
        f"card {run.name}",
        "card",
        (f"train {run.name}",),
        (f"record of {run.name}",),
        (f"runs/{run.name}/{run.stage}/model/README.md",),
        "the run's record and results",
        run,
        whole=run.whole,
    )


def _ensemble_step(name: str, members: Sequence[Run], *, whole: bool) -> Step:
    own = f"{WHOLE}{name}" if whole else name
    kind = "train" if whole else "evaluate"
    after = [f"{kind} {run.name}" for run in members]
    if whole:
        after.insert(0, f"ensemble {name}")
        inputs = (f"weights of {name}", *(f"model {run.name}" for run in members))
    else:
        inputs = tuple(f"validation similarities of {run.name}" for run in members)
    return Step(
        f"ensemble {own}",
        "ensemble",
        tuple(after),
        inputs,
        (f"ensembles/{own}.json",),
        "the members' similarities, the search's settings"
        if not whole
        else "the weights, the members' files",
        ensemble=name,
        whole=whole,
    )


def _ensemble_evaluation_step(chain: Chain, name: str, members: Sequence[Run]) -> Step:
    return Step(
        f"evaluate {name}",
        "evaluate-ensemble",
        (f"ensemble {name}", *(f"evaluate {run.name}" for run in members)),
        (f"ensemble {name}", "test similarities of its members", *_relevance(chain)),
        (f"evaluation/{name}.json", f"submissions/{name}.csv"),
        "the ensemble, the members' similarities, the relevance file",
        ensemble=name,
    )


def _results_step(steps: Sequence[Step]) -> Step:
    evaluated = tuple(step.name for step in steps if step.kind in ("evaluate", "evaluate-ensemble"))
    return Step(
        RESULTS,
        "results",
        evaluated,
        tuple(step.outputs[-2] for step in steps if step.name in evaluated),
        ("results.md", "results.json"),
        "written at the end of every call",
    )


def _targets(every: dict[str, Step], only: Sequence[str]) -> list[str]:
    found = []
    for name in only:
        # A run stands for its training, evaluation and card; an ensemble for its search and evaluation.
        own = [
            one
            for one, step in every.items()
            if name == one
            or (step.kind in ("train", "evaluate", "card") and step.run is not None and step.run.name == name)
            or (step.ensemble is not None and one.split(" ")[1] == name)
        ]
        if not own:
            runs = [one.removeprefix("train ") for one in every if one.startswith("train ")]
            ensembles = [one.removeprefix("ensemble ") for one in every if one.startswith("ensemble ")]
            raise RecipeError(
                f"--only {name!r}: no such run, ensemble or step; the runs are {', '.join(runs)}, the ensembles "
                f"{', '.join(ensembles) or 'none'}, and --plan lists the steps."
            )
        found += own
    return found


def _with_needs(every: dict[str, Step], wanted: Sequence[str]) -> list[Step]:
    kept: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept.add(name)
            waiting += every[name].after
    return [step for name, step in every.items() if name in kept]


__all__ = ["RESULTS", "Step", "plan_chain", "run_name"]
