"""`auricle push`: publishes a finished run, or a model directory, on the Hub."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .failures import one_line_errors, printable, quiet_libraries

if TYPE_CHECKING:
    from ..hub.publishing import Publication


def push(
    run: Annotated[
        Path,
        typer.Argument(
            help="Directory of a finished run, such as runs/demo; or a model directory, such as one that "
            "`auricle convert` wrote."
        ),
    ],
    repo_id: Annotated[str, typer.Argument(help="Repository on the Hub: owner/name.")],
    stage: Annotated[
        str | None, typer.Option(help="Publish the model of this stage. Default: the last stage.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="If the repository is new, make it private.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch to push to. It is created if missing.")] = None,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="Open a pull request with the commit.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Upload nothing; print the list of files and the model card.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing weights in the repository.")
    ] = False,
    license: Annotated[
        str | None,
        typer.Option(
            help="License identifier for the model card. Default: derived from encoders and datasets."
        ),
    ] = None,
    allow_unevaluated: Annotated[
        bool, typer.Option("--allow-unevaluated", help="Publish a run without evaluation results.")
    ] = False,
    adapter_of: Annotated[
        str | None,
        typer.Option(help="Publish only the LoRA adapters, for this base model on the Hub: owner/name."),
    ] = None,
    include_space: Annotated[
        str | None,
        typer.Option(
            help="Also publish a Gradio Space, a search page for the model, in this repository: owner/name."
        ),
    ] = None,
    include_dataset: Annotated[
        str | None,
        typer.Option(
            help="Also publish the training captions and ids, without audio, in this repository: owner/name."
        ),
    ] = None,
    message: Annotated[str | None, typer.Option(help="Commit message.")] = None,
) -> None:
    """
    Publish a finished run, or a converted or otherwise saved model, on the Hub.

    One commit contains the model, processor, code, recipe, log, evaluation and model card. It contains no optimizer
    state, cache, audio, token or local path. If a push fails, the repository does not change, and you can run
    the command again. The card of a model directory names the publisher's file it was converted from, its
    license, and that it was not trained here; for models that were not converted it states that the origin is not
    recorded. Weights with NaN or infinity are refused. The access token comes from HF_TOKEN or from `hf auth login`.
    """
    with one_line_errors():
        quiet_libraries()
        from ..hub.moment_head import collect_moment_run, is_moment_run
        from ..hub.publishing import PublishError, collect_run, publish
        from ..hub.saved_model import collect_saved_model, is_run
        from ..hub.space import collect_space
        from ..hub.training_table import collect_training_table

        with one_line_errors(PublishError, ValueError, OSError, ImportError):
            of_runs = {
                "--stage": stage,
                "--adapter-of": adapter_of,
                "--include-dataset": include_dataset,
            }
            if is_moment_run(run):
                given = [name for name, value in of_runs.items() if value is not None]
                if given or include_space is not None:
                    raise PublishError(
                        f"{run}: is a moment head; {', '.join(given) or '--include-space'} does not apply."
                    )
                model = collect_moment_run(run, repo_id, license=license)
            elif is_run(run):
                model = collect_run(
                    run,
                    repo_id,
                    stage=stage,
                    license=license,
                    allow_unevaluated=allow_unevaluated,
                    adapter_of=adapter_of,
                )
            else:
                for option, value in of_runs.items():
                    if value is not None:
                        raise PublishError(f"{option} {value}: {run} is a model directory; this needs a run.")
                model = collect_saved_model(run, repo_id, license=license)
            parts = [("model", model)]
            if include_space is not None:
                extras = ("app",) if adapter_of is None else ("app", "peft")
                parts.append(("space", collect_space(repo_id, include_space, extras=extras)))
            if include_dataset is not None:
                parts.append(("dataset", collect_training_table(run, include_dataset)))
            for kind, publication in parts:
                _show(kind, publication, whole=dry_run)
            if dry_run:
                return
            for kind, publication in parts:
                is_model = kind == "model"
                address = publish(
                    publication,
                    private=private,
                    revision=revision if is_model else None,
                    create_pr=create_pr and is_model,
                    overwrite=overwrite,
                    repo_type=kind,
                    message=message,
                )
                typer.echo(address)


def _show(kind: str, publication: "Publication", *, whole: bool) -> None:
    for warning in publication.warnings:
        typer.echo(printable(f"warning: {warning}"), err=True)
    total = sum(publication.size(path) for path in publication.files)
    typer.echo(
        printable(f"{kind} {publication.repo_id}: {len(publication.files)} files, {total / 1e6:.1f} MB")
    )
    if whole:
        for path in publication.files:
            typer.echo(printable(f"  {publication.size(path):>12,}  {path}"))
        typer.echo(printable(bytes(publication.files["README.md"]).decode()))
