"""What commands print: errors that a person can do something about in one line, and no chatter of libraries."""

import atexit
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

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


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """
    For printing answers, and nothing else: who reads may have seen enough, as `head` has.

    Raises:
        typer.Exit: with code 0 in place of a `BrokenPipeError`; what is still in the buffer goes nowhere.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from error


def printable(text: str) -> str:
    """
    The text as a terminal can show it.

    Bytes of a file name that are no text, and letters that the output's encoding lacks, become a replacement
    character; what would command a terminal is escaped, all but line ends.
    """
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def one_line(text: str) -> str:
    """[`printable`] of what has to stay on one line, such as the name of a file."""
    return printable(text).replace("\n", "\\n")


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


def leave_at_once(code: int) -> None:
    """
    Ends the process when what was registered for its end is done and all is printed.

    Python would go on to take apart one by one the modules of torch and transformers: longer than a question takes.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
