"""Which steps of a chain are done, outdated or to do, by the contents of their inputs."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset, concatenate_datasets

from ...data import DataError
from ...files.cache_root import cache_root
from ...files.content_digests import ContentDigests, directory_fingerprint
from ...files.json_files import read_json, write_json
from ...files.saved_directories import last_complete_checkpoint
from ..models.model_files import model_files_fingerprint
from ..recipe.reading import Stage, resolve_stages
from ..recipe.recipe_file import RecipeError
from ..recipe.schema import AugmentationSection
from ..runs.run_directory import RunDirectory
from ..runs.stage_data import LoadedData, compare_stage, stage_splits, without_bad_clips
from ..runs.stage_inputs import recorded_inputs, rows_fingerprint, sounds_of
from .chain_recipe import Chain, Run
from .plan import Step

RECORDS = "steps"
_NO_JITTER = {"mel_fmin_jitter": 0, "mel_fmax_jitter": 0}


@dataclass(frozen=True)
class State:
    """
    The state of a step.

    Attributes:
        kind: ``done``; ``outdated``, made from other inputs than the present ones; ``begun``, a training with a
            checkpoint; or ``to do``.
        reasons: what has changed.
    """

    kind: Literal["done", "outdated", "begun", "to do"]
    reasons: tuple[str, ...] = ()


@dataclass
class Workplace:
    """
    A chain with its paths and loaded data; tables are loaded when they are first needed.

    Attributes:
        chain: the recipe of recipes.
        data_dir: where data, weights and augmentation files are.
        out: where everything is written.
        progress: show progress bars.
    """

    chain: Chain
    data_dir: Path
    out: Path
    progress: bool = False
    _digests: ContentDigests | None = field(default=None, repr=False)

    @cached_property
    def data(self) -> LoadedData:
        """Tables, each loaded once."""
        return LoadedData(self.progress)

    @property
    def digests(self) -> ContentDigests:
        """Digests of files' contents, stored in the cache directory."""
        if self._digests is None:
            cache_dir = self.chain.section.fields.get("data.cache_dir")
            self._digests = ContentDigests(cache_root(cache_dir))
        return self._digests

    def forget_tables(self) -> None:
        """Frees the tables, since a training loads its own."""
        self.__dict__.pop("data", None)

    def splits(self, run: Run) -> dict[str, Dataset]:
        """
        The tables for evaluating a run, without clips that it found unreadable.

        Raises:
            DataError: if the data are invalid.
        """
        recipe = self.chain.recipe(run, self.data_dir, self.out)
        (stage,) = resolve_stages(recipe)
        # The first dataset gives all splits but the training's, which is not needed here.
        data = stage.data.model_copy(update={"source": stage.data.sources[0], **_NO_JITTER})
        stage = replace(stage, data=data, augmentation=AugmentationSection())
        return without_bad_clips(self.data.splits(stage), RunDirectory(recipe), stage.name)

    def bank_rows(self, teacher: Run) -> Dataset:
        """
        The training rows of all runs that learn from a teacher, each once, since they share its bank.

        Raises:
            DataError: if the data are invalid.
        """
        section = self.chain.section
        tables, seen = [], set()
        for system in section.systems:
            for tower in section.towers:
                run = self.chain.run(system, tower, whole=teacher.whole)
                if teacher.name not in run.teachers:
                    continue
                (stage,) = resolve_stages(self.chain.recipe(run, self.data_dir, self.out))
                stage = without_jitter(stage)
                key = (stage.data.model_dump_json(), stage.augmentation.mixes)
                if key not in seen:
                    seen.add(key)
                    tables.append(self.data.splits(stage)["train"])
        return _union(tables)

    def record_path(self, step: Step) -> Path:
        """Path of the record of a step's inputs."""
        return self.out / RECORDS / step.file_name

    def record(self, step: Step) -> None:
        """Marks a step as done, with the fingerprints of its inputs."""
        write_json(self.record_path(step), {"inputs": self.inputs(step)})

    def inputs(self, step: Step) -> dict[str, Any]:
        """
        Fingerprints of a step's inputs by role; None for missing inputs. Trainings are excluded, since they
        record their inputs themselves.

        Raises:
            DataError: if the data are invalid.
        """
        return _INPUTS[step.kind](self, step)

    def model_fingerprint(self, run: Run) -> str | None:
        """Fingerprint of the files of a run's model."""
        return model_files_fingerprint(str(self.chain.model_dir(run, self.out)), self.digests)

    def members(self, step: Step) -> list[Run]:
        """The runs of an ensemble: those of the chain that precede the step in the plan."""
        kind = "train " if step.whole else "evaluate "
        names = [name.removeprefix(kind) for name in step.after if name.startswith(kind)]
        section = self.chain.section
        runs = (
            self.chain.run(system, tower, whole=step.whole)
            for system in section.members
            for tower in section.towers
        )
        return [run for run in runs if run.name in names]

    def similarities_dir(self, split: str, run: Run) -> Path:
        """Path of the similarities of a run's model on a split."""
        return self.out / "similarities" / split / run.name


def state_of(step: Step, place: Workplace) -> State:
    """The state of a step; changes nothing."""
    if step.kind == "results":
        return State("to do")
    if step.kind == "train":
        return _state_of_training(step, place)
    recorded = read_json(place.record_path(step))
    if recorded is None or not all((place.out / name).exists() for name in step.outputs):
        return State("to do")
    try:
        now = place.inputs(step)
    except (DataError, RecipeError, OSError):
        # What was made outlives the data that it was made from.
        return State("done")
    before = recorded["inputs"]
    changed = [role for role in {**before, **now} if before.get(role) != now.get(role)]
    return State("outdated", tuple(f"{role} changed" for role in changed)) if changed else State("done")


def _state_of_training(step: Step, place: Workplace) -> State:
    assert step.run is not None
    recipe = place.chain.recipe(step.run, place.data_dir, place.out)
    (stage,) = resolve_stages(recipe)
    try:
        run = RunDirectory(recipe)
    except RecipeError as error:
        return State("outdated", (str(error),))
    directory = run.stage_dir(stage.name)
    finished = run.is_finished(stage.name)
    begun = last_complete_checkpoint(directory) is not None
    if recorded_inputs(directory) is None or not (finished or begun):
        return State("done" if finished and run.load("results") is not None else "to do")
    splits = stage_splits(without_jitter(stage), run, place.data)
    changed = compare_stage(stage, recipe, run, splits, place.digests).changed
    if changed:
        return State("outdated", tuple(changed))
    if finished:
        return State("done" if run.load("results") is not None else "begun")
    return State("begun")


def without_jitter(stage: Stage) -> Stage:
    """A stage without its tower's variation of mel filters, which does not affect tables, so that stages share them."""
    return replace(stage, data=stage.data.model_copy(update=_NO_JITTER))


def table_fingerprint(table: Dataset, digests: ContentDigests, *, progress: bool = False) -> str:
    """SHA-256 of ids, captions, clips and contents of a table's rows."""
    digest = hashlib.sha256(rows_fingerprint(table).encode())
    for column in sounds_of(table, digests, progress=progress).columns:
        digest.update(json.dumps([str(value) for value in column.to_pylist()]).encode())
    return digest.hexdigest()


def _union(tables: Sequence[Dataset]) -> Dataset:
    kept, seen = [], set()
    for table in tables:
        keys = zip(table["source"], table["split"], table["row_id"], strict=True)
        fresh = []
        for row, key in enumerate(keys):
            if key not in seen:
                seen.add(key)
                fresh.append(row)
        if fresh:
            kept.append(table if len(fresh) == len(table) else table.select(fresh))
    return kept[0] if len(kept) == 1 else concatenate_datasets(kept)


def _bank_inputs(place: Workplace, step: Step) -> dict[str, Any]:
    rows = place.bank_rows(step.run)
    return {
        "the teacher": place.model_fingerprint(step.run),
        "rows and sounds": table_fingerprint(rows, place.digests, progress=place.progress),
    }


def _evaluation_inputs(place: Workplace, step: Step) -> dict[str, Any]:
    section = place.chain.section
    tables = place.splits(step.run)
    wanted = [section.test, *([section.validation] if step.run.system in section.members else [])]
    return {
        "the model": place.model_fingerprint(step.run),
        **{
            f"rows and sounds of {name}": table_fingerprint(split_of(tables, name, step), place.digests)
            for name in wanted
        },
        **_protocol(place),
    }


def split_of(tables: dict[str, Dataset], name: str, step: Step) -> Dataset:
    """
    A split of a run's data.

    Raises:
        DataError: if the data have no split of this name.
    """
    if name not in tables:
        raise DataError(f"{step.name}: the data have no split {name!r}; the splits are {sorted(tables)}.")
    return tables[name]


def _protocol(place: Workplace) -> dict[str, Any]:
    section = place.chain.section
    return {
        "the relevance file": place.digests.of_file(place.data_dir / section.relevance)
        if section.relevance
        else None,
        "the bootstrap": [section.resamples, section.seed],
    }


def _card_inputs(place: Workplace, step: Step) -> dict[str, Any]:
    directory = place.out / "runs" / step.run.name
    return {
        "the run's record": place.digests.of_file(directory / step.run.stage / "stage.json"),
        "the run's results": place.digests.of_file(directory / "results.json"),
    }


def _ensemble_inputs(place: Workplace, step: Step) -> dict[str, Any]:
    section = place.chain.section
    settings = section.ensembles[step.ensemble].model_dump()
    if step.whole:
        weights = place.digests.of_file(place.out / "ensembles" / f"{step.ensemble}.json")
        return {
            "the weights": weights,
            **{f"model {run.name}": place.model_fingerprint(run) for run in place.members(step)},
        }
    return {
        "the search's settings": settings,
        **_similarities(place, step, section.validation),
    }


def _ensemble_evaluation_inputs(place: Workplace, step: Step) -> dict[str, Any]:
    return {
        "the ensemble": place.digests.of_file(place.out / "ensembles" / f"{step.ensemble}.json"),
        **_similarities(place, step, place.chain.section.test),
        **_protocol(place),
    }


def _similarities(place: Workplace, step: Step, split: str) -> dict[str, Any]:
    return {
        f"{split} similarities of {run.name}": directory_fingerprint(
            place.similarities_dir(split, run), place.digests
        )
        for run in place.members(step)
    }


_INPUTS: dict[str, Callable[[Workplace, Step], dict[str, Any]]] = {
    "bank": _bank_inputs,
    "evaluate": _evaluation_inputs,
    "card": _card_inputs,
    "ensemble": _ensemble_inputs,
    "evaluate-ensemble": _ensemble_evaluation_inputs,
}

__all__ = ["State", "Workplace", "split_of", "state_of", "table_fingerprint"]
