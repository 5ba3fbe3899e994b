"""`auricle train`: runs a recipe."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .failures import one_line_errors, quiet_libraries

if TYPE_CHECKING:
    from ..training.recipe import Recipe


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
    # Ctrl-C while the libraries are still being imported ends in one line too.
    with one_line_errors():
        from ..training.recipe_reading import RecipeError, list_fields, parse_overrides, read_recipe

        if fields:
            for name, kind, default, description in list_fields():
                typer.echo(f"{name}  ({kind}, default {default})\n    {description}")
            return
        with one_line_errors(RecipeError):
            if recipe is None or str(recipe).startswith("-"):
                raise RecipeError(
                    "name a recipe first, for example recipes/demo.yaml, then --field value (--fields lists them)."
                )
            parsed = read_recipe(recipe, parse_overrides(context.args))
        _run(parsed, stage, progress)


def _run(recipe: "Recipe", stage: str | None, progress: bool) -> None:
    from accelerate import PartialState

    from ..data import DataError
    from ..processing import AudioReadError
    from ..training.cpu_threads import set_cpu_threads
    from ..training.pretrained_text import PretrainedError
    from ..training.recipe_reading import RecipeError
    from ..training.recipe_running import run_recipe

    quiet_libraries()
    set_cpu_threads(recipe.training.cpu_threads)
    with one_line_errors(RecipeError, DataError, AudioReadError, PretrainedError):
        try:
            results = run_recipe(recipe, only_stage=stage, progress=progress)
        except KeyboardInterrupt:
            if os.environ.get("RANK", "0") == "0":
                typer.echo(
                    f"\nstopped; the same command goes on from the last checkpoint in {recipe.run_dir}",
                    err=True,
                )
            raise
    if results:
        for line in format_results(results):
            typer.echo(line)
    PartialState().destroy_process_group()


def format_results(results: dict) -> list[str]:
    """The figures and answers of a run as lines of text."""
    columns = ["mAP@16", "mAP@10", "R@1", "R@5", "R@10"]
    lines = ["", f"model: {results['model']}", ""]
    lines.append(f"{'test set':<48}" + "".join(f"{name:>9}" for name in columns))
    untrained = results.get("untrained") or {}
    for split, figures in results["figures"].items():
        for direction, label in (("text_to_audio", "text to audio"), ("audio_to_text", "audio to text")):
            values = "".join(f"{figures[f'{direction}_{name}']:>9.3f}" for name in columns)
            lines.append(f"{split + ', ' + label:<48}{values}")
        if split in untrained:
            values = "".join(f"{untrained[split][f'text_to_audio_{name}']:>9.3f}" for name in columns)
            lines.append(f"{split + ', text to audio, untrained':<48}{values}")
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
