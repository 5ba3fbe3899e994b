"""`auricle train`: trains a model with a recipe."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .failures import one_line_errors, one_line_full_disk, quiet_libraries
from .lazy_commands import single_command

if TYPE_CHECKING:
    from ..training.recipe.schema import Recipe


def train(
    context: typer.Context,
    recipe: Annotated[
        Path | None, typer.Argument(help="Recipe: a YAML file such as recipes/demo.yaml.")
    ] = None,
    stage: Annotated[
        str | None, typer.Option(help="Run this stage only. Earlier stages must be finished.")
    ] = None,
    fields: Annotated[bool, typer.Option("--fields", help="List all fields of a recipe and exit.")] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            help="Repository on the Hub: owner/name. Each finished stage is pushed to a branch with its name, "
            "the last stage also to main."
        ),
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Train a model with a recipe.

    A recipe with task: moments trains a moment head.

    The command runs all stages in order, or one stage. You can set any field of the recipe with an option: by
    its full name (--training.epochs 3), by its short name if it occurs in one section only (--epochs 3), or
    for one stage (--stages.NAME.training.epochs 3).

    If you run the command again with the same arguments, it skips finished stages and resumes the unfinished
    stage from its last checkpoint. To use several processes: accelerate launch -m auricle train RECIPE
    """
    # Ctrl-C while the libraries are still being imported ends in one line too.
    with one_line_errors():
        from ..training.recipe.reading import RecipeError, list_fields, parse_overrides, read_recipe

        if fields:
            for name, kind, default, description in list_fields():
                typer.echo(f"{name}  ({kind}, default {default})\n    {description}")
            return
        with one_line_errors(RecipeError):
            if recipe is None or str(recipe).startswith("-"):
                raise RecipeError(
                    "give a recipe first, such as recipes/demo.yaml, then options (--fields lists all fields)."
                )
            from .train_moments import is_moment_recipe, train_moment_head

            if is_moment_recipe(recipe):
                train_moment_head(recipe, context.args, stage, push_to_hub, progress)
                return
            parsed = read_recipe(recipe, parse_overrides(context.args))
            if push_to_hub is not None:
                from ..hub.publishing import PublishError, check_repo_id

                with one_line_errors(PublishError):
                    check_repo_id(push_to_hub)
        _run(parsed, stage, progress, push_to_hub)


def _run(recipe: "Recipe", stage: str | None, progress: bool, push_to_hub: str | None) -> None:
    from accelerate import PartialState

    from ..encoders.cpu_threads import set_cpu_threads
    from ..training.runs.recipe_running import run_recipe

    quiet_libraries()
    set_cpu_threads(recipe.training.cpu_threads)
    with one_line_full_disk(recipe.run_dir), one_line_errors(*expected_errors()):
        try:
            results = run_recipe(
                recipe,
                only_stage=stage,
                progress=progress,
                on_stage_end=lambda name: _push(recipe, push_to_hub, name, final=False),
            )
        except KeyboardInterrupt:
            if os.environ.get("RANK", "0") == "0":
                typer.echo(
                    f"\nstopped; run the same command to resume from the last checkpoint in {recipe.run_dir}",
                    err=True,
                )
            raise
    if results:
        for line in format_results(results):
            typer.echo(line)
        _push(recipe, push_to_hub, recipe.stage_names()[-1], final=True)
    PartialState().destroy_process_group()


def expected_errors() -> tuple[type[Exception], ...]:
    """Errors of a recipe, its data, its models or its training, each with a one-line message."""
    from ..conversion.finite_weights import NonFiniteWeightsError
    from ..data import DataError
    from ..encoders import EncoderError
    from ..processing import AudioReadError
    from ..training.clusters.caption_clusters import ClusterError
    from ..training.divergence import DivergedError
    from ..training.models.pretrained_text import PretrainedError
    from ..training.recipe.reading import RecipeError
    from ..training.rows.synonyms import SynonymError
    from ..training.teachers.bank_files import BankError

    return (
        RecipeError,
        DataError,
        AudioReadError,
        PretrainedError,
        EncoderError,
        BankError,
        ClusterError,
        SynonymError,
        DivergedError,
        NonFiniteWeightsError,
    )


def _push(recipe: "Recipe", repo_id: str | None, stage: str, *, final: bool) -> None:
    """Pushes a stage. If the push fails, the error is printed and training continues."""
    if repo_id is None:
        return
    from ..hub.publishing import PublishError, collect_run, publish

    try:
        publication = collect_run(recipe.run_dir, repo_id, stage=stage, allow_unevaluated=True)
        address = publish(publication, revision=None if final else stage, overwrite=True)
    except PublishError as error:
        typer.echo(f"stage {stage!r} was not pushed: {error} To push it later, use auricle push.", err=True)
    else:
        typer.echo(f"stage {stage!r} pushed: {address}")


def format_results(results: dict) -> list[str]:
    """The metrics and example results of a run as lines of text."""
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
    lines += [
        told for told in (relevance_told(results.get("relevance_column")),) if told and results["figures"]
    ]
    for answer in results.get("answers", []):
        lines += ["", f'"{answer["question"]}"']
        lines += [
            f"  {rank}. {clip['score']:.3f}  {clip['path']}"
            for rank, clip in enumerate(answer["clips"], start=1)
        ]
    return lines


def relevance_told(column: str | None) -> str:
    """What is relevant in a run's metrics; "" for results that do not record it."""
    if column is None:
        return ""
    if column == "clip_id":
        return "relevant: a caption's own clip, a clip's own captions"
    return f"relevant: clips and captions with the same {column!r} (evaluation.relevance_column); equal ones count once"


def main() -> None:
    """Entry point of train.py."""
    single_command(train, "train.py", open_options=True)()
