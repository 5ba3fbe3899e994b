"""Reading simple arguments without typer gives what typer gives, or nothing."""

import inspect
import shlex
from functools import wraps

import pytest
import typer
from typer.testing import CliRunner

from auricle.cli import moments, search, similar
from auricle.cli.quick_start import ask_at_once, simple_arguments

COMMANDS = {"search": search.search, "similar": similar.similar, "moments": moments.moments}
SIMPLE = [
    "search rain",
    "search 'rain on a roof' --index sounds.auricle --json",
    "search --json -k 3 rain --tag=Wald",
    "search rain --top=7 --negative wind --negative 'a dog' --names --exact",
    "search rain --in a/b.wav --path '*/rain/*' --license 'CC BY' --metadata a=b --metadata c=d",
    "search rain --min-duration 1 --max-duration 2.5 --min-score 0.25 --rank clip",
    "search rain --ray auto --text-tower tower --template 'a {}' --model m --trust-remote-code",
    "search rain --export out.csv --no-server",
    "search --from questions.txt",
    "search",
    "similar a.wav --start 1.5 --end 2",
    "similar --index i a.wav --json",
    "moments a.wav 'rain' --hop 0.5 --edges frames --top 2",
]
NOT_SIMPLE = [
    "search rain --help",
    "search rain --top 0",
    "search rain --top two",
    "search rain --top 2.5",
    "search rain -k3",
    "search rain --tops 3",
    "search rain wind",
    "search rain --top",
    "search rain --top 3 --top 4",
    "search rain --json=yes",
    "search rain --min-duration -1",
    "search rain --min-score -0.5",
    "search rain --min-score nan",
    "search rain --min-score 1e3",
    "search rain --tag ''",
    "search -- rain",
    "search '-rain'",
    "search ''",
    "similar",
    "moments a.wav rain --edges hard",
    "moments a.wav rain --hop 0.05",
    "moments a.wav",
]


def by_typer(name: str, arguments: list[str]) -> dict | None:
    """What typer calls a command with; None if it does not."""
    called = []

    @wraps(COMMANDS[name])
    def note(*positional, **values):
        called.append(values)

    app = typer.Typer()
    app.command(name)(note)
    CliRunner().invoke(app, arguments)
    return called[0] if called else None


@pytest.mark.parametrize("line", SIMPLE)
def test_simple_arguments_are_read_as_typer_reads_them(line):
    name, *arguments = shlex.split(line)
    read = simple_arguments(COMMANDS[name], arguments)
    assert read is not None and read == by_typer(name, arguments)
    assert read.keys() == inspect.signature(COMMANDS[name]).parameters.keys()
    assert {key: type(value) for key, value in read.items()} == {
        key: type(value) for key, value in by_typer(name, arguments).items()
    }


@pytest.mark.parametrize("line", NOT_SIMPLE)
def test_everything_else_is_left_to_typer(line):
    name, *arguments = shlex.split(line)
    assert simple_arguments(COMMANDS[name], arguments) is None


@pytest.mark.parametrize(
    ("variable", "value"), [("AURICLE_INDEX", "other"), ("AURICLE_INDEX", ""), ("AURICLE_NO_SERVER", "1")]
)
def test_the_environment_counts(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    read = simple_arguments(COMMANDS["search"], ["rain"])
    if variable == "AURICLE_NO_SERVER":
        assert read is None and by_typer("search", ["rain"])["no_server"] is True
    else:
        assert read == by_typer("search", ["rain"]) and read["index_dir"] == (value or "sounds.auricle")
        named = simple_arguments(COMMANDS["search"], ["rain", "--index", "named"])
        assert named == by_typer("search", ["rain", "--index", "named"]) and named["index_dir"] == "named"


def test_nothing_is_done_without_an_engine(monkeypatch, tmp_path):
    monkeypatch.setenv("AURICLE_RUNTIME_DIR", str(tmp_path))
    for arguments in (["search"], ["search", "rain"], ["search", "rain", "--no-server"]):
        assert ask_at_once(arguments) is None
