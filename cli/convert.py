"""`auricle convert`: converts a published checkpoint to a model directory."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors


class Kind(StrEnum):
    """Kinds of checkpoints that can be converted."""

    passt = "passt"
    beats = "beats"
    eat = "eat"
    retrieval = "retrieval"


class Pooling(StrEnum):
    """How EAT pools its tokens into one vector."""

    cls = "cls"
    mean = "mean"


def convert(
    kind: Annotated[
        Kind, typer.Argument(help="Architecture of the checkpoint: an audio encoder or a retrieval model.")
    ],
    checkpoint: Annotated[
        list[Path],
        typer.Argument(
            help="Published checkpoint (.pt, .pth, .ckpt or .safetensors). For a retrieval model in several parts: "
            "the first part, or all parts."
        ),
    ],
    out_dir: Annotated[Path, typer.Argument(help="Output directory; must be new or empty.")],
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Retrieval only: directory or Hub id of the text tower's tokenizer, such as roberta-large. "
            "The checkpoint does not contain it."
        ),
    ] = None,
    attention_heads: Annotated[
        int | None,
        typer.Option(help="Encoders only: number of attention heads. Default: one per 64 channels.", min=1),
    ] = None,
    pooling: Annotated[
        Pooling | None,
        typer.Option(help="EAT only: use the CLS token (default) or the mean of the patch tokens."),
    ] = None,
) -> None:
    """
    Convert a published checkpoint of an audio encoder or a retrieval model.

    Audio encoders: PaSST, BEATs, EAT. Retrieval models: salsa (DCASE 2024) and the DCASE 2025 baseline. The result is
    a model directory that AutoModel.from_pretrained loads. No code of the checkpoint runs. The command reloads the
    directory, checks that all weights are equal, and prints which weights of the checkpoint are not used, and why.
    """
    from transformers.utils import logging

    from ..conversion import ConversionError, convert_checkpoint, convert_retrieval

    logging.disable_progress_bar()
    with one_line_errors(ConversionError):
        if kind is Kind.retrieval:
            if tokenizer is None:
                raise ConversionError(
                    "a retrieval checkpoint contains no tokenizer: give its directory or Hub id with --tokenizer; "
                    "salsa and the DCASE 2025 baseline use that of roberta-large."
                )
            _refuse(kind, {"--attention-heads": attention_heads, "--pooling": pooling})
            report = convert_retrieval(checkpoint, out_dir, tokenizer=tokenizer, progress=True)
        else:
            _refuse(kind, {"--tokenizer": tokenizer})
            if len(checkpoint) > 1:
                raise ConversionError(
                    f"got {len(checkpoint)} files for one {kind.value} encoder; give one file."
                )
            report = convert_checkpoint(
                kind.value,
                checkpoint[0],
                out_dir,
                attention_heads=attention_heads,
                pooling=(pooling or Pooling.cls).value,
            )
    typer.echo(f"wrote {out_dir}: {report.parameters:,} parameters, verified after reloading")
    for note in report.notes:
        typer.echo(f"note: {note}")
    reasons: dict[str, list[str]] = {}
    for name, reason in report.dropped.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        typer.echo(f"skipped {shown}: {reason}")
    typer.echo(f"checkpoint SHA-256 {report.source_sha256}")
    typer.echo(f"weights SHA-256    {report.weights_sha256}")


def _refuse(kind: Kind, options: dict[str, object]) -> None:
    from ..conversion import ConversionError

    for name, value in options.items():
        if value is not None:
            raise ConversionError(f"{name} does not apply to `auricle convert {kind.value}`.")
