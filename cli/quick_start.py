"""
Queries to a running engine without typer, which takes several times as long to read options
as the engine takes to answer.
"""

import inspect
import os
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import typer

WHOLE, DECIMAL = re.compile(r"\d{1,9}"), re.compile(r"\d{1,9}(\.\d{1,9})?")


def ask_at_once(arguments: Sequence[str]) -> int | None:
    """
    Runs a command that asks an index, if an engine of that index runs and the arguments are simple ones.

    Args:
        arguments: arguments of the command line; the first one is search, similar or moments.

    Returns:
        The exit code; None if nothing was done, and typer has to read the arguments.
    """
    command = getattr(import_module(f".{arguments[0]}", __package__), arguments[0])
    values = simple_arguments(command, arguments[1:])
    if values is None or values["no_server"]:
        return None
    from ..search.engine.port_file import running_engine

    if running_engine(values["index_dir"]) is None:
        return None
    try:
        command(**values)
    except typer.Exit as end:
        return end.exit_code
    return 0


def simple_arguments(command: Callable[..., None], arguments: Sequence[str]) -> dict[str, Any] | None:
    """
    The arguments that typer would pass to a command.

    Args:
        command: a function whose parameters are annotated for typer.
        arguments: those after the command's name.

    Returns:
        Value by parameter; None for anything that is not plain: an unknown or repeated option, a value that is empty,
        begins with a hyphen or has the wrong type, a switch that the environment sets.
    """
    positional: list[tuple[str, Any]] = []
    options: dict[str, tuple[str, Any]] = {}
    values: dict[str, Any] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        kind, info = get_args(parameter.annotation)
        if parameter.default is not inspect.Parameter.empty:
            values[name] = parameter.default
        found = os.environ.get(info.envvar) if isinstance(info.envvar, str) else None
        if found:
            if kind is not str:
                return None
            values[name] = found
        if isinstance(info, typer.models.ArgumentInfo):
            positional.append((name, (kind, info)))
        else:
            # typer keeps the first declared name apart from the others.
            named = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)]
            for one in named or [f"--{name.replace('_', '-')}"]:
                options[one] = name, (kind, info)
    given: set[str] = set()
    rest = iter(arguments)
    for word in rest:
        if word.startswith("-"):
            option, sign, told = word.partition("=")
            if option not in options or (sign and not option.startswith("--")):
                return None
            name, (kind, info) = options[option]
            if kind is bool:
                value: Any = None if sign else True
            else:
                value = _value(told if sign else next(rest, ""), kind, info)
            many = _plain(kind)[1]
            if value is None or (name in given and not many):
                return None
            values[name] = [*(values[name] if name in given else []), value] if many else value
        else:
            if not positional:
                return None
            name, (kind, info) = positional.pop(0)
            value = _value(word, kind, info)
            if value is None:
                return None
            values[name] = value
        given.add(name)
    return values if values.keys() == inspect.signature(command).parameters.keys() else None


def _plain(kind: Any) -> tuple[Any, bool]:
    """A type without None, or the element type of a list; and whether it is a list."""
    if get_origin(kind) is not Literal:
        rest = [one for one in get_args(kind) if one is not NoneType]
        if get_origin(kind) is list:
            return rest[0], True
        if rest:
            return _plain(rest[0])
    return kind, False


def _value(text: str, kind: Any, info: Any) -> Any:
    """A value of an option; None if it is not plain."""
    plain, _ = _plain(kind)
    if not text or text.startswith("-") or not text.isprintable():
        return None
    if get_origin(plain) is Literal:
        return text if text in get_args(plain) else None
    if plain is str:
        return text
    if plain is Path:
        return Path(text)
    if plain in (int, float):
        number = plain(text) if (WHOLE if plain is int else DECIMAL).fullmatch(text) else None
        return None if number is None or (info.min is not None and number < info.min) else number
    return None


__all__ = ["ask_at_once", "simple_arguments"]
