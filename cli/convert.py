"""`auricle convert`: a published checkpoint to a directory that loads by itself."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors


class Kind(StrEnum):
    """What can be converted."""

    passt = "passt"
    beats = "beats"
    eat = "eat"
    retrieval = "retrieval"


class Pooling(StrEnum):
    """How EAT's tokens become one vector."""

    cls = "cls"
    mean = "mean"


def convert(
    kind: Annotated[
        Kind, typer.Argument(help="What the file holds: an audio encoder, or a whole retrieval model.")
    ],
    checkpoint: Annotated[
        list[Path],
        typer.Argument(
            help="The publisher's file (.pt, .pth, .ckpt or .safetensors). Of a retrieval model cut into parts: "
            "the first one, or all."
        ),
    ],
    out_dir: Annotated[Path, typer.Argument(help="Directory to write; must be new or empty.")],
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Retrieval only: directory or Hub id of the text tower's tokenizer, such as roberta-large. "
            "The checkpoint holds none."
        ),
    ] = None,
    attention_heads: Annotated[
        int | None,
        typer.Option(help="Encoders only: heads, where they are not one for every 64 channels.", min=1),
    ] = None,
    pooling: Annotated[
        Pooling | None, typer.Option(help="EAT only: first token (the default) or mean of the patches.")
    ] = None,
) -> None:
    """Turn a published checkpoint into a directory that AutoModel loads.

    Audio encoders: PaSST, BEATs, EAT. Retrieval models: salsa (DCASE 2024) and the DCASE 2025 baseline.
    Nothing that a checkpoint holds is run, and what is left out of it is named.
    """
    from transformers.utils import logging

    from ..conversion import ConversionError, convert_checkpoint, convert_retrieval

    logging.disable_progress_bar()
    with one_line_errors(ConversionError):
        if kind is Kind.retrieval:
            if tokenizer is None:
                raise ConversionError(
                    "a retrieval checkpoint holds no tokenizer: add --tokenizer with its directory or Hub id; "
                    "salsa and the DCASE 2025 baseline take that of roberta-large."
                )
            _refuse(kind, {"--attention-heads": attention_heads, "--pooling": pooling})
            report = convert_retrieval(checkpoint, out_dir, tokenizer=tokenizer, progress=True)
        else:
            _refuse(kind, {"--tokenizer": tokenizer})
            if len(checkpoint) > 1:
                raise ConversionError(
                    f"{len(checkpoint)} files are given for one {kind.value}; an encoder lies in one file."
                )
            report = convert_checkpoint(
                kind.value,
                checkpoint[0],
                out_dir,
                attention_heads=attention_heads,
                pooling=(pooling or Pooling.cls).value,
            )
    typer.echo(f"wrote {out_dir}: {report.parameters:,} weights, loaded again and equal")
    for note in report.notes:
        typer.echo(f"note: {note}")
    reasons: dict[str, list[str]] = {}
    for name, reason in report.dropped.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        typer.echo(f"left out {shown}: {reason}")
    typer.echo(f"checkpoint SHA-256 {report.source_sha256}")
    typer.echo(f"weights SHA-256    {report.weights_sha256}")


def _refuse(kind: Kind, options: dict[str, object]) -> None:
    from ..conversion import ConversionError

    for name, value in options.items():
        if value is not None:
            raise ConversionError(f"{name} does not apply to `auricle convert {kind.value}`.")
