"""Output of commands: user errors in one line, without messages of libraries."""

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
    For printing results only: the reader may close the pipe early, as `head` does.

    Raises:
        typer.Exit: with code 0 in place of a `BrokenPipeError`; the rest of the buffer is discarded.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from error


def printable(text: str) -> str:
    """
    The text without characters that a terminal cannot show.

    Undecodable bytes of a file name and characters outside the output's encoding become a replacement
    character. Control characters are escaped, except line ends.
    """
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def one_line(text: str) -> str:
    """[`printable`] text on one line, such as a file name."""
    return printable(text).replace("\n", "\\n")


def quiet_libraries(*, download_bars: bool = False) -> None:
    """
    Switches off messages of libraries about normal conditions; imports none of them.

    Args:
        download_bars: leave the Hub client's progress bars on.
    """
    # An unused pooler and loading bars mean nothing to a user; real problems raise our own errors.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not download_bars:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if "huggingface_hub" in sys.modules and not download_bars:
        # It reads the variable when it is imported, which `datasets` may have done before.
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    if "transformers" in sys.modules:
        # It read those when it was imported.
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
    # Caused by the small gradients of PaSST's special tokens under several processes.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")


def leave_at_once(code: int) -> None:
    """
    Runs exit handlers, flushes output and ends the process.

    A normal exit would also tear down the modules of torch and transformers, which takes longer than a query.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
