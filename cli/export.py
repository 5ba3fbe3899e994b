"""`auricle export`: both towers as ONNX files."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors, printable, quiet_libraries


class Towers(StrEnum):
    """What is exported."""

    both = "both"
    text = "text"
    audio = "audio"


def export(
    model: Annotated[str, typer.Argument(help="A saved model: a directory or a Hub id.")],
    out: Annotated[Path, typer.Argument(help="Directory of the ONNX files, made if missing.")],
    towers: Annotated[
        Towers, typer.Option(help="The text tower alone is enough to ask an index.")
    ] = Towers.both,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="8-bit weights: a quarter of the size, and vectors shift a little."),
    ] = False,
) -> None:
    """
    Export the towers to ONNX and check that they answer like the model.

    Needs pip install 'auricle[onnx]'. The files run with onnxruntime alone; the processor, whose front
    end turns sounds into log-mel segments, is saved beside them.
    """
    with one_line_errors():
        quiet_libraries()
        from ..hub.onnx_export import ExportError, export_onnx

        with one_line_errors(OSError, ValueError, ImportError, ExportError):
            chosen = ("text", "audio") if towers is Towers.both else (towers.value,)
            record = export_onnx(model, out, towers=chosen, int8=int8)
        for name, tower in record["towers"].items():
            typer.echo(
                f"{name}: {tower['file']}, {tower['bytes'] / 1e6:.1f} MB; largest difference from the model "
                f"{tower['largest_difference']:.1e}, lowest cosine {tower['lowest_cosine']:.6f}"
            )
        typer.echo(printable(f"wrote {out}"))
