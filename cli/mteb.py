"""`auricle mteb`: a model's entry in MTEB."""

from typing import Annotated

import typer

from .failures import one_line_errors, quiet_libraries


def mteb(
    model: Annotated[str, typer.Argument(help="Saved model: a directory or a Hub id.")],
    name: Annotated[str, typer.Argument(help="Name on the Hub: owner/name.")],
    revision: Annotated[str | None, typer.Option(help="Commit that was evaluated.")] = None,
    release_date: Annotated[str | None, typer.Option(help="Release date, such as 2026-01-31.")] = None,
    license: Annotated[
        str | None,
        typer.Option(help="License identifier that MTEB knows, in lower case, such as apache-2.0."),
    ] = None,
    trained_on: Annotated[
        list[str] | None,
        typer.Option(help="clotho, audiocaps, wavcaps, or the name of a task of MTEB. Repeatable."),
    ] = None,
    training_code: Annotated[str | None, typer.Option(help="URL of the training code.")] = None,
) -> None:
    """
    Print the MTEB entry of a published model.

    The output is the file of the pull request that adds the model to MTEB.

    Sizes, dimensions, limits and the sampling rate are read from the model. See docs/mteb.md.
    """
    with one_line_errors(ValueError, OSError, ImportError):
        from ..encoders.auricle_checkpoint import load_pretrained
        from ..hub.mteb_entry import mteb_entry

        quiet_libraries()
        entry = mteb_entry(
            *load_pretrained(model),
            name,
            revision=revision,
            release_date=release_date,
            license=license,
            trained_on=trained_on,
            training_code=training_code,
        )
        typer.echo(entry.source(), nl=False)
