"""`auricle ablate`: a recipe with every subset of its ingredients."""

from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors, quiet_libraries


def ablate(
    context: typer.Context,
    recipe: Annotated[
        Path, typer.Argument(help="A recipe that uses distillation, augmentation or clusters.")
    ],
    seeds: Annotated[str, typer.Option(help="Seeds to run, with commas between them.")] = "0,1,2",
    out: Annotated[
        Path | None, typer.Option(help="Directory of the runs; runs/<recipe name>-ablation if not given.")
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Train a recipe with distillation, augmentation and clusters on and off, and print the table with intervals.

    Stages that use none of the three are trained once a seed; all others once for every subset, with the same
    epochs. Fields of the recipe can be set as for `auricle train`. Called again, finished runs are kept.
    """
    with one_line_errors():
        from ..data import DataError
        from ..encoders.cpu_threads import set_cpu_threads
        from ..processing import AudioReadError
        from ..training.models.pretrained_text import PretrainedError
        from ..training.recipe.reading import RecipeError, parse_overrides, read_recipe
        from ..training.runs.ablation import run_ablation
        from ..training.runs.ablation_table import format_ablation

        quiet_libraries()
        with one_line_errors(RecipeError, DataError, AudioReadError, PretrainedError, ValueError):
            numbers = _read_seeds(seeds)
            parsed = read_recipe(recipe, parse_overrides(context.args))
            directory = out or Path(f"{parsed.run_dir}-ablation")
            set_cpu_threads(parsed.training.cpu_threads)
            table = run_ablation(parsed, numbers, directory, progress=progress)
        if table:
            lines = format_ablation(table)
            (directory / "ablation.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
            typer.echo("\n".join(lines))


def _read_seeds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"--seeds {text!r}: must be whole numbers, 0 or more, with commas between them.")
    return [int(part) for part in parts]
