"""How a command ends: everything printed, what was registered for the end done, the exit code kept."""

import subprocess
import sys

import httpx
import pytest
import typer
from huggingface_hub.errors import HFValidationError
from tiny_recipes import environment

from auricle.cli.failures import one_line_errors


@pytest.mark.parametrize("code", [0, 2])
def test_what_is_registered_for_the_end_is_done(code):
    script = (
        "import atexit\n"
        "from auricle.cli.failures import leave_at_once\n"
        "atexit.register(print, 'put away')\n"
        "print('answers', end='')\n"
        f"leave_at_once({code})\n"
        "print('never')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stdout, done.stderr) == (code, "answersput away\n", "")


@pytest.mark.parametrize(
    ("arguments", "code"), [(["search"], 2), (["search", "--help"], 0), (["moments", "a.wav", "rain"], 2)]
)
def test_commands_that_leave_at_once_keep_code_and_output(arguments, code, tmp_path):
    command = [sys.executable, "-m", "auricle", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=tmp_path)
    assert done.returncode == code and (done.stdout if code == 0 else done.stderr)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            httpx.ConnectError("Name or service\n not known"),
            "the network connection failed (Name or service not known).",
        ),
        (HFValidationError("no id:\n  'a b'"), "no id: 'a b'"),
    ],
)
def test_an_error_of_the_hubs_client_is_one_line(error, told, capsys):
    with pytest.raises(typer.Exit) as end, one_line_errors():
        raise error
    assert end.value.exit_code == 2 and capsys.readouterr().err == f"error: {told}\n"


def test_any_other_error_keeps_its_traceback():
    with pytest.raises(KeyError), one_line_errors(ValueError):
        raise KeyError("a defect")


def test_a_connection_that_breaks_is_told_and_is_no_reader_that_left(capsys):
    with pytest.raises(typer.Exit) as end, one_line_errors(OSError):
        raise BrokenPipeError(32, "Broken pipe")
    assert end.value.exit_code == 2 and "Broken pipe" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", [True, False])
def test_bars_of_libraries_that_are_loaded_already_are_off(wanted):
    script = (
        "from huggingface_hub.utils import are_progress_bars_disabled\n"
        "from auricle.cli.failures import quiet_libraries\n"
        f"quiet_libraries(download_bars={wanted})\n"
        "print(are_progress_bars_disabled())"
    )
    variables = {name: value for name, value in environment().items() if "PROGRESS_BARS" not in name}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=variables)
    assert done.stdout.split() == [str(not wanted)], done.stderr
