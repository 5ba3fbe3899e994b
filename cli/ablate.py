"""`auricle ablate`: a recipe with every subset of its ingredients."""

from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors, one_line_full_disk, quiet_libraries
from .train import expected_errors


def ablate(
    context: typer.Context,
    recipe: Annotated[
        Path, typer.Argument(help="Recipe (.yaml) that uses distillation, augmentation or clusters.")
    ],
    seeds: Annotated[
        str, typer.Option(help="Random seeds, separated by commas. Every variant is trained once per seed.")
    ] = "0,1,2",
    out: Annotated[
        Path | None, typer.Option(help="Directory for the runs. Default: runs/<recipe name>-ablation.")
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Train a recipe with every subset of its ingredients.

    The ingredients are distillation, augmentation and clusters. The command prints a table of the results
    with confidence intervals and saves it as ablation.md.

    A stage that uses none of the ingredients is trained once per seed. Every other stage is trained once per
    subset and seed, always for the same number of epochs. Set any field of the recipe with an option, as in
    `auricle train`. If you run the command again, it keeps the finished runs and trains the rest.
    """
    with one_line_errors():
        from ..encoders.cpu_threads import set_cpu_threads
        from ..training.recipe.reading import parse_overrides, read_recipe
        from ..training.runs.ablation import run_ablation
        from ..training.runs.ablation_table import format_ablation

        quiet_libraries()
        with one_line_errors(*expected_errors(), ValueError):
            numbers = _read_seeds(seeds)
            parsed = read_recipe(recipe, parse_overrides(context.args))
            directory = out or Path(f"{parsed.run_dir}-ablation")
            set_cpu_threads(parsed.training.cpu_threads)
        with one_line_full_disk(directory), one_line_errors(*expected_errors(), ValueError):
            table = run_ablation(parsed, numbers, directory, progress=progress)
        if table:
            lines = format_ablation(table)
            (directory / "ablation.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
            typer.echo("\n".join(lines))


def _read_seeds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(
            f"--seeds {text!r}: expected integers of 0 or more, separated by commas, such as 0,1,2."
        )
    return [int(part) for part in parts]
