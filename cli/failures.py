"""Turns the errors that a person can do something about into one line and exit code 2."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def one_line_errors(*kinds: type[Exception]) -> Iterator[None]:
    """
    Prints errors of these kinds as one message, without a traceback.

    Raises:
        typer.Exit: with code 2 in place of such an error, 130 for Ctrl-C.
    """
    try:
        yield
    except kinds as error:
        typer.echo(printable(f"error: {error}"), err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from error


def printable(text: str) -> str:
    """The text with a replacement character for each byte of a file name that is no text."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
