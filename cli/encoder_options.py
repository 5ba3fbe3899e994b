"""Options of the commands that load a model: remote code, window, precision, engine and width of the vectors."""

from typing import Any

import typer

TRUST_REMOTE_CODE = typer.Option(
    "--trust-remote-code",
    help="Run the Python code in the model's repository, if the model needs it. Read the code first: it can do "
    "everything that you can. Give the option each time; nothing remembers it.",
)
WINDOW = typer.Option(
    "--window",
    metavar="SECONDS",
    help="Length of a window, at most the model's maximum. Default: the model's own length.",
)
PRECISION = typer.Option(
    "--precision",
    metavar="float32|bf16|float16|int8",
    help="Precision that the model computes in. bf16 needs a processor or GPU that has it; float16 needs a GPU; int8 "
    "is for Auricle models on a CPU. Default: float32.",
)
ENGINE = typer.Option(
    "--engine",
    metavar="auto|torch|packed|onnx",
    help="What computes float32 on a CPU: torch, packed linear layers (oneDNN) or ONNX Runtime, which exports the "
    "model once. The embeddings are the same to 1e-5. Default: auto, the fastest on this machine, or $AURICLE_ENGINE.",
)
DIMS = typer.Option(
    "--dims",
    metavar="N",
    help="Keep the first N dimensions of the embeddings, for models that name such widths (Matryoshka). "
    "Default: all.",
)


def encoder_options(
    *,
    window: float | None = None,
    precision: str | None = None,
    dims: int | None = None,
    engine: str | None = None,
    trust_remote_code: bool = False,
) -> dict[str, Any]:
    """Arguments of [`load_encoder`] for the options of a command that were given."""
    given = {"window_seconds": window, "precision": precision, "truncate_dim": dims, "engine": engine}
    options = {name: value for name, value in given.items() if value is not None}
    return {**options, "trust_remote_code": True} if trust_remote_code else options
