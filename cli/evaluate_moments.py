"""`auricle evaluate --moments`: how well moments in recordings are found."""

from pathlib import Path
from typing import Any

import typer

from .failures import printable


def evaluate_moments_command(
    model: str,
    queries_file: str,
    *,
    audio: Path | None,
    edges: str | None,
    head: str | None,
    resamples: int,
    seed: int,
    json_file: Path | None,
    submission: Path | None,
    progress: bool,
    options: dict[str, Any] | None = None,
) -> None:
    """
    Evaluates predicted moments, or predicts them with a model first.

    Args:
        model: a file of predictions (``.jsonl``), or a model.
        queries_file: queries with true moments.
        audio: directory with the recordings; needed for a model.
        edges: see `answer_moment_queries`.
        head: directory or Hub id of a moment head on the model.
        resamples, seed: of the bootstrap.
        json_file: where the report goes.
        submission: where the model's predictions go.
        progress: show progress bars.
        options: window, precision and the like to load a model with, see `load_encoder`.

    Raises:
        ValueError: for files that cannot be used, or options that do not go together.
    """
    from ..evaluation.moments.moment_evaluation import evaluate_moments, format_moment_report
    from ..evaluation.moments.moment_predictions import read_moment_predictions, write_moment_predictions
    from ..evaluation.moments.moment_queries import read_moment_queries
    from ..files.json_files import write_json

    read = read_moment_queries(queries_file)
    remarks, origin = list(read.remarks), {}
    if model.lower().endswith(".jsonl"):
        if any(option is not None for option in (audio, edges, head, submission)):
            raise ValueError(
                "--audio, --edges, --head and --submission go with a model, not with a file of predictions."
            )
        predictions = read_moment_predictions(model, read.queries)
        spans, remarks = predictions.spans, [*remarks, *predictions.remarks]
        origin["predictions"] = model
    else:
        for name, file in (("--submission", submission), ("--json", json_file)):
            if file is not None and file.is_dir():
                raise ValueError(f"{name} {file}: is a directory, but must be a file to write.")
        spans, origin = _predicted(
            model, read.queries, audio=audio, edges=edges, head=head, progress=progress, options=options
        )
        if submission is not None:
            write_moment_predictions(submission, read.queries, spans)
    report: dict[str, Any] = {
        "name": model,
        "queries_file": queries_file,
        **origin,
        **evaluate_moments(read.queries, spans, resamples=resamples, seed=seed),
        "remarks": remarks,
    }
    if json_file is not None:
        write_json(json_file, report)
    for remark in remarks:
        typer.echo(printable(remark), err=True)
    for line in format_moment_report(report):
        typer.echo(printable(line))


def _predicted(
    model: str,
    queries: Any,
    *,
    audio: Path | None,
    edges: str | None,
    head: str | None,
    progress: bool,
    options: dict[str, Any] | None,
) -> tuple[Any, dict[str, Any]]:
    from ..encoders import load_encoder
    from ..encoders.recordings.moment_head import MomentHead
    from ..search.moments.moment_answers import answer_moment_queries

    if audio is None:
        raise ValueError("--moments with a model needs --audio, the directory with the recordings.")
    encoder = load_encoder(model, **(options or {}))
    if head is not None and edges is not None:
        raise ValueError("--edges does not go with --head, which finds spans by itself.")
    loaded = None if head is None else MomentHead.load(head, encoder)
    answers = answer_moment_queries(encoder, queries, audio, edges=edges, head=loaded, progress=progress)
    steps = {"frames": encoder.frame_seconds, "dense": answers.hop_seconds, "head": answers.hop_seconds}
    return answers.spans, {
        "model": encoder.name,
        "revision": encoder.revision,
        "fingerprint": encoder.fingerprint,
        "edges": answers.edges,
        "head": head,
        "frame_seconds": steps.get(answers.edges),
        "window_seconds": encoder.window_seconds,
        "precision": encoder.precision,
        "ceiling": answers.ceiling,
    }


__all__ = ["evaluate_moments_command"]
