"""Output of commands: user errors in one line, without messages of libraries."""

import atexit
import errno
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

CLOSED_PIPE_IS_EINVAL = sys.platform == "win32"
# Their errors reach a command if a server does not answer; by name, since importing them takes time.
_HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "requests", "urllib3")


@contextmanager
def one_line_errors(*kinds: type[Exception]) -> Iterator[None]:
    """
    Prints errors of these kinds, and errors of a network connection, as one message, without a traceback.

    Raises:
        typer.Exit: with code 2 for such an error, 130 for Ctrl-C.
    """
    try:
        yield
    except kinds as error:
        typer.echo(printable(f"error: {error}"), err=True)
        raise typer.Exit(2) from error
    except Exception as error:
        library = type(error).__module__.partition(".")[0]
        if library not in (*_HTTP_LIBRARIES, "huggingface_hub"):
            raise
        told = " ".join(str(error).split()) or type(error).__name__
        if library in _HTTP_LIBRARIES:
            told = f"the network connection failed ({told})."
        typer.echo(printable(f"error: {told}"), err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from error


@contextmanager
def one_line_full_disk(place: str | os.PathLike[str]) -> Iterator[None]:
    """
    Prints one line if the disk is full, a quota or a limit on files is reached, or the directory becomes read-only.

    Some libraries raise an `OSError`, others raise their own error with the text of it.

    Args:
        place: what was being written.

    Raises:
        typer.Exit: with code 2 for such an error.
    """
    try:
        yield
    except typer.Exit:
        raise  # its message is shown already
    except Exception as error:
        reason = _full_disk(error)
        if reason is None:
            raise
        where = getattr(error, "filename", None) or place
        told = f"error: {where}: cannot write ({reason}). Files written so far are kept; free space and run the same"
        typer.echo(printable(f"{told} command again."), err=True)
        raise typer.Exit(2) from error


def _full_disk(error: BaseException | None) -> str | None:
    """The reason why a disk accepts no more data, from an error or its causes; None if that is not the reason."""
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
    while error is not None:
        for code in codes:
            told = f"(os error {code})" in str(error) or os.strerror(code) in str(error)
            if told or (isinstance(error, OSError) and error.errno == code):
                return os.strerror(code)
        # torch's writer of archives does not say why it could not write.
        if isinstance(error, RuntimeError) and re.search(
            r"PytorchStreamWriter|iostream error|unexpected pos", str(error)
        ):
            return "the file could not be written to its end"
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """
    For printing results only: the reader may close the pipe early, as `head` does.

    Raises:
        typer.Exit: with code 0 if the reader closed the pipe; the rest of the buffer is discarded.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # Windows reports a closed pipe as an invalid argument.
        closed = isinstance(error, BrokenPipeError) or (CLOSED_PIPE_IS_EINVAL and error.errno == errno.EINVAL)
        if not closed:
            raise
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
    Switches off libraries' messages about normal conditions, without importing the libraries.

    Args:
        download_bars: leave the Hub client's progress bars on.
    """
    # An unused pooler and loading bars mean nothing to a user; real problems raise our own errors.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not download_bars:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        if "huggingface_hub" in sys.modules:
            # It has read that already, and transformers asks it whether to show bars while it loads weights.
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
