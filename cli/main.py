"""The `auricle` command: one thin module a command, heavy libraries imported only inside them."""

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
from .map import draw_map
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
app.command("push")(push)
app.command("report")(report)
for command in (index, search, similar, moments, serve):
    app.command(command.__name__)(command)
app.add_typer(augment, name="augment")
app.add_typer(data, name="data")


def main() -> None:
    """Entry point of the console script and of ``python -m auricle``."""
    app()
