"""`auricle evaluate`: evaluates the retrieval of a model or an ensemble on a split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .dataset_argument import HELP, load_dataset_argument
from .encoder_options import DIMS, ENGINE, PRECISION, TRUST_REMOTE_CODE, WINDOW, encoder_options
from .failures import one_line_errors, printable, quiet_libraries

if TYPE_CHECKING:
    from datasets import Dataset

    from ..evaluation.similarities import Similarities
    from ..search.index_evaluation import IndexedSplit
    from ..search.sound_index import SoundIndex

_SHOWN = 10


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL]",
            help="Saved model (directory or Hub id), ensemble file (.json), or directory of saved similarities. With "
            "--index: leave it out, or give the new path of the index's model.",
        ),
    ],
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", help=HELP)] = None,
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
    against: Annotated[
        str | None,
        typer.Option(
            help="Second model, ensemble or similarities. The report adds paired differences to it."
        ),
    ] = None,
    index_dir: Annotated[
        str | None,
        typer.Option(
            "--index",
            help="Evaluate search over this index, with its stored vectors, instead of a model.",
        ),
    ] = None,
    rank: Annotated[
        str | None,
        typer.Option(
            "--rank",
            help="With --index: 'window' ranks files by their best window, as search does; 'clip' by the embedding of "
            "the whole file.",
        ),
    ] = None,
    candidates: Annotated[
        str | None,
        typer.Option(
            help="With --index: 'split' ranks the files of the split only; 'index' ranks all files of the index, and "
            "clips outside the split count as wrong results. [default: split]"
        ),
    ] = None,
    skip_missing: Annotated[
        bool,
        typer.Option(
            "--skip-missing",
            help="With --index: skip clips that are not in the index. Otherwise they are an error.",
        ),
    ] = False,
    training: Annotated[
        str | None,
        typer.Option(
            help="Training dataset. The command checks that its train split contains no clip of the evaluated split."
        ),
    ] = None,
    window: Annotated[float | None, WINDOW] = None,
    precision: Annotated[str | None, PRECISION] = None,
    engine: Annotated[str | None, ENGINE] = None,
    dims: Annotated[int | None, DIMS] = None,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    resamples: Annotated[int, typer.Option(min=1, help="Number of bootstrap samples.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the bootstrap.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Audio segments, or captions, per batch.")] = 32,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report to this JSON file.")
    ] = None,
    submission: Annotated[
        Path | None, typer.Option(help="Write a DCASE submission to this CSV file.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Save the similarities in this directory.")] = None,
    moments: Annotated[
        bool,
        typer.Option(
            "--moments",
            help="Evaluate moment retrieval. DATASET is a file of queries with true moments (JSON lines of DCASE "
            "2026 Task 6, or CASTELLA's JSON), MODEL a model or a file of predictions (.jsonl).",
        ),
    ] = False,
    audio: Annotated[
        Path | None, typer.Option(help="With --moments and a model: directory with the recordings.")
    ] = None,
    edges: Annotated[
        Literal["dense", "frames", "windows"] | None,
        typer.Option(
            help="With --moments and a model: how moments are found, see `auricle moments --help`. Default: dense "
            "where the model embeds short windows cheaply, else windows."
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            help="With --moments and a model: directory or Hub id of a moment head that was trained on MODEL."
        ),
    ] = None,
    user_queries: Annotated[
        bool,
        typer.Option(
            "--user-queries",
            help="Evaluate with queries as users type them (tags, questions, commands, 'X without Y', counts, order, "
            "...), made from the generated scenes or, with --relevance-column, from the names of classes.",
        ),
    ] = False,
    queries_per_kind: Annotated[
        int, typer.Option(min=1, help="With --user-queries: maximum number of queries of each kind.")
    ] = 60,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Evaluate retrieval on a split of a dataset, or moment retrieval.

    The report contains all metrics with 95 % bootstrap confidence intervals. By default only the clip of a
    caption is relevant to it (single annotation). With --relevance or --relevance-column several clips can be
    relevant (multiple annotations), and the report also groups queries by the number of relevant clips. With
    --training the exit code is 1 if a clip of the split was used for training.

    --window, --precision and --dims apply to MODEL only, which must be a model. To measure what they cost, give
    the same model with --against.

    With --user-queries the report has figures for each kind of query and names the weak kinds. The clips that fit a
    query follow from what the generated scenes hold, or from the classes.

    A model ranks whole clips. With --index the command evaluates what search over an index gives: auricle
    evaluate --index INDEX DATASET. The report names the ranking, the index and the clips that it lacks.
    """
    with one_line_errors():
        from ..encoders.cpu_threads import set_cpu_threads
        from ..evaluation.protocol import evaluate_similarities
        from ..evaluation.relevance import check_relevance, relevant_clips
        from ..evaluation.reports.report_table import format_report
        from ..evaluation.reports.submission import write_submission
        from ..files.json_files import write_json

        quiet_libraries()
        set_cpu_threads(None)
        loading = encoder_options(
            window=window,
            precision=precision,
            dims=dims,
            trust_remote_code=trust_remote_code,
            engine=engine or "auto",
        )
        if moments:
            from .evaluate_moments import evaluate_moments_command

            with one_line_errors(ValueError, OSError, ImportError):
                if dataset is None:
                    raise ValueError(
                        f"DATASET is missing after {model!r}: the file of queries with true moments."
                    )
                refused = {
                    "--index": index_dir,
                    "--stage": stage,
                    "--relevance": relevance,
                    "--relevance-column": relevance_column,
                    "--against": against,
                    "--training": training,
                    "--save": save,
                }
                given = [name for name, value in refused.items() if value is not None]
                if given:
                    raise ValueError(f"{', '.join(given)}: cannot be combined with --moments.")
                evaluate_moments_command(
                    model,
                    dataset,
                    options=loading,
                    audio=audio,
                    edges=edges,
                    head=head,
                    resamples=resamples,
                    seed=seed,
                    json_file=json_file,
                    submission=submission,
                    progress=progress,
                )
            return
        if user_queries:
            from .evaluate_user_queries import evaluate_user_queries_command

            with one_line_errors(ValueError, OSError, ImportError):
                refused = {
                    "--index": index_dir,
                    "--relevance": relevance,
                    "--against": against,
                    "--training": training,
                    "--save": save,
                    "--submission": submission,
                    "--audio": audio,
                    "--edges": edges,
                    "--head": head,
                }
                given = [name for name, value in refused.items() if value is not None]
                if given:
                    raise ValueError(f"{', '.join(given)}: cannot be combined with --user-queries.")
                if dataset is None:
                    raise ValueError(f"DATASET is missing after {model!r}; give MODEL and DATASET.")
                evaluate_user_queries_command(
                    model,
                    load_dataset_argument(dataset, split=split, stage=stage, progress=progress)[split],
                    options=loading,
                    label_column=relevance_column,
                    per_kind=queries_per_kind,
                    resamples=resamples,
                    seed=seed,
                    batch_size=batch_size,
                    json_file=json_file,
                    progress=progress,
                )
            return
        with one_line_errors(ValueError, OSError, ImportError):
            if any(option is not None for option in (audio, edges, head)):
                raise ValueError("--audio, --edges and --head go with --moments.")
            dataset, moved = _arguments(model, dataset, index_dir)
            if index_dir is None and (rank or candidates or skip_missing):
                raise ValueError("--rank, --candidates and --skip-missing can only be used with --index.")
            if candidates == "index" and (against or save or submission):
                raise ValueError(
                    "--candidates index cannot be combined with --against, --save or --submission."
                )
            chosen = encoder_options(window=window, precision=precision, dims=dims, engine=engine)
            if index_dir is not None and chosen:
                raise ValueError(
                    "--window, --precision, --dims and --engine are the index's own; leave them out with --index."
                )
            if relevance and relevance_column:
                raise ValueError("--relevance and --relevance-column cannot be combined; give one of them.")
            table = load_dataset_argument(dataset, split=split, stage=stage, progress=progress)[split]
            check_relevance(table, file=relevance, column=relevance_column)
            leaks = _find_leaks(training, table, progress)
            options = {"batch_size": batch_size, "progress": progress}
            trusted = encoder_options(trust_remote_code=trust_remote_code)
            if index_dir is None:
                similarities = similarities_of(model, table, **options, chosen=chosen, trusted=trusted)
            else:
                sounds, found = _find_in_index(
                    index_dir, moved, table, skip_missing, progress, trust_remote_code=trust_remote_code
                )
                table = found.table
                similarities = _index_similarities(sounds, found, rank, candidates, progress)
            relevant = relevant_clips(
                table,
                similarities.queries,
                similarities.clip_ids,
                file=relevance,
                column=relevance_column,
            )
            report = evaluate_similarities(
                similarities,
                relevant=relevant,
                against=similarities_of(against, table, **options, trusted=trusted) if against else None,
                resamples=resamples,
                seed=seed,
            )
            if index_dir is not None:
                report |= {"clips": len(found.paths), "index": similarities.origin["index"]}
            report["leaks"] = None if leaks is None else [leak._asdict() for leak in leaks]
            if save:
                similarities.save(save)
            if submission:
                chosen = None
                if relevance:
                    chosen = sorted(relevant or {})
                write_submission(submission, similarities, queries=chosen)
            if json_file:
                write_json(json_file, report)
    for line in format_report(report):
        typer.echo(printable(line))
    if leaks:
        typer.echo(
            f"{len(leaks)} of {report['clips']} clips of split {split!r} were used for training:", err=True
        )
        for leak in leaks[:_SHOWN]:
            typer.echo(
                printable(f"  {leak.test_clip} is {leak.training_clip} (same {leak.shared})"), err=True
            )
        raise typer.Exit(1)
    if leaks is not None:
        typer.echo(f"none of the {report['clips']} clips of split {split!r} was used for training")


def similarities_of(
    model: str,
    table: "Dataset",
    *,
    batch_size: int,
    progress: bool,
    chosen: dict[str, Any] | None = None,
    trusted: dict[str, Any] | None = None,
) -> "Similarities":
    """
    Similarities of a model, an ensemble file or a directory of saved ones.

    Args:
        model: its place.
        table: the split.
        batch_size: clips or captions at a time.
        progress: show progress bars.
        chosen: window, precision and width to load a model with; refused for anything else.
        trusted: whether remote code may run, for a model or an ensemble's members.

    Raises:
        ValueError: if the model cannot be loaded, or model settings are given for something else.
    """
    from functools import partial

    from ..encoders import load_encoder
    from ..evaluation.ensembles.ensemble import Ensemble, member_similarities
    from ..evaluation.similarities import Similarities

    if chosen and (model.lower().endswith(".json") or Similarities.is_one(model)):
        raise ValueError(
            f"{model}: --window, --precision, --dims and --engine apply to a model, and this is not one."
        )
    load = partial(load_encoder, **{"engine": "auto", **(chosen or {}), **(trusted or {})})
    if model.lower().endswith(".json"):
        if not Path(model).is_file():
            raise ValueError(f"{model}: ensemble file not found.")
        return Ensemble.load(model).similarities(
            table, name=Path(model).stem, batch_size=batch_size, progress=progress, load=load
        )
    return member_similarities(model, table, name=model, batch_size=batch_size, progress=progress, load=load)


def _arguments(model: str, dataset: str | None, index_dir: str | None) -> tuple[str, str | None]:
    """The dataset, and the new place of the index's model."""
    if dataset is not None:
        return dataset, model
    if index_dir is None:
        raise ValueError(
            f"DATASET is missing after {model!r}; give MODEL and DATASET, or --index INDEX and DATASET."
        )
    return model, None


def _find_in_index(
    index_dir: str,
    moved: str | None,
    table: "Dataset",
    skip_missing: bool,
    progress: bool,
    *,
    trust_remote_code: bool,
) -> "tuple[SoundIndex, IndexedSplit]":
    from ..search.index_evaluation import find_split
    from .index_options import open_index

    sounds = open_index(index_dir, None, model=moved, trust_remote_code=trust_remote_code)
    found = find_split(sounds, table, progress=progress)
    if found.missing:
        lines = [f"  {clip}: {reason}" for clip, reason in found.missing[:_SHOWN]]
        if len(found.missing) > _SHOWN:
            lines.append(f"  and {len(found.missing) - _SHOWN} more")
        told = f"{len(found.missing)} of {found.clips} clips of the split are not in {index_dir}"
        if not skip_missing:
            clip, reason = found.missing[0]
            raise ValueError(
                f"{told}, for example {clip} ({reason}); update the index with auricle index, or skip them with "
                "--skip-missing."
            )
        typer.echo(printable("\n".join([f"{told} and skipped:", *lines])), err=True)
    return sounds, found


def _index_similarities(
    sounds: "SoundIndex", found: "IndexedSplit", rank: str | None, candidates: str | None, progress: bool
) -> "Similarities":
    from ..search.index_evaluation import index_similarities
    from ..search.query.answers import DEFAULT_RANKING

    return index_similarities(
        sounds, found, rank=rank or DEFAULT_RANKING, candidates=candidates or "split", progress=progress
    )


def _find_leaks(training: str | None, table: "Dataset", progress: bool) -> list | None:
    from ..evaluation.leakage import find_leaks

    if training is None:
        return None
    return find_leaks(load_dataset_argument(training, split="train", progress=progress)["train"], table)
