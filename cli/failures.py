"""What commands print: errors that a person can do something about in one line, and no chatter of libraries."""

import os
import sys
import warnings
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


def quiet_libraries() -> None:
    """Switches off what the libraries say about things that are as they should be; imports none of them."""
    # A text encoder's unused pooler and its loading bars tell a person nothing; real faults are errors of ours.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if "transformers" in sys.modules:
        # It read those when it was imported.
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
    # Said of PaSST's special tokens, whose gradients are a few numbers, under several processes.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
