"""The `auricle` command: one thin module a command, heavy libraries imported only inside them."""

import gc
import sys

import typer

from .ablate import ablate
from .ask import ask
from .augment import augment
from .card import card
from .cluster import cluster
from .convert import convert
from .data import data
from .embed import embed
from .ensemble import ensemble
from .evaluate import evaluate
from .export import export
from .failures import leave_at_once
from .map import draw_map
from .mteb import mteb
from .push import push
from .report import report
from .search import index, moments, search, serve, similar
from .train import train

app = typer.Typer(
    name="auricle",
    help="Language-based audio retrieval: write a sentence, get the sounds it describes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(
    "train",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(train)
app.command(
    "ablate",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(ablate)
app.command("ask")(ask)
app.command("card")(card)
app.command("cluster")(cluster)
app.command("convert")(convert)
app.command("embed")(embed)
app.command("ensemble")(ensemble)
app.command("evaluate")(evaluate)
app.command("export")(export)
app.command("map")(draw_map)
app.command("mteb")(mteb)
app.command("push")(push)
app.command("report")(report)
for command in (index, search, similar, moments, serve):
    app.command(command.__name__)(command)
app.add_typer(augment, name="augment")
app.add_typer(data, name="data")


# Nothing of theirs has to be put away when they end, but what libraries register for that.
_LEAVE_AT_ONCE = frozenset({"index", "search", "similar", "moments", "ask"})


def main() -> None:
    """Entry point of the console script and of ``python -m auricle``."""
    # Importing torch and transformers makes a million objects that stay: looking for garbage among them every few
    # hundred of them takes a second.
    gc.set_threshold(50_000, 10, 10)
    try:
        app()
    except SystemExit as end:
        asks = sys.argv[1:2] and sys.argv[1] in _LEAVE_AT_ONCE and "torch" in sys.modules
        if asks and (end.code is None or isinstance(end.code, int)):
            leave_at_once(end.code or 0)
        raise
