"""`auricle convert`: a published encoder checkpoint to a directory that loads by itself."""

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
    """How EAT's tokens become one vector."""

    cls = "cls"
    mean = "mean"


def convert(
    tower: Annotated[Tower, typer.Argument(help="Which encoder the file holds.")],
    checkpoint: Annotated[Path, typer.Argument(help="The publisher's file (.pt, .pth or .safetensors).")],
    out_dir: Annotated[Path, typer.Argument(help="Directory to write; must be new or empty.")],
    attention_heads: Annotated[
        int | None, typer.Option(help="Heads, where they are not one for every 64 channels.", min=1)
    ] = None,
    pooling: Annotated[
        Pooling, typer.Option(help="EAT only: first token or mean of the patches.")
    ] = Pooling.cls,
) -> None:
    """Turn a published PaSST, BEATs or EAT checkpoint into a directory that AutoModel loads."""
    from transformers.utils import logging

    from ..conversion import ConversionError, convert_checkpoint

    logging.disable_progress_bar()
    with one_line_errors(ConversionError):
        report = convert_checkpoint(
            tower.value, checkpoint, out_dir, attention_heads=attention_heads, pooling=pooling.value
        )
    typer.echo(f"wrote {out_dir}: {report.parameters:,} weights, loaded again and equal")
    reasons: dict[str, list[str]] = {}
    for name, reason in report.dropped.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        typer.echo(f"left out {shown}: {reason}")
    typer.echo(f"checkpoint SHA-256 {report.source_sha256}")
    typer.echo(f"weights SHA-256    {report.weights_sha256}")
