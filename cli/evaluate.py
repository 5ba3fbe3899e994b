"""`auricle evaluate`: how well a model or an ensemble finds the clips of a split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .dataset_argument import HELP, load_dataset_argument
from .failures import one_line_errors, printable, quiet_libraries

if TYPE_CHECKING:
    from datasets import Dataset

    from ..evaluation.similarities import Similarities

_SHOWN = 10


def evaluate(
    model: Annotated[
        str,
        typer.Argument(help="A saved model, an ensemble file (.json), or a directory of saved similarities."),
    ],
    dataset: Annotated[str, typer.Argument(help=HELP)],
    split: Annotated[str, typer.Option(help="Split to evaluate on.")] = "test",
    stage: Annotated[str | None, typer.Option(help="Stage of the recipe whose data are meant.")] = None,
    relevance: Annotated[
        Path | None,
        typer.Option(help="CSV with multiple annotations: query, audio_filenames (DCASE 2025 Task 6)."),
    ] = None,
    relevance_column: Annotated[
        str | None, typer.Option(help="Any clip with the same value here is a right answer, such as a class.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another model, ensemble or similarities: adds paired differences.")
    ] = None,
    training: Annotated[
        str | None,
        typer.Option(help="Data set that was trained on: its train split is searched for clips of this one."),
    ] = None,
    resamples: Annotated[int, typer.Option(min=1, help="Of the bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Segments, or captions, embedded at a time.")] = 32,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report as JSON.")] = None,
    submission: Annotated[Path | None, typer.Option(help="Write the DCASE submission CSV.")] = None,
    save: Annotated[Path | None, typer.Option(help="Directory to keep the similarities in.")] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Evaluate retrieval on a split, with 95 % bootstrap intervals.

    Single annotation: the clip that a caption was written for is right. Multiple annotations (--relevance or
    --relevance-column): every clip that fits is, also told apart by how many fit. Exit code 1 if --training
    holds clips of the split.
    """
    with one_line_errors():
        from ..encoders.cpu_threads import set_cpu_threads
        from ..evaluation.protocol import evaluate_similarities
        from ..evaluation.reports.report_table import format_report
        from ..evaluation.reports.submission import write_submission
        from ..files.json_files import write_json

        quiet_libraries()
        set_cpu_threads(None)
        with one_line_errors(ValueError, OSError, ImportError):
            if relevance and relevance_column:
                raise ValueError("--relevance and --relevance-column exclude each other; give one.")
            table = load_dataset_argument(dataset, split=split, stage=stage, progress=progress)[split]
            leaks = _find_leaks(training, table, progress)
            options = {"batch_size": batch_size, "progress": progress}
            similarities = similarities_of(model, table, **options)
            report = evaluate_similarities(
                similarities,
                relevant=_relevant(similarities, table, relevance, relevance_column),
                against=similarities_of(against, table, **options) if against else None,
                resamples=resamples,
                seed=seed,
            )
            report["leaks"] = None if leaks is None else [leak._asdict() for leak in leaks]
            if save:
                similarities.save(save)
            if submission:
                chosen = None
                if relevance:
                    chosen = sorted(_relevant(similarities, table, relevance, None))
                write_submission(submission, similarities, queries=chosen)
            if json_file:
                write_json(json_file, report)
    for line in format_report(report):
        typer.echo(printable(line))
    if leaks:
        typer.echo(f"{len(leaks)} of {report['clips']} clips of split {split!r} were trained on:", err=True)
        for leak in leaks[:_SHOWN]:
            typer.echo(
                printable(f"  {leak.test_clip} is {leak.training_clip} (same {leak.shared})"), err=True
            )
        raise typer.Exit(1)
    if leaks is not None:
        typer.echo(f"none of the {report['clips']} clips of split {split!r} was trained on")


def similarities_of(model: str, table: "Dataset", *, batch_size: int, progress: bool) -> "Similarities":
    """Similarities of a model, an ensemble file or a directory of saved ones."""
    from ..evaluation.ensembles.ensemble import Ensemble, member_similarities

    if model.lower().endswith(".json"):
        if not Path(model).is_file():
            raise ValueError(f"{model}: there is no such ensemble file.")
        return Ensemble.load(model).similarities(
            table, name=Path(model).stem, batch_size=batch_size, progress=progress
        )
    return member_similarities(model, table, name=model, batch_size=batch_size, progress=progress)


def _relevant(
    similarities: "Similarities", table: "Dataset", file: Path | None, column: str | None
) -> dict[int, Any] | None:
    from ..data import unique_clips
    from ..evaluation.protocol import relevance_by_value
    from ..evaluation.relevance import match_relevance, read_relevance

    if file:
        return match_relevance(read_relevance(file), similarities.queries, similarities.clip_ids)
    if column is None:
        return None
    if column not in table.column_names:
        raise ValueError(f"--relevance-column {column!r} is not a column; there are {table.column_names}.")
    # Equal sentences of one group are one query, as everywhere.
    groups = list(table[column])
    relevant = relevance_by_value(groups, list(unique_clips(table)[column]))
    first: dict[tuple[str, Any], int] = {}
    for query, pair in enumerate(zip(similarities.queries, groups, strict=True)):
        first.setdefault(pair, query)
    return {query: relevant[query] for query in sorted(first.values())}


def _find_leaks(training: str | None, table: "Dataset", progress: bool) -> list | None:
    from ..evaluation.leakage import find_leaks

    if training is None:
        return None
    return find_leaks(load_dataset_argument(training, split="train", progress=progress)["train"], table)
