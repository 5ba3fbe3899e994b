"""`auricle card`: the model card of a finished run."""

from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors


def card(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run, such as runs/demo.")],
    show: Annotated[bool, typer.Option("--print", help="Print the card and write nothing.")] = False,
) -> None:
    """
    Write the model card of a finished run.

    The card is README.md in the model's directory. It describes towers, data, stages, teachers, clusters and
    metrics, all read from the run. An existing README.md is replaced.
    """
    with one_line_errors(ValueError, OSError):
        from ..hub.model_card import render_model_card, write_model_card
        from ..hub.moment_head import is_moment_run, render_moment_card

        if is_moment_run(run):
            text = render_moment_card(run)
            if show:
                typer.echo(text)
                return
            path = run / "head" / "model" / "README.md"
            path.write_text(text, encoding="utf-8")
            typer.echo(f"wrote {path}")
        elif show:
            typer.echo(render_model_card(run))
        else:
            typer.echo(f"wrote {write_model_card(run)}")
