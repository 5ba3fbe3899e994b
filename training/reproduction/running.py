"""Runs a chain: the steps that are not done, in order, under a lock; it may be killed at any moment."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ...files.locking import DirectoryLockedError, directory_lock
from .chain_recipe import Chain
from .estimates import Assumptions, format_seconds, step_seconds
from .plan import Step, plan_chain
from .results_table import write_results
from .shopping_list import missing_items, shopping_list
from .step_making import CardWriter, make_step, remove_run
from .step_states import State, Workplace, state_of

LOCK = "reproduce.lock"
# Data workers keep the lock until they notice that their trainer was killed; this is longer.
LOCK_SECONDS = 10.0


class ReproductionError(ValueError):
    """A chain cannot start or continue; the message names the step and what to do."""


def run_chain(
    steps: Sequence[Step],
    place: Workplace,
    *,
    write_card: CardWriter,
    say: Callable[[str], None],
    retrain: bool = False,
) -> list[str]:
    """
    Runs every step that is not done.

    A step whose recorded inputs are unchanged is skipped. If they changed, it is rebuilt; a training is rebuilt
    only with ``retrain``, because it costs hours. Called again after a kill, trainings resume from their last
    checkpoint.

    Args:
        steps: steps of the plan.
        place: the chain with its places.
        write_card: writes the model card of a run's directory.
        say: called with a line for each step.
        retrain: delete outdated trainings and retrain them.

    Returns:
        The lines of the results table.

    Raises:
        ReproductionError: if something is missing, a training is outdated, or another process works in the
            directory.
    """
    _refuse_missing(steps, place)
    if place.out.exists() and not place.out.is_dir():
        raise ReproductionError(f"{place.out}: is a file; choose another directory.")
    try:
        with directory_lock(place.out, LOCK, seconds=LOCK_SECONDS):
            for number, step in enumerate(steps, start=1):
                _run_step(step, place, f"[{number}/{len(steps)}] {step.name}", write_card, say, retrain)
            return write_results(place.chain, _evaluated(steps, place), place.out)
    except DirectoryLockedError as error:
        raise ReproductionError(
            f"{place.out}: another process works in this directory; wait for it, or choose another one."
        ) from error


def _evaluated(steps: Sequence[Step], place: Workplace) -> list[tuple[Step, bool]]:
    """Steps with a row in the results table, and whether each is current: a narrowed call makes only its own."""
    made = {step.name for step in steps}
    chain = place.chain
    every = plan_chain(chain)
    narrowed = {step.name: step for step in steps}
    return [
        (narrowed.get(step.name, step), step.name in made or state_of(step, place).kind == "done")
        for step in every
        if step.kind in ("evaluate", "evaluate-ensemble")
    ]


def _refuse_missing(steps: Sequence[Step], place: Workplace) -> None:
    open_steps = [
        step for step in steps if step.kind in ("train", "bank") and state_of(step, place).kind != "done"
    ]
    missing = missing_items(shopping_list(place.chain, open_steps, place.data_dir))
    if missing:
        told = "; ".join(f"{item.what} ({item.place}: {item.missing})" for item in missing)
        raise ReproductionError(
            f"{len(missing)} things are missing: {told}. --plan lists them with the commands that bring them."
        )


def _run_step(
    step: Step,
    place: Workplace,
    title: str,
    write_card: CardWriter,
    say: Callable[[str], None],
    retrain: bool,
) -> None:
    if step.kind == "results":
        return
    state = state_of(step, place)
    if state.kind == "done":
        say(f"{title}: done")
        return
    if state.kind == "outdated" and step.kind == "train":
        _refuse_outdated(step, place, state, retrain)
        remove_run(step.run, place)
    said = {"begun": "resuming", "outdated": f"repeated ({'; '.join(state.reasons)})", "to do": "running"}
    say(f"{title}: {said[state.kind]}")
    make_step(step, place, write_card)


def _refuse_outdated(step: Step, place: Workplace, state: State, retrain: bool) -> None:
    if not retrain:
        directory = Path(place.out, "runs", step.run.name)
        raise ReproductionError(
            f"step {step.name!r}: was made from something else than there is today: {'; '.join(state.reasons)}. Bring "
            f"that back, or train it again with --retrain, which deletes {directory}."
        )


def format_plan(steps: Sequence[Step], place: Workplace, assumptions: Assumptions | None = None) -> list[str]:
    """
    The steps with their states and estimated times, as lines of text.

    Args:
        steps: steps of the plan.
        place: the chain with its places.
        assumptions: assumptions for the estimated times; None is the defaults.

    Raises:
        RecipeError: if a run's recipe cannot be read.
    """
    assumptions = assumptions or Assumptions()
    states: dict[str, State] = {}
    total = 0.0
    lines = [f"Steps: {len(steps)}", ""]
    for number, step in enumerate(steps, start=1):
        state = state_of(step, place)
        waits = [name for name in step.after if states[name].kind != "done"]
        states[step.name] = state if state.kind != "done" or not waits else State("outdated")
        told = state.kind
        if state.kind == "done" and waits:
            told = f"done, compared again after {waits[0]}"
        if state.reasons:
            told += f": {'; '.join(state.reasons)}"
        seconds = None if state.kind == "done" else step_seconds(step, place.chain, assumptions)
        if seconds is not None:
            total += seconds
            told += f" ({format_seconds(seconds)})"
        lines.append(f"{number:>3}. {step.name}: {told}")
        if state.kind != "done":
            lines.append(f"     from: {', '.join(step.inputs) or 'nothing'}")
            lines.append(f"     writes: {', '.join(step.outputs)}")
    done = sum(one.kind == "done" for one in states.values())
    lines += ["", f"Done: {done} of {len(steps)} steps."]
    if disk := _disk(place.chain, sum(step.kind == "train" for step in steps)):
        lines.append(f"Disk: {disk}")
    if total:
        lines.append(f"Training and banks: {format_seconds(total)}, an estimate under {assumptions}")
    if place.chain.section.times:
        lines.append(f"Times: {place.chain.section.times}")
    return lines


def _disk(chain: Chain, runs: int) -> str:
    """The estimated disk of this plan's runs, and what takes it."""
    section = chain.section
    if section.run_gigabytes is None:
        return section.disk
    estimate = f"estimate, {runs * section.run_gigabytes:.0f} GB for {runs} run{'' if runs == 1 else 's'}"
    return "; ".join(filter(None, (estimate, section.disk)))


__all__ = ["ReproductionError", "format_plan", "run_chain"]
