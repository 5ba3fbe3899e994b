"""Recipe files: YAML without repeated names, which may state only differences from another file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

EXTENDS = "extends"
# Fields that say which kind of thing the others of their mapping describe.
KINDS = ("model_type", "front_end")
# Two spellings of one setting: the one that is given later applies.
SPELLINGS = {"normalize_captions": "caption_normalization", "caption_normalization": "normalize_captions"}


class RecipeError(ValueError):
    """An invalid recipe; the message names the file, the field and the accepted values."""


def load_recipe_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """
    Reads a recipe file and the files that it extends.

    ``extends: other.yaml`` at the top reads that file first; its path is relative to the file that
    names it. Values of the extending file win: sections are merged field by field, anything else, including a list of
    stages, is replaced.

    Returns:
        The merged mapping, without ``extends``; not yet checked against the recipe's fields.

    Raises:
        RecipeError: if a file cannot be read, is not YAML or not a mapping, or extends itself.
    """
    return _load(Path(path), ())


def parse_yaml(text: str) -> Any:
    """
    Reads one YAML value.

    Raises:
        RecipeError: if the text is not valid YAML, or a mapping names a field twice.
    """
    try:
        return yaml.load(text, _StrictLoader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{text!r} is not a valid value: {_in_one_line(error)}") from error


def _load(path: Path, below: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in below:
        raise RecipeError(f"recipe {path}: extends itself, by way of {' and '.join(map(str, below))}.")
    values = _read(path)
    base = values.pop(EXTENDS, None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise RecipeError(f"recipe {path}: extends must be the path of one recipe file (got {base!r}).")
    return merged(_load(path.parent / base, (*below, path.resolve())), values)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except OSError as error:
        raise RecipeError(f"recipe {path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {path}: is not UTF-8 text.") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe {path}: is not valid YAML: {_in_one_line(error)}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"recipe {path}: must be a mapping of sections, not {type(values).__name__}.")
    return values


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """
    Merges ``own`` into ``base``: mappings are merged at any depth, other values replaced.

    An empty mapping (``section:`` with nothing below it) changes nothing. A mapping with another
    ``model_type`` or ``front_end`` replaces the base mapping, since fields of another tower would be meaningless.
    """
    result = dict(base)
    for key, value in own.items():
        below = result.get(key)
        if isinstance(below, Mapping) and (value is None or isinstance(value, Mapping)):
            value = value or {}
            value = dict(value) if _is_of_another_kind(below, value) else merged(below, value)
        result.pop(SPELLINGS.get(key), None)
        result[key] = value
    return result


def _is_of_another_kind(below: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return any(isinstance(value.get(kind), str) and value[kind] != below.get(kind) for kind in KINDS)


class _StrictLoader(yaml.SafeLoader):
    """YAML in which naming a field twice is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value!r} occurs twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _in_one_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"{getattr(error, 'problem', None) or ' '.join(str(error).split())}{where}"


__all__ = ["SPELLINGS", "RecipeError", "load_recipe_file", "merged", "parse_yaml"]
