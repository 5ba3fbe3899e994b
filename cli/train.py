"""`auricle train`: runs a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors


def train(
    context: typer.Context,
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe, a YAML file such as recipes/demo.yaml.")
    ] = None,
    stage: Annotated[
        str | None, typer.Option(help="Run this stage only; those before it must be finished.")
    ] = None,
    fields: Annotated[bool, typer.Option("--fields", help="List every field of a recipe and exit.")] = False,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Train by recipe: all stages in order, or one.

    Any field of the recipe can be set on the command line, by its dotted name (--training.epochs 3) or by its
    bare name where only one section has it (--epochs 3); for one stage, --stages.NAME.training.epochs 3.

    Called again with the same arguments it skips finished stages and goes on from the last checkpoint of an
    unfinished one. Under `accelerate launch` it uses all processes.
    """
    from ..training.recipe_reading import RecipeError, list_fields, parse_overrides, read_recipe

    if fields:
        for name, kind, default, description in list_fields():
            typer.echo(f"{name}  ({kind}, default {default})\n    {description}")
        return
    if recipe is None:
        typer.echo(
            "error: name a recipe, for example recipes/demo.yaml (or --fields to list fields).", err=True
        )
        raise typer.Exit(2)
    with one_line_errors(RecipeError):
        parsed = read_recipe(recipe, parse_overrides(context.args))

    from ..data import DataError
    from ..processing import AudioReadError
    from ..training.pretrained_text import PretrainedError
    from ..training.recipe_running import run_recipe

    with one_line_errors(RecipeError, DataError, AudioReadError, PretrainedError):
        results = run_recipe(parsed, only_stage=stage, progress=progress)

    from accelerate import PartialState

    if results and PartialState().is_main_process:
        for line in format_results(results):
            typer.echo(line)


def format_results(results: dict) -> list[str]:
    """The figures and answers of a run as lines of text."""
    columns = ["mAP@16", "mAP@10", "R@1", "R@5", "R@10"]
    lines = ["", f"model: {results['model']}", ""]
    lines.append(f"{'test set':<40}" + "".join(f"{name:>9}" for name in columns))
    untrained = results.get("untrained") or {}
    for split, figures in results["figures"].items():
        for direction, label in (("text_to_audio", "text to audio"), ("audio_to_text", "audio to text")):
            values = "".join(f"{figures[f'{direction}_{name}']:>9.3f}" for name in columns)
            lines.append(f"{split + ', ' + label:<40}{values}")
        if split in untrained:
            values = "".join(f"{untrained[split][f'text_to_audio_{name}']:>9.3f}" for name in columns)
            lines.append(f"{split + ', text to audio, untrained':<40}{values}")
    for answer in results.get("answers", []):
        lines += ["", f'"{answer["question"]}"']
        lines += [
            f"  {rank}. {clip['score']:.3f}  {clip['path']}"
            for rank, clip in enumerate(answer["clips"], start=1)
        ]
    return lines


def main() -> None:
    """Entry point of train.py."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(train)
    app()
