"""A recipe of recipes: the systems of a report, how each is trained, and the metrics that the report states."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..recipe.reading import Stage, read_recipe, resolve_stages
from ..recipe.recipe_file import RecipeError, load_recipe_file
from ..recipe.schema import Recipe

WHOLE = "whole_"
# How a recipe names the result of another one.
_RESULT = re.compile(r"runs/([^/]+)/([^/]+)/model")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EnsembleSection(_Section):
    """A two-level grid search."""

    inner: Literal["system", "tower"] = Field(
        description="First level of weights: system (systems then models) or tower (models then systems)."
    )
    metric: Literal["mAP@10", "mAP@16"] = Field(
        default="mAP@16", description="Metric that the search maximises."
    )
    parts: int = Field(default=20, ge=1, description="The step of the grid is 1 divided by this number.")


class NeedSection(_Section):
    """Data, weights or augmentation files that must be in the data directory."""

    path: str = Field(description="Place below the data directory.")
    what: str = Field(description="Description.")
    holds: list[str] = Field(default_factory=list, description="Files or folders that must be in it.")
    get: list[str] = Field(
        description="Commands that bring it; {path}, {data}: its place, the data directory."
    )
    size: str = Field(default="size unknown", description="How large it is, in words.")
    gigabytes: float | None = Field(
        default=None, gt=0, description="To download, for an estimate of the time."
    )
    requests: int | None = Field(default=None, ge=1, description="Number of requests to a language model.")
    notes: list[str] = Field(default_factory=list, description="Further notes for the user.")
    systems: list[str] | None = Field(default=None, description="Systems that need it. Default: all.")
    towers: list[str] | None = Field(default=None, description="Towers that need it. Default: all.")
    catalog: str | None = Field(default=None, description="Entry of `auricle data fetch`, for its terms.")


class RowsSection(_Section):
    """Published size of a dataset, for time estimates before it is downloaded."""

    rows: int = Field(ge=1, description="Captions of its training rows.")
    captions: float = Field(default=1.0, ge=1, description="Captions a clip.")
    segments: float = Field(gt=0, description="Segments a clip, at most.")


class ChainSection(_Section):
    """The fields of a recipe of recipes."""

    name: str
    description: str = ""
    towers: list[str] = Field(min_length=1)
    systems: dict[str, str] = Field(min_length=1, description="Recipe files by system; {tower} is replaced.")
    teachers: str | None = Field(default=None, description="System whose models are embedded once, as banks.")
    members: list[str] = Field(default_factory=list, description="Systems of the ensembles.")
    ensembles: dict[str, EnsembleSection] = Field(default_factory=dict)
    data: dict[str, str] = Field(
        default_factory=dict, description="Places below the data directory by field of a recipe."
    )
    weights: str | None = Field(default=None, description="Place of published weights; {tower} is replaced.")
    relevance: str | None = Field(default=None, description="Place of the multiple annotations.")
    validation: str = "validation"
    test: str = "test"
    resamples: int = Field(default=1000, ge=1)
    seed: int = Field(default=0, ge=0)
    batch_size: int = Field(default=32, ge=1, description="Segments or captions embedded at a time.")
    fields: dict[str, Any] = Field(default_factory=dict, description="Fields of all recipes.")
    whole_development: dict[str, Any] = Field(
        default_factory=dict, description="Fields of all recipes for training on the whole development set."
    )
    needs: list[NeedSection] = Field(default_factory=list)
    rows: dict[str, RowsSection] = Field(
        default_factory=dict,
        description="Rows per dataset and mix; NAME_whole: rows that the whole development set adds.",
    )
    times: str = Field(default="", description="Known durations of the steps.")
    disk: str = Field(
        default="",
        description="What takes disk in the output directory; after the estimate of run_gigabytes.",
    )
    run_gigabytes: float | None = Field(
        default=None, gt=0, description="Estimated gigabytes of one run in the output directory."
    )
    paper: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="The report's metrics in percent, by run or ensemble."
    )


@dataclass(frozen=True)
class Run:
    """
    One training of the chain.

    Attributes:
        system: name of the system, such as ``sid3``.
        tower: name of the tower, such as ``passt``.
        whole: whether it trains on the whole development set.
        stage: name of its recipe's one stage.
        after: names of the runs whose models it starts from, learns from, or takes clusters from.
        teachers: names of the runs that it learns from, a part of ``after``.
    """

    system: str
    tower: str
    whole: bool
    stage: str
    after: tuple[str, ...]
    teachers: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the run, such as ``sid3_passt`` or ``whole_sid3_passt``."""
        return run_name(self.system, self.tower, self.whole)


def run_name(system: str, tower: str, whole: bool = False) -> str:
    """The name of a run, and of its directory."""
    return f"{WHOLE if whole else ''}{system}_{tower}"


@dataclass(frozen=True)
class Chain:
    """
    A checked recipe of recipes.

    Attributes:
        path: its file; recipes are named relative to it.
        section: its fields.
    """

    path: Path
    section: ChainSection

    @cached_property
    def _stages(self) -> dict[str, Stage]:
        return {
            run_name(system, tower): self._only_stage(system, tower)
            for system in self.section.systems
            for tower in self.section.towers
        }

    def stage(self, system: str, tower: str) -> Stage:
        """The one stage of a system's recipe for a tower, before paths are filled in."""
        return self._stages[run_name(system, tower)]

    def run(self, system: str, tower: str, *, whole: bool = False) -> Run:
        """
        A training and the runs that it depends on.

        Raises:
            RecipeError: if its recipe names a run outside the chain.
        """
        stage = self.stage(system, tower)
        teachers = [self._named_run(entry.source, system, tower) for entry in stage.distillation.teachers]
        others = [
            self._named_run(name, system, tower)
            for name in (stage.starts_from, stage.clusters.embed_with)
            if name
        ]
        named = [None if name is None else (WHOLE if whole else "") + name for name in (*others, *teachers)]
        own = [name for name in named[len(others) :] if name is not None]
        after = tuple(dict.fromkeys(name for name in named if name is not None))
        return Run(system, tower, whole, stage.name, after, tuple(own))

    def recipe_path(self, system: str, tower: str) -> Path:
        """The file of a system's recipe for a tower."""
        return self.path.parent / self.section.systems[system].replace("{tower}", tower)

    def recipe(self, run: Run, data_dir: Path, out: Path) -> Recipe:
        """
        The recipe of a run with paths filled in: its data, weights, banks, and results of other runs.

        Raises:
            RecipeError: if a value does not fit the recipe.
        """
        stage = self.stage(run.system, run.tower)
        fields: dict[str, Any] = {"output_dir": str(out / "runs" / run.name)}
        for field, place in self.section.data.items():
            if field_value(stage, field) is not None:
                fields[field] = str(data_dir / place)
        if self.section.weights and stage.starts_from == "pretrained" and not stage.model.audio.pretrained:
            place = self.section.weights.replace("{tower}", run.tower)
            fields["model.audio.pretrained"] = str(data_dir / place)
        if result := self._result(stage.starts_from, run, out):
            fields[f"stages.{stage.name}.starts_from"] = result
        if stage.clusters.embed_with and (result := self._result(stage.clusters.embed_with, run, out)):
            fields["clusters.embed_with"] = result
        if stage.distillation.teachers:
            fields["distillation.teachers"] = [
                {"source": self._teacher(entry.source, run, out), "weight": entry.weight}
                for entry in stage.distillation.teachers
            ]
        fields |= self.section.fields
        if run.whole:
            fields |= self.section.whole_development
        return read_recipe(self.recipe_path(run.system, run.tower), fields)

    def model_dir(self, run: Run, out: Path) -> Path:
        """Directory of a run's saved model."""
        return out / "runs" / run.name / run.stage / "model"

    def _only_stage(self, system: str, tower: str) -> Stage:
        path = self.recipe_path(system, tower)
        stages = resolve_stages(read_recipe(path))
        if len(stages) != 1:
            raise RecipeError(
                f"{self.path}: systems.{system}: {path} has {len(stages)} stages, but each recipe of a chain "
                "must have one."
            )
        return stages[0]

    def _named_run(self, name: str, system: str, tower: str) -> str | None:
        """The run that a recipe takes a result of; None for anything else."""
        found = _RESULT.fullmatch(name)
        if found is None:
            return None
        if found[1] not in self._stages or self._stages[found[1]].name != found[2]:
            raise RecipeError(
                f"{self.recipe_path(system, tower)}: names {name}, which is not a result of the chain {self.path}; "
                f"its runs are {', '.join(self._stages)}."
            )
        return found[1]

    def _result(self, name: str, run: Run, out: Path) -> str | None:
        other = self._named_run(name, run.system, run.tower)
        if other is None:
            return None
        return str(out / "runs" / f"{WHOLE if run.whole else ''}{other}" / self._stages[other].name / "model")

    def _teacher(self, name: str, run: Run, out: Path) -> str:
        other = self._named_run(name, run.system, run.tower)
        if other is not None and other in self._banked:
            return str(bank_dir(f"{WHOLE if run.whole else ''}{other}", out))
        return self._result(name, run, out) or name

    @cached_property
    def _banked(self) -> frozenset[str]:
        if self.section.teachers is None:
            return frozenset()
        return frozenset(run_name(self.section.teachers, tower) for tower in self.section.towers)


def bank_dir(teacher: str, out: Path) -> Path:
    """Directory of the teacher bank of a run's model."""
    return out / "banks" / teacher


def read_chain(path: str | os.PathLike[str]) -> Chain:
    """
    Reads a recipe of recipes, and all recipes that it names.

    Raises:
        RecipeError: if a file cannot be read, or contains an unknown field or a wrong value; the message names it.
    """
    values = load_recipe_file(path)
    try:
        section = ChainSection.model_validate(values)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise RecipeError(f"recipe {path}: {told}") from error
    _check_names(path, section)
    chain = Chain(Path(path), section)
    for system in section.systems:
        for tower in section.towers:
            chain.run(system, tower)
    return chain


def _check_names(path: str | os.PathLike[str], section: ChainSection) -> None:
    named: Mapping[str, list[str]] = {
        "members": section.members,
        "teachers": [section.teachers] if section.teachers else [],
    }
    for field, names in named.items():
        for name in names:
            if name not in section.systems:
                raise RecipeError(
                    f"recipe {path}: {field}: {name!r} is not a system; the systems are {', '.join(section.systems)}."
                )
    if section.ensembles and not section.members:
        raise RecipeError(f"recipe {path}: ensembles need members, that is, systems.")


def field_value(stage: Stage, field: str) -> Any:
    """The value of a field such as ``data.clotho.path``; None also for a dataset that the recipe does not read."""
    value: Any = stage
    for part in field.split("."):
        value = getattr(value, part, None)
    parts = field.split(".")
    # A place of a dataset counts only if the recipe reads that dataset.
    if parts[0] == "data" and parts[-1] == "path" and parts[1] not in stage.data.sources:
        return None
    return value


__all__ = [
    "WHOLE",
    "Chain",
    "ChainSection",
    "EnsembleSection",
    "NeedSection",
    "Run",
    "bank_dir",
    "field_value",
    "read_chain",
    "run_name",
]
