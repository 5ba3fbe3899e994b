"""`auricle convert`: converts a published encoder checkpoint to a model directory."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors


class Tower(StrEnum):
    """Encoders that can be converted."""

    passt = "passt"
    beats = "beats"
    eat = "eat"


class Pooling(StrEnum):
    """How EAT pools its tokens into one vector."""

    cls = "cls"
    mean = "mean"


def convert(
    tower: Annotated[Tower, typer.Argument(help="Architecture of the checkpoint.")],
    checkpoint: Annotated[Path, typer.Argument(help="Published checkpoint (.pt, .pth or .safetensors).")],
    out_dir: Annotated[Path, typer.Argument(help="Output directory; must be new or empty.")],
    attention_heads: Annotated[
        int | None, typer.Option(help="Number of attention heads. Default: one per 64 channels.", min=1)
    ] = None,
    pooling: Annotated[
        Pooling, typer.Option(help="EAT only: use the CLS token or the mean of the patch tokens.")
    ] = Pooling.cls,
) -> None:
    """
    Convert a published PaSST, BEATs or EAT checkpoint.

    The result is a model directory that AutoModel.from_pretrained loads. The command reloads it and checks
    that all weights are equal. It prints which weights of the checkpoint are not used, and why.
    """
    from transformers.utils import logging

    from ..conversion import ConversionError, convert_checkpoint

    logging.disable_progress_bar()
    with one_line_errors(ConversionError):
        report = convert_checkpoint(
            tower.value, checkpoint, out_dir, attention_heads=attention_heads, pooling=pooling.value
        )
    typer.echo(f"wrote {out_dir}: {report.parameters:,} parameters, verified after reloading")
    reasons: dict[str, list[str]] = {}
    for name, reason in report.dropped.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        typer.echo(f"skipped {shown}: {reason}")
    typer.echo(f"checkpoint SHA-256 {report.source_sha256}")
    typer.echo(f"weights SHA-256    {report.weights_sha256}")
