"""Reads a recipe and its stages from a YAML file and command-line overrides, and checks them."""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from .recipe_file import SPELLINGS, RecipeError, load_recipe_file, merged, parse_yaml
from .schema import (
    AugmentationSection,
    ClusterSection,
    DataSection,
    DistillationSection,
    ModelSection,
    Recipe,
    StageSection,
    TrainingSection,
)

Kind = TypeVar("Kind", bound=BaseModel)


@dataclass(frozen=True)
class Stage:
    """A stage: the shared sections merged with its own differences, and checked."""

    name: str
    starts_from: str
    data: DataSection
    model: ModelSection
    augmentation: AugmentationSection
    distillation: DistillationSection
    clusters: ClusterSection
    training: TrainingSection


def read_recipe(path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Recipe:
    """
    Reads a recipe file.

    Args:
        path: a YAML file; ``extends`` in it names another file, and it then states only the differences.
        overrides: values by dotted field (``training.epochs``), by a field's bare name where only one section
            has it (``epochs``), or for one stage (``stages.finetune.training.epochs``). They win over the file
            and, unless given for a stage, over its stages.

    Returns:
        The checked recipe.

    Raises:
        RecipeError: if the file is missing, is not YAML, or contains an unknown field or a wrong value.
    """
    recipe = read_settings(Recipe, path, overrides)
    resolve_stages(recipe, os.fspath(path))
    return recipe


def read_settings(
    model: type[Kind], path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None
) -> Kind:
    """
    Reads a recipe file of any kind.

    Args:
        model: the kind of recipe, as a pydantic model.
        path, overrides: as of [`read_recipe`].

    Raises:
        RecipeError: as [`read_recipe`].
    """
    path = os.fspath(path)
    values = load_recipe_file(path)
    for field, value in (overrides or {}).items():
        _override(model, values, field, value, path)
    return _validate(model, values, f"recipe {path}")


def resolve_stages(recipe: Recipe, origin: str | None = None) -> list[Stage]:
    """
    Merges the shared sections into every stage.

    Raises:
        RecipeError: if a stage sets an unknown field or a wrong value.
    """
    stages = []
    for index, stage in enumerate(recipe.stages):
        where = f"recipe {origin or recipe.name}, stage {stage.name!r}"
        before = recipe.stages[index - 1].name if index else "pretrained"
        starts_from = stage.starts_from or before
        if stage.model and starts_from != "pretrained":
            raise RecipeError(
                f"{where}: model can only differ where a stage starts from 'pretrained'; this one starts from "
                f"{starts_from!r} and takes the model of that stage or directory."
            )
        sections = {
            name: _merge(getattr(recipe, name), getattr(stage, name), f"{where}: {name}")
            for name in ("data", "model", "augmentation", "distillation", "clusters", "training")
        }
        resolved = Stage(name=stage.name, starts_from=starts_from, **sections)
        _check_sources(resolved, [earlier.name for earlier in recipe.stages[:index]], recipe, where)
        _check_folds(resolved, {earlier.name: earlier for earlier in stages}, where)
        stages.append(resolved)
    return stages


def ignores_model(stages: Sequence[Stage]) -> bool:
    """Whether every stage starts from an existing model, so that the recipe's section ``model`` is not used."""
    return bool(stages) and not any(stage.starts_from == "pretrained" for stage in stages)


def _check_sources(stage: Stage, earlier: list[str], recipe: Recipe, where: str) -> None:
    """A later stage's model, or the stage's own, does not exist when it is needed."""
    named = {
        f"distillation.teachers: {entry.source!r}": entry.source for entry in stage.distillation.teachers
    }
    if stage.clusters.embed_with:
        named[f"clusters.embed_with={stage.clusters.embed_with!r}"] = stage.clusters.embed_with
    for what, name in named.items():
        if name in recipe.stage_names() and name not in earlier:
            raise RecipeError(
                f"{where}: {what} is a stage that does not come before it; these do: {earlier}."
            )
    training = stage.training
    if not training.contrastive_weight and not stage.distillation.is_on:
        raise RecipeError(
            f"{where}: training.contrastive_weight=0 needs distillation.teachers: nothing else "
            "is left to learn from."
        )


def _check_folds(stage: Stage, earlier: Mapping[str, Stage], where: str) -> None:
    """What a teacher is said not to have seen must not reach it by its start, its own teachers or mixes."""
    fold = stage.data.hold_out_fold
    if fold is not None:
        start = earlier.get(stage.starts_from)
        if start is not None and start.data.hold_out_fold != fold:
            raise RecipeError(
                f"{where}: data.hold_out_fold does not hold for {start.name!r}, which the stage starts from and which "
                "has seen the fold; let it start from 'pretrained', or hold the same fold out there."
            )
        if stage.augmentation.mixes:
            raise RecipeError(
                f"{where}: data.hold_out_fold and augmentation.mixes exclude each other: a mix may hold a recording "
                "of the fold."
            )
        if stage.distillation.is_on:
            raise RecipeError(
                f"{where}: data.hold_out_fold and distillation.teachers exclude each other: teachers that saw the fold "
                "would pass it on."
            )
    if not (stage.distillation.cross_fit and stage.distillation.is_on):
        return
    for entry in stage.distillation.teachers:
        teacher = earlier.get(entry.source)
        its = teacher.data.hold_out_fold if teacher else None
        if teacher is not None and (its is None or its.folds != stage.distillation.cross_fit):
            raise RecipeError(
                f"{where}: distillation.cross_fit={stage.distillation.cross_fit} needs teachers that held out one "
                f"of so many folds, but stage {teacher.name!r} has data.hold_out_fold="
                f"{None if its is None else its.model_dump()}."
            )


def parse_overrides(arguments: list[str], model: type[BaseModel] = Recipe) -> dict[str, Any]:
    """
    Turns ``--field value`` and ``--field=value`` arguments into overrides.

    Values are parsed as YAML, except for text fields: a folder may be named ``2024`` or ``on``.
    Hyphens in a field's name are underscores.

    Args:
        arguments: the arguments after the recipe.
        model: the kind of recipe.

    Raises:
        RecipeError: for an argument without a value or one that does not start with ``--``.
    """
    overrides: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--") or argument in ("--", "--="):
            raise RecipeError(f"argument {argument!r}: expected --field value.")
        field, equals, value = argument[2:].partition("=")
        if not equals:
            if not rest:
                raise RecipeError(f"argument --{field}: a value is missing.")
            value = rest.pop(0)
        # A stage's name may contain hyphens.
        if not field.startswith("stages."):
            field = field.replace("-", "_")
        overrides[field] = _read_value(model, field, value)
    return overrides


def _read_value(model: type[BaseModel], field: str, text: str) -> Any:
    if text not in ("", "null", "~") and _is_text_field(model, field):
        return text
    try:
        return parse_yaml(text)
    except RecipeError as error:
        raise RecipeError(f"argument --{field}: {error}") from error


def _is_text_field(model: type[BaseModel], field: str) -> bool:
    """Whether every field of this name, bare or dotted, is a text field; ``stages.<name>.`` may precede it."""
    kinds = {
        kind
        for name, kind, _, _ in list_fields(model)
        if name == field
        or name.endswith(f".{field}")
        or (field.startswith("stages.") and field.endswith(f".{name}"))
    }
    return bool(kinds) and kinds <= {"str", "str | None"}


def list_fields(model: type[BaseModel] = Recipe, prefix: str = "") -> list[tuple[str, str, str, str]]:
    """Every field of a recipe, including those of sections, as (dotted name, type, default, description)."""
    rows = []
    for name, field in model.model_fields.items():
        section = _section_class(field.annotation)
        if section is not None:
            rows += list_fields(section, f"{prefix}{name}.")
            continue
        kind = getattr(field.annotation, "__name__", None) if not get_args(field.annotation) else None
        kind = kind or str(field.annotation).replace("typing.", "")
        default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
        rows.append((prefix + name, kind, default, field.description or ""))
    return rows


def _section_class(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _merge(shared: BaseModel, own: Mapping[str, Any], where: str) -> Any:
    return _validate(type(shared), merged(shared.model_dump(), own), where)


def _validate(model: type[BaseModel], values: Mapping[str, Any], where: str) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError(
            f"{where}: " + "; ".join(_explain(model, item) for item in error.errors())
        ) from error


def _explain(model: type[BaseModel], item: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = _fields_at(model, item["loc"][:-1])
        nearest = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known fields: {', '.join(sorted(known))}"
        return f"{field} is not a known field; {hint}"
    if item["type"] == "missing":
        return f"{field} is missing"
    problem = item["msg"].removeprefix("Value error, ")
    return f"{field or 'value'}: {problem} (got {item['input']!r})" if field else problem


def _fields_at(model: type[BaseModel], location: tuple) -> list[str]:
    for part in location:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = None if field is None else _section_class(field.annotation)
        if inner is None:
            inner = StageSection if part == "stages" else model
        model = inner
    return list(model.model_fields)


def _override(model: type[BaseModel], values: dict[str, Any], field: str, value: Any, path: str) -> None:
    stages = [stage for stage in values.get("stages") or [] if isinstance(stage, dict)]
    if field.split(".")[0] == "stages":
        for stage in stages:
            start = f"stages.{stage.get('name')}."
            if field.startswith(start):
                _set(stage, field.removeprefix(start).replace("-", "_").split("."), value, field)
                return
        names = [stage.get("name") for stage in stages]
        raise RecipeError(
            f"--{field}: recipe {path} has the stages {names}; a field of one is set by "
            "--stages.NAME.SECTION.FIELD."
        )
    parts, names = field.split("."), [stage.get("name") for stage in stages]
    if len(parts) == 1:
        parts = _full_name(model, parts[0], names)
    elif not _is_field(model, field) and (same := _same_name(model, parts[-1], names)):
        raise RecipeError(f"--{field} is not a field of a recipe. Did you mean {' or '.join(same)}?")
    _set(values, parts, value, field)
    for stage in stages:
        _remove(stage, parts)


def _is_field(model: type[BaseModel], field: str) -> bool:
    """Whether it is a field, or an entry of a field with free names, such as ``model.audio.config.hidden_size``."""
    names = [row[0] for row in list_fields(model)]
    return field.rpartition(".")[2] in SPELLINGS.values() or any(
        field == name or field.startswith(f"{name}.") for name in names
    )


def _same_name(model: type[BaseModel], name: str, stages: Sequence[Any]) -> list[str]:
    """Options whose last part is a name, with those that only a stage has; at most three."""
    found = [f"--{row[0]}" for row in list_fields(model) if row[0].rsplit(".", 1)[-1] == name]
    is_of_stage = "stages" in model.model_fields and name in set(StageSection.model_fields) - set(
        model.model_fields
    )
    return [*found, *(f"--stages.{stage}.{name}" for stage in stages if is_of_stage)][:3]


def _full_name(model: type[BaseModel], name: str, stages: Sequence[Any] = ()) -> list[str]:
    rows = [row[0] for row in list_fields(model)]
    if name in rows:
        return [name]
    if name == "normalize_captions":
        return ["model", "text", name]
    found = [row for row in rows if row.rsplit(".", 1)[-1] == name]
    if len(found) > 1:
        raise RecipeError(f"--{name} could be any of {', '.join(found)}; give the whole name.")
    if not found and (same := _same_name(model, name, stages)):
        raise RecipeError(f"--{name} is a field of a stage. Did you mean {' or '.join(same)}?")
    if not found:
        names = rows + [row.rsplit(".", 1)[-1] for row in rows]
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f" Did you mean --{nearest[0]}?" if nearest else ""
        raise RecipeError(f"--{name} is not a field of a recipe.{hint}")
    return found[0].split(".")


def _set(values: dict[str, Any], parts: list[str], value: Any, field: str) -> None:
    for part in parts[:-1]:
        if values.get(part) is None:
            values[part] = {}
        inner = values[part]
        if not isinstance(inner, dict):
            raise RecipeError(f"--{field}: {part!r} is not a section.")
        values = inner
    values.pop(SPELLINGS.get(parts[-1]), None)
    values[parts[-1]] = value


def _remove(values: dict[str, Any], parts: list[str]) -> None:
    for part in parts[:-1]:
        values = values.get(part)
        if not isinstance(values, dict):
            return
    values.pop(parts[-1], None)
    values.pop(SPELLINGS.get(parts[-1]), None)
