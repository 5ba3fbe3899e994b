"""`auricle evaluate --user-queries`: how well a model answers each kind of query."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .failures import printable

if TYPE_CHECKING:
    from datasets import Dataset


def evaluate_user_queries_command(
    model: str,
    table: "Dataset",
    *,
    options: dict[str, Any],
    label_column: str | None,
    per_kind: int,
    resamples: int,
    seed: int,
    batch_size: int,
    json_file: Path | None,
    progress: bool,
) -> None:
    """
    Prints the report of a model, and writes it where wanted.

    Args:
        model: directory or Hub id of a model.
        table: the split.
        options: of loading the model.
        label_column: column with the clips' classes; None for generated scenes.
        per_kind: maximum number of queries of each kind.
        resamples: of the bootstrap.
        seed: of the queries and of the bootstrap.
        batch_size: clips or queries at a time.
        json_file: also write the report there.
        progress: show progress bars.

    Raises:
        ValueError: if the model is none, or the table holds nothing that queries can be made of.
    """
    from ..data.scenes.held_out_vocabularies import HELD_OUT
    from ..data.scenes.vocabulary import TRAINING
    from ..encoders import load_encoder
    from ..evaluation.user_queries import (
        embed_clips_of,
        evaluate_user_queries,
        format_user_queries,
        label_queries,
        scene_queries,
    )
    from ..files.json_files import write_json

    draw = {"per_kind": per_kind, "seed": seed}
    if label_column is not None:
        queries = {"names of the classes": label_queries(table, label_column, **draw)}
    else:
        queries = {
            "names of training captions": scene_queries(table, vocabulary=TRAINING, **draw),
            "names that no training caption uses": scene_queries(table, vocabulary=HELD_OUT, **draw),
        }
    encoder = load_encoder(model, **options)
    clips = embed_clips_of(encoder, table, batch_size=batch_size, progress=progress)
    reports = {
        names: evaluate_user_queries(
            encoder, clips, some, batch_size=batch_size, resamples=resamples, seed=seed
        )
        for names, some in queries.items()
    }
    if json_file:
        write_json(json_file, {"model": model, "seed": seed, "resamples": resamples, "wordings": reports})
    for names, report in reports.items():
        typer.echo(
            printable(f"{model}: {names}, {report['clips']} clips; 95 % bootstrap intervals over queries")
        )
        for line in format_user_queries(report):
            typer.echo(printable(line))
        typer.echo("")
