"""`auricle compare`: one table of any number of models and ensembles on a split."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from .dataset_argument import HELP, load_dataset_argument
from .encoder_options import TRUST_REMOTE_CODE, encoder_options
from .failures import one_line_errors, printable, quiet_libraries


def compare(
    model: Annotated[
        list[str],
        typer.Argument(
            help="Saved models (directories or Hub ids), ensemble files (.json), or directories of saved similarities. "
            "NAME=MODEL gives a row its name."
        ),
    ],
    dataset: Annotated[str, typer.Option("--on", help=HELP)],
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "test",
    stage: Annotated[str | None, typer.Option(help="Stage of the recipe that defines the dataset.")] = None,
    relevance: Annotated[
        Path | None,
        typer.Option(help="CSV file with multiple annotations: query, audio_filenames (DCASE 2025 Task 6)."),
    ] = None,
    relevance_column: Annotated[
        str | None,
        typer.Option(help="Metadata column, such as a class: all clips with the same value are relevant."),
    ] = None,
    reference: Annotated[
        str,
        typer.Option(
            help="System that differences are taken from: 'first', 'best' (by mAP@16 text to audio), or a row's name."
        ),
    ] = "first",
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    resamples: Annotated[int, typer.Option(min=1, help="Number of bootstrap samples.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the bootstrap.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Audio segments, or captions, per batch.")] = 32,
    speed_clips: Annotated[
        int, typer.Option(min=0, help="Number of clips that the speed is measured on; 0: not measured.")
    ] = 16,
    cache_dir: Annotated[
        Path, typer.Option(help="Directory that keeps the results of finished models.")
    ] = Path("runs/compare"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute everything again.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the comparison to this JSON file.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables to this Markdown file.")] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Compare any number of models and ensembles on a split.

    The table contains all metrics in both directions, parameters, licence, window length, clips per second and
    milliseconds per query. Tables with 95 % bootstrap confidence intervals and with the paired differences from
    one system follow.

    The command keeps the similarities and figures of every finished model in --cache-dir. If it is stopped,
    call it again: it takes finished models from there, and computes a model again if its weights or the
    dataset changed. Speed is always measured again.

    A model that fails does not stop the others: its row gives the reason, and the exit code is 1.
    """
    with one_line_errors():
        from ..data import unique_clips
        from ..encoders import load_encoder
        from ..encoders.cpu_threads import set_cpu_threads
        from ..evaluation.comparison.comparing import ComparisonOptions, compare_systems, prepare_split
        from ..evaluation.comparison.systems import check_reference, read_systems
        from ..evaluation.relevance import check_relevance, relevant_clips
        from ..evaluation.reports.comparison_table import comparison_markdown, format_comparison
        from ..files.json_files import write_json

        quiet_libraries()
        set_cpu_threads(None)
        with one_line_errors(ValueError, OSError, ImportError):
            systems = read_systems(model)
            check_reference(reference, systems)
            for path in (json_file, markdown):
                if path is not None and path.is_dir():
                    raise ValueError(f"{path}: is a directory; name a file.")
            table = load_dataset_argument(dataset, split=split, stage=stage, progress=progress)[split]
            check_relevance(table, file=relevance, column=relevance_column)
            compared, kept = prepare_split(table, cache_dir, fresh=fresh, progress=progress)
            relevant = relevant_clips(
                compared.table,
                compared.queries,
                list(unique_clips(compared.table)["clip_id"]),
                file=relevance,
                column=relevance_column,
            )
            report = compare_systems(
                systems,
                compared.with_relevance(relevant),
                kept,
                ComparisonOptions(
                    reference=reference,
                    resamples=resamples,
                    seed=seed,
                    batch_size=batch_size,
                    speed_clips=speed_clips,
                    progress=progress,
                ),
                load=partial(load_encoder, **encoder_options(trust_remote_code=trust_remote_code)),
                announce=lambda line: typer.echo(printable(line), err=True),
            )
        for line in format_comparison(report):
            typer.echo(printable(line))
        with one_line_errors(OSError):
            if json_file:
                write_json(json_file, report)
            if markdown:
                markdown.parent.mkdir(parents=True, exist_ok=True)
                markdown.write_text(comparison_markdown(report), encoding="utf-8")
    if any(system["error"] is not None for system in report["systems"]):
        raise typer.Exit(1)
