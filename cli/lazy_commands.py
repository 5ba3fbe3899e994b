"""Commands that are imported when they run, so that help and shell completion load no command at all."""

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# `auricle train RECIPE --any.field value`: the command itself reads what typer does not know.
OPEN_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}

# Filters of which a user may want two at once; the first would be left out without a word.
GIVEN_ONCE = frozenset(("tag", "path", "license"))


class LazyCommand(TyperCommand):
    """
    Placeholder in the help for a command whose module is not imported yet.

    Args:
        name: as typed.
        summary: the line in the list of commands, without brackets; the first line of the command's own help too.
        panel: title of the panel that lists it.
        target: ``module:attribute`` below this package; the attribute is a function or a group (`typer.Typer`).
        open_options: the command takes options that it does not declare, as `auricle train` takes recipe fields.
    """

    def __init__(
        self, name: str, summary: str, *, panel: str, target: str, open_options: bool = False
    ) -> None:
        super().__init__(name, help=summary, rich_help_panel=panel)
        self.summary = summary
        self.target = target
        self.open_options = open_options

    def load(self) -> Any:
        """Imports the command and returns it, ready to run."""
        module, attribute = self.target.split(":")
        found = getattr(import_module(f".{module}", __package__), attribute)
        return build_command(found, str(self.name), open_options=self.open_options)


class LazyGroup(TyperGroup):
    """A group of [`LazyCommand`]s; it lists them without importing, and loads only the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LazyCommand) else command, rest


def lazy_group(commands: list[LazyCommand]) -> type[LazyGroup]:
    """The class of a group with these commands, in this order, to be given to `typer.Typer(cls=...)`."""

    class Group(LazyGroup):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**{**settings, "commands": {str(command.name): command for command in commands}})

    return Group


class CommandAsWritten(TyperCommand):
    """A command whose help shows every character of its text, see [`show_text_as_written`]."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        show_text_as_written(self)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As of click, which keeps the last value of a repeated option; a filter given twice is refused instead."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in self.params:
            count = sum(one is parameter for one in order)
            if parameter.name in GIVEN_ONCE and not getattr(parameter, "multiple", False) and count > 1:
                raise typer.BadParameter(
                    f"given {count} times, and takes one value.", ctx=ctx, param=parameter
                )
        return super().parse_args(ctx, args)


def single_command(target: Callable, name: str, *, open_options: bool = False) -> typer.Typer:
    """
    A program of one command, such as a script.

    Args:
        target: a function that typer can read.
        name: name of the command.
        open_options: see [`LazyCommand`].
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    settings = OPEN_OPTIONS if open_options else {}
    app.command(name, cls=CommandAsWritten, context_settings=settings)(target)
    return app


def build_command(target: Callable | typer.Typer, name: str, *, open_options: bool = False) -> Any:
    """
    A command, or a group of commands, whose help shows every character of its text.

    Args:
        target: a function that typer can read, or a group.
        name: name of the command.
        open_options: see [`LazyCommand`].
    """
    if not isinstance(target, typer.Typer):
        return typer.main.get_command(single_command(target, name, open_options=open_options))
    command = typer.main.get_command(target)
    command.name = name
    show_text_as_written(command)
    return command


def show_text_as_written(command: Any) -> None:
    """
    Makes the help of a command, its options and its subcommands show the text exactly as written.

    Typer reads help as markup, in which ``'auricle[app]'`` loses its brackets, and keeps the line ends of a
    docstring, at which a narrow terminal would break twice. Here brackets stay, and a paragraph is one line.
    """
    if command.help:
        paragraphs = inspect.cleandoc(command.help).split("\n\n")
        command.help = escape_markup("\n\n".join(" ".join(one.split()) for one in paragraphs))
    for parameter in command.params:
        if getattr(parameter, "help", None):
            parameter.help = escape_markup(parameter.help)
    for child in getattr(command, "commands", {}).values():
        if not isinstance(child, LazyCommand):
            show_text_as_written(child)


def escape_markup(text: str) -> str:
    """The text with brackets escaped where typer shows help by way of rich's markup."""
    if TyperCommand("").rich_markup_mode != "rich":
        return text
    from rich.markup import escape

    return escape(text)
