"""The `auricle` command: its list of commands by panel; each is a module that is imported when it is called."""

import gc
import sys
from typing import Annotated

import typer

from .failures import leave_at_once
from .lazy_commands import LazyCommand, lazy_group

# In the order of the help: name, summary, where it is defined.
PANELS: dict[str, list[tuple[str, str, str]]] = {
    "Search": [
        ("index", "Index folders of recordings, or update an index.", "index:index"),
        ("search", "Find the sounds that a sentence describes, each at its best moment.", "search:search"),
        ("similar", "Find the sounds that are most similar to a recording.", "similar:similar"),
        ("moments", "Find the times in a recording that a sentence describes.", "moments:moments"),
        (
            "refine",
            "Save a search, mark its results, and show results that learn from the marks.",
            "refine:refine",
        ),
        (
            "detections",
            "Write all windows that a saved search detects to a file (--csv or --export).",
            "detections:detections",
        ),
        ("serve", "Serve a search page on this machine.", "serve:serve"),
        ("ask", "Rank the recordings of a folder for a sentence, without an index.", "ask:ask"),
        ("map", "Draw a map of an index as an HTML page.", "map:draw_map"),
    ],
    "Models": [
        (
            "convert",
            "Convert a published checkpoint of an audio encoder or a retrieval model.",
            "convert:convert",
        ),
        ("embed", "Embed a dataset or a folder with a model.", "embed:embed"),
        ("export", "Export the towers of a model to ONNX.", "export:export"),
    ],
    "Training": [
        ("train", "Train a model with a recipe.", "train:train"),
        ("ablate", "Train a recipe with every subset of its ingredients.", "ablate:ablate"),
        (
            "reproduce",
            "Reproduce a published system, from published weights to ensembles.",
            "reproduce:reproduce",
        ),
    ],
    "Evaluation": [
        ("evaluate", "Evaluate retrieval on a split of a dataset, or moment retrieval.", "evaluate:evaluate"),
        ("compare", "Compare any number of models and ensembles on a split.", "compare:compare"),
        ("ensemble", "Find weights for an ensemble of models.", "ensemble:ensemble"),
        ("report", "Draw a training run as an HTML page.", "report:report"),
    ],
    "Data": [
        ("data", "Fetch a dataset, check its files, or unpack its archives.", "data:data"),
        ("augment", "Make new captions and mixes with a language model.", "augment:augment"),
        ("cluster", "Cluster the captions of a dataset.", "cluster:cluster"),
    ],
    "Sharing": [
        ("card", "Write the model card of a finished run.", "card:card"),
        ("push", "Publish a finished run, or a converted or otherwise saved model, on the Hub.", "push:push"),
        ("mteb", "Print the MTEB entry of a published model.", "mteb:mteb"),
    ],
}
# They accept every field of a recipe as an option.
TAKES_RECIPE_FIELDS = frozenset({"train", "ablate"})
# Commands without work to do at the end, except what libraries register for it.
_LEAVE_AT_ONCE = frozenset({"index", "search", "similar", "moments", "ask", "refine"})
# Commands that a running engine may answer.
_ASKS_AN_INDEX = frozenset({"search", "similar", "moments"})

COMMANDS = [
    LazyCommand(name, summary, panel=panel, target=target, open_options=name in TAKES_RECIPE_FIELDS)
    for panel, rows in PANELS.items()
    for name, summary, target in rows
]

app = typer.Typer(
    name="auricle",
    cls=lazy_group(COMMANDS),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def print_versions(wanted: bool) -> None:
    """Prints the versions of auricle, torch and transformers; imports neither of the two."""
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    from .. import __version__

    typer.echo(f"auricle {__version__}")
    for package in ("torch", "transformers"):
        try:
            typer.echo(f"{package} {version(package)}")
        except PackageNotFoundError:
            typer.echo(f"{package} is not installed")
    raise typer.Exit


@app.callback()
def auricle(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=print_versions,
            is_eager=True,
            help="Print the versions of auricle, torch and transformers.",
        ),
    ] = False,
) -> None:
    """Language-based audio retrieval: write a sentence, get the sounds it describes."""


def main() -> None:
    """Entry point of the console script and of ``python -m auricle``."""
    # Importing torch and transformers makes a million objects that stay: looking for garbage among them every few
    # hundred of them takes a second.
    gc.set_threshold(50_000, 10, 10)
    try:
        if sys.argv[1:2] and sys.argv[1] in _ASKS_AN_INDEX:
            from .quick_start import ask_at_once

            code = ask_at_once(sys.argv[1:])
            if code is not None:
                raise SystemExit(code)
        app()
    except SystemExit as end:
        command = sys.argv[1] if len(sys.argv) > 1 else ""
        # The page may end while a thread still loads the model, which a normal exit takes for a crash.
        leaves = command == "serve" or (command in _LEAVE_AT_ONCE and "torch" in sys.modules)
        if leaves and (end.code is None or isinstance(end.code, int)):
            leave_at_once(end.code or 0)
        raise
