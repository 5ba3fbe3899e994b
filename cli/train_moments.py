"""`auricle train` with a recipe with ``task: moments``: trains a moment head."""

from pathlib import Path

import typer

from ..training.moments.moment_recipe import is_moment_recipe, read_moment_recipe
from .failures import one_line_errors, one_line_full_disk, printable, quiet_libraries


def train_moment_head(
    recipe_file: Path, options: list[str], stage: str | None, push_to_hub: str | None, progress: bool
) -> None:
    """
    Trains a moment head and prints its figures.

    Args:
        recipe_file: the recipe.
        options: ``--field value`` arguments.
        stage: value of ``--stage``; such a recipe has no stages.
        push_to_hub: repository that the finished head goes to.
        progress: show progress bars.
    """
    from ..encoders.cpu_threads import set_cpu_threads
    from ..evaluation.moments.moment_evaluation import format_moment_report
    from ..evaluation.moments.moment_queries import MomentFileError
    from ..training.moments.moment_recipe import MomentRecipe
    from ..training.moments.moment_running import run_moment_recipe
    from ..training.recipe.reading import RecipeError, parse_overrides
    from .train import expected_errors

    with one_line_errors(RecipeError):
        if stage is not None:
            raise RecipeError(f"--stage {stage!r}: the recipe of a moment head has no stages.")
        recipe = read_moment_recipe(recipe_file, parse_overrides(options, MomentRecipe))
        if push_to_hub is not None:
            from ..hub.publishing import PublishError, check_repo_id

            with one_line_errors(PublishError):
                check_repo_id(push_to_hub)
    quiet_libraries()
    set_cpu_threads(recipe.training.cpu_threads)
    with one_line_full_disk(recipe.run_dir), one_line_errors(*expected_errors(), MomentFileError):
        try:
            results = run_moment_recipe(recipe, progress=progress)
        except KeyboardInterrupt:
            typer.echo(
                f"\nstopped; run the same command to resume from the last checkpoint in {recipe.run_dir}",
                err=True,
            )
            raise
    typer.echo(f"\nmodel: {results['model']}")
    best = results["validation"]
    typer.echo(f"validation: {best['metric']} {100 * best['value']:.2f} after epoch {best['epoch']:g}")
    if "test" in results:
        typer.echo("")
        for line in format_moment_report(results["test"]):
            typer.echo(printable(line))
    if push_to_hub is not None:
        _push(recipe.run_dir, push_to_hub)


def _push(run_dir: str, repo_id: str) -> None:
    """Pushes the head. If the push fails, the error is printed; the head is in the run."""
    from ..hub.moment_head import collect_moment_run
    from ..hub.publishing import PublishError, publish

    try:
        address = publish(collect_moment_run(run_dir, repo_id), overwrite=True)
    except PublishError as error:
        typer.echo(f"the head was not pushed: {error} To push it later, use auricle push.", err=True)
    else:
        typer.echo(f"pushed: {address}")


__all__ = ["is_moment_recipe", "train_moment_head"]
