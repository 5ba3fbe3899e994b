"""`auricle export`: exports the towers of a model to ONNX."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors, printable, quiet_libraries


class Towers(StrEnum):
    """Parts of the model to export."""

    both = "both"
    text = "text"
    audio = "audio"


def export(
    model: Annotated[str, typer.Argument(help="Saved model: a directory or a Hub id.")],
    out: Annotated[Path, typer.Argument(help="Output directory. It is created if missing.")],
    towers: Annotated[
        Towers, typer.Option(help="Towers to export. A text query to an index needs the text tower only.")
    ] = Towers.both,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Quantize to 8-bit weights. Files have a quarter of the size, and embeddings change slightly.",
        ),
    ] = False,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Export the towers of a model to ONNX.

    The command compares the outputs of the ONNX files with those of the model and prints the largest
    difference. The files run with onnxruntime, without torch. The processor, which computes log-mel segments
    and tokens, is saved with them. Needs pip install 'auricle[onnx]'.
    """
    with one_line_errors():
        quiet_libraries(download_bars=progress)
        from ..hub.onnx_export import ExportError, export_onnx

        with one_line_errors(OSError, ValueError, ImportError, ExportError):
            chosen = ("text", "audio") if towers is Towers.both else (towers.value,)
            record = export_onnx(model, out, towers=chosen, int8=int8, progress=progress)
        for name, tower in record["towers"].items():
            typer.echo(
                f"{name}: {tower['file']}, {tower['bytes'] / 1e6:.1f} MB; largest difference from the model "
                f"{tower['largest_difference']:.1e}, lowest cosine {tower['lowest_cosine']:.6f}"
            )
        typer.echo(printable(f"wrote {out}"))
