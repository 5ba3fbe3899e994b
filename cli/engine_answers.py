"""Answers of a running engine, for commands that would otherwise load the model; see `docs/api.md`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .failures import one_line

if TYPE_CHECKING:
    from ..search.engine.client import EngineAnswer
    from ..search.query.copies import CopyGroup
    from ..search.query.hits import Hit
    from .copy_options import Grouping

NO_SERVER = typer.Option(
    "--no-server",
    envvar="AURICLE_NO_SERVER",
    help="Open the index in this process, even if auricle serve runs with it.",
)


def ask_running_engine(
    index_dir: str,
    kind: str,
    question: Mapping[str, Any],
    *,
    text_tower: Path | None = None,
    template: str | None = None,
    trust_remote_code: bool = False,
    unless: bool = False,
) -> "EngineAnswer | None":
    """
    Asks the engine of an index, if one runs that would answer as this command does.

    Args:
        index_dir: directory of the index.
        kind: "search", "similar" or "moments".
        question: fields of that request of the API.
        text_tower, template, trust_remote_code: options of the command.
        unless: do not ask it.

    Returns:
        Its answer, whose notes are printed; None if the command has to open the index itself.

    Raises:
        SearchError: if the query is invalid.
    """
    if unless:
        return None
    # Neither torch nor numpy is imported on this way.
    from ..search.engine.client import ask_engine
    from ..search.engine.port_file import engine_options

    options = engine_options(text_tower=text_tower, template=template, trust_remote_code=trust_remote_code)
    answer = ask_engine(index_dir, kind, question, options)
    for note in () if answer is None else answer.notes:
        typer.echo(one_line(note), err=True)
    return answer


class _GoneError(Exception):
    """The engine does not answer any more."""


def grouped_answers(
    index_dir: str, kind: str, question: Mapping[str, Any], grouping: "Grouping", **how: Any
) -> "tuple[list[Hit], Sequence[CopyGroup] | None, list[str]] | None":
    """
    [`ask_running_engine`] with the results' copies, where those are grouped.

    Args:
        index_dir, kind, question, how: as above.
        grouping: grouping of the results.

    Returns:
        Results, results with their copies, and reasons for an empty result; None if the command has to open the index
            itself.
    """
    why: list[str] = []

    def ask(top: int) -> "list[Hit]":
        found = ask_running_engine(index_dir, kind, {**question, "top": top}, **how)
        if found is None:
            raise _GoneError
        why[:] = found.why_empty
        return found.hits

    try:
        return *grouping.apply(ask, question["top"]), why
    except _GoneError:
        return None


__all__ = ["NO_SERVER", "ask_running_engine", "grouped_answers"]
