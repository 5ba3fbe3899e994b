"""The help of every command, its panels, the versions, shell completion, and what all of them import."""

import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version

import pytest
import typer
from typer.testing import CliRunner

import auricle
from auricle.cli.lazy_commands import LazyCommand, build_command
from auricle.cli.main import COMMANDS, PANELS, app

# So wide that no text is wrapped, whatever the terminal of the test.
WIDE = {"COLUMNS": "4000", "TERM": "dumb", "NO_COLOR": "1"}
HEAVY = {"torch", "transformers", "numpy", "datasets", "pyarrow"}


def rendered(*arguments: str, columns: int = 4000) -> str:
    """What the terminal shows, without the frames of panels."""
    done = CliRunner().invoke(app, [*arguments, "--help"], env={**WIDE, "COLUMNS": str(columns)})
    assert done.exit_code == 0, done.output
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.output).split())


def every_command() -> Iterator[tuple[list[str], object]]:
    """(words to call it, function or group as written) of every command and subcommand."""
    for command in COMMANDS:
        module, attribute = command.target.split(":")
        written = getattr(import_module(f"auricle.cli.{module}"), attribute)
        yield [command.name], written
        if isinstance(written, typer.Typer):
            for child in written.registered_commands:
                yield [command.name, child.name], child.callback


EVERY = list(every_command())
IDS = [" ".join(words) for words, _ in EVERY]


def help_as_written(written: object) -> list[str]:
    """The paragraphs of a command's help and the help of its parameters, from the source."""
    if isinstance(written, typer.Typer):
        return [written.info.help]
    paragraphs = inspect.getdoc(written).split("\n\n")
    parameters = [
        info.help
        for parameter in inspect.signature(written).parameters.values()
        for info in getattr(parameter.annotation, "__metadata__", ())
        if getattr(info, "help", None)
    ]
    return [" ".join(text.split()) for text in (*paragraphs, *parameters)]


@pytest.mark.parametrize(("words", "written"), EVERY, ids=IDS)
def test_help_shows_every_text_as_written(words, written):
    shown, texts = rendered(*words), help_as_written(written)
    assert len(texts) >= 1
    for text in texts:
        assert text in shown


def test_brackets_of_extras_are_shown():
    extras = {}
    for words, written in EVERY:
        source = " ".join(help_as_written(written))
        for extra in re.findall(r"pip install 'auricle\[\w+\]'", source):
            assert extra in rendered(*words), words
            extras.setdefault(extra, []).append(words[0])
    assert extras["pip install 'auricle[app]'"] == ["serve"]
    assert extras["pip install 'auricle[onnx]'"] == ["export"]
    assert extras["pip install 'auricle[pictures]'"] == ["map", "report"]
    assert "cluster" in extras["pip install 'auricle[bertopic]'"]


def test_markup_of_any_kind_is_shown(monkeypatch, capsys):
    def sample(context: typer.Context) -> None:
        r"""Takes [bold]this[/bold], [red] and C:\[app]."""

    for name, value in WIDE.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        build_command(sample, "sample").main(["--help"], prog_name="sample")
    assert r"Takes [bold]this[/bold], [red] and C:\[app]." in capsys.readouterr().out


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_paragraphs_fill_the_width_of_the_terminal(columns):
    """Line ends of a docstring are not line ends of the help."""
    done = CliRunner().invoke(app, ["train", "--help"], env={**WIDE, "COLUMNS": str(columns)})
    above = done.output.split("╭")[0].splitlines()
    prose = [line.strip() for line in above if line.strip()][2:]
    words = iter(prose[1:])
    for line, following in zip(prose, words, strict=False):
        if not line.endswith((".", "RECIPE")):
            assert len(line) + 1 + len(following.split()[0]) > columns - 4, line


def test_the_list_of_commands_is_in_panels_with_search_first():
    done = CliRunner().invoke(app, ["--help"], env={**WIDE, "COLUMNS": "100"})
    titles = re.findall(r"╭─ ([\w ]+) ─", done.output)
    assert titles == ["Options", "Search", "Models", "Training", "Evaluation", "Data", "Sharing"]
    shown = re.findall(r"^│ ([a-z]+) {2,}", done.output, re.M)
    assert shown == [name for rows in PANELS.values() for name, _, _ in rows]


def test_completion_is_set_up_by_the_main_command_alone():
    assert "--install-completion" in rendered() and "--show-completion" in rendered()
    for group in ("augment", "data"):
        assert "--install-completion" not in rendered(group)


def test_the_list_without_arguments_is_the_help():
    done = CliRunner().invoke(app, [], env=WIDE)
    assert "Language-based audio retrieval" in done.output and "moments" in done.output


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_summary_is_the_first_line_of_the_commands_own_help(command):
    loaded = command.load()
    assert loaded.name == command.name
    assert loaded.help.split("\n\n")[0] == command.summary
    assert "[" not in command.summary and len(command.summary) < 80


def test_a_wrong_name_is_answered_with_near_ones():
    done = CliRunner().invoke(app, ["serch"], env=WIDE)
    assert done.exit_code == 2 and "'search'" in done.output


def test_versions_are_printed_without_importing_anything():
    code = (
        "import sys\nfrom auricle.cli.main import app\n"
        "try:\n    app(['--version'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'transformers', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"auricle {auricle.__version__}",
        f"torch {version('torch')}",
        f"transformers {version('transformers')}",
        "[]",
    ]


def test_a_missing_package_has_no_version(monkeypatch):
    from importlib import metadata

    found = metadata.version

    def without_torch(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(metadata, "version", without_torch)
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0 and "torch is not installed" in done.output


def imported(code: str, **env: str) -> tuple[str, set[str]]:
    """Standard output of Python code that ends in SystemExit, and the names of all modules it imported."""
    wrapped = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('\\nMODULES', *sys.modules, file=sys.stderr))\n" + code
    )
    done = subprocess.run(
        [sys.executable, "-c", wrapped], capture_output=True, text=True, timeout=60, env={**os.environ, **env}
    )
    names = done.stderr.split("MODULES")[-1].split()
    assert "auricle.cli.main" in names, done.stderr
    return done.stdout, set(names)


def test_help_and_completion_import_no_command_and_nothing_heavy():
    call = "from auricle.cli.main import app\napp(%r, prog_name='auricle')"
    shown, names = imported(call % (["--help"],))
    assert "Search" in shown
    assert not HEAVY & {name.split(".")[0] for name in names}
    loaded = {name for name in names if name.startswith("auricle.")}
    own = {"main", "failures", "lazy_commands"}
    assert loaded == {"auricle.cli", *(f"auricle.cli.{name}" for name in own)}

    shown, names = imported(call % (["serve", "--help"],))
    assert "auricle[app]" in shown and not HEAVY & {name.split(".")[0] for name in names}


def complete(line: str) -> list[str]:
    """What bash would offer at the end of a line."""
    words = line.split(" ")
    shown, names = imported(
        "from auricle.cli.main import app\napp(prog_name='auricle')",
        _AURICLE_COMPLETE="complete_bash",
        COMP_WORDS=line,
        COMP_CWORD=str(len(words) - 1),
    )
    assert not HEAVY & {name.split(".")[0] for name in names}
    return shown.split()


def test_bash_completes_commands_options_and_values():
    assert complete("auricle se") == ["search", "serve"]
    assert set(complete("auricle ")) == {command.name for command in COMMANDS}
    assert "--batch-size" in complete("auricle embed --b")
    assert complete("auricle augment m") == ["mix"]
    assert complete("auricle convert be") == ["beats"]
    assert complete("auricle ensemble --method sys") == ["systems-then-models"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completion_works_in_bash(tmp_path):
    """The script that --show-completion prints, sourced by bash, with the command on its path."""
    command = tmp_path / "auricle"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m auricle_command "$@"\n')
    (tmp_path / "auricle_command.py").write_text(
        "from auricle.cli.main import app\napp(prog_name='auricle')\n"
    )
    command.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    env["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"
    script = subprocess.run(
        ["auricle", "--show-completion", "bash"], capture_output=True, text=True, env=env, check=True
    ).stdout
    assert "complete -o default -F _auricle_completion auricle" in script
    (tmp_path / "completion.sh").write_text(script)
    asked = (
        "source completion.sh; COMP_WORDS=(auricle mom); COMP_CWORD=1; "
        "_auricle_completion auricle; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", asked], capture_output=True, text=True, env=env, cwd=tmp_path, check=True
    )
    assert done.stdout.split() == ["moments"]

    subprocess.run(["auricle", "--install-completion", "bash"], capture_output=True, env=env, check=True)
    assert "auricle" in (tmp_path / ".bashrc").read_text()


def test_commands_are_stand_ins_until_they_are_called():
    group = typer.main.get_command(app)
    assert all(isinstance(command, LazyCommand) for command in group.commands.values())
