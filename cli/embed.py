"""`auricle embed`: writes the embeddings of a dataset (a teacher bank) or of a folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .dataset_argument import HELP, load_dataset_argument
from .encoder_options import DIMS, ENGINE, PRECISION, TRUST_REMOTE_CODE, WINDOW, encoder_options
from .failures import one_line, one_line_errors, printable, quiet_libraries
from .reading_output import SHOWN, show_reading, why_no_sounds

if TYPE_CHECKING:
    from accelerate import PartialState
    from datasets import Dataset

    from ..files.sound_walking import SoundWalk
    from ..training.teachers.teacher_bank import TeacherBank


def embed(
    model: Annotated[
        str | None, typer.Argument(help="Saved model: a directory or a Hub id. Not with --from.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Argument(help=f"{HELP} With OUT.parquet: any folder of recordings. Not with --from."),
    ] = None,
    parquet: Annotated[
        Path | None,
        typer.Argument(metavar="OUT.parquet", help="Write the embeddings of a folder to this file."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write a teacher bank to this directory: new, empty, or with an earlier bank, which is replaced."
        ),
    ] = None,
    arrays: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="ARRAYS.npz",
            help="Make the teacher bank of vectors of another program: audio, audio_ids, captions, caption_ids.",
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(
            help="With --from: the rows of the vectors. A CSV file with the columns row_id, clip_id, source, split, "
            "caption and file_name, or a dataset, whose row and clip ids then are the ids of the vectors."
        ),
    ] = None,
    model_name: Annotated[
        str | None,
        typer.Option(help="With --from: name of the model, for the record. Default: the file's name."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Embed this split only. Default: all splits.")] = None,
    stage: Annotated[str | None, typer.Option(help="Stage of the recipe that defines the dataset.")] = None,
    window: Annotated[float | None, WINDOW] = None,
    precision: Annotated[str | None, PRECISION] = None,
    engine: Annotated[str | None, ENGINE] = None,
    dims: Annotated[int | None, DIMS] = None,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Audio segments, or captions, per batch and process.")
    ] = 16,
    num_workers: Annotated[
        int, typer.Option(min=0, help="Threads of each process that decode; 0 decodes between the batches.")
    ] = 2,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write the full list of files that were not read to this JSON file."),
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Embed a dataset or a folder with a model.

    MODEL DATASET --out DIR writes a teacher bank: the embedding of every clip and every caption of the
    dataset. MODEL FOLDER OUT.parquet writes a table of paths and unit-length embeddings for all recordings
    below the folder; it needs no captions.

    --from ARRAYS.npz --rows ROWS.csv --out DIR writes a teacher bank of vectors that another program made.
    docs/teachers.md describes both files.

    A recipe uses teacher banks for distillation (distillation.teachers) and never loads the teacher itself. A
    bank identifies its rows by dataset, split and row id, so it also fits copies of the dataset in other
    places. Unreadable clips are skipped and listed at the end, with counts by reason and extension, also of
    files that have no extension of an audio format.

    The bank and the table record window, precision, engine, number of dimensions and the model's commit.

    To use several processes: accelerate launch -m auricle embed MODEL DATASET --out DIR
    """
    chosen = encoder_options(
        window=window, precision=precision, dims=dims, trust_remote_code=trust_remote_code, engine=engine
    )
    if arrays is not None or rows is not None or model_name is not None:
        extra = [text for text in (model, dataset, parquet) if text is not None]
        data = {"split": split, "stage": stage}
        with one_line_errors(ValueError):
            if chosen:
                raise ValueError(
                    "--from imports vectors without a model; --window, --precision, --dims and --engine need MODEL."
                )
        _import_vectors(arrays, rows, out, extra, data, model_name=model_name, progress=progress)
        return
    chosen.setdefault("engine", "auto")
    with one_line_errors(ValueError):
        if model is None or dataset is None:
            raise ValueError(
                "give MODEL and DATASET, or --from ARRAYS.npz --rows ROWS.csv for vectors of another program."
            )
        if (parquet is None) == (out is None):
            raise ValueError(
                "give either --out DIR for a teacher bank or OUT.parquet for the embeddings of a folder, not both."
            )
        if parquet is not None and (split is not None or stage is not None):
            raise ValueError(
                "OUT.parquet contains every recording of the folder; --split and --stage need --out DIR."
            )
    # Ctrl-C while the libraries are still being imported ends in one line too.
    with one_line_errors():
        from accelerate.utils import gather_object

        from ..encoders import load_encoder
        from ..encoders.cpu_threads import set_cpu_threads
        from ..files.cache_root import cache_root
        from ..files.content_digests import ContentDigests
        from ..processing import FileRemarks
        from ..training.models.model_files import model_files_fingerprint
        from ..training.teachers.cross_fitting import read_held_out_fold
        from ..training.teachers.process_shares import first_on_main, join_processes
        from ..training.teachers.teacher_bank import write_teacher_bank

        quiet_libraries()
        process = join_processes()
        set_cpu_threads(None)
        if parquet is not None:
            with one_line_errors(OSError, ValueError, ImportError):
                _embed_folder(
                    model,
                    Path(dataset),
                    parquet,
                    chosen,
                    process,
                    {"batch_size": batch_size, "num_workers": num_workers},
                    json_file,
                    progress,
                )
            process.destroy_process_group()
            return
        with one_line_errors(OSError, ValueError, ImportError):
            tables = first_on_main(
                lambda: load_dataset_argument(
                    dataset, split=split, stage=stage, progress=progress and process.is_main_process
                )
            )
            teacher = first_on_main(lambda: load_encoder(model, device=process.device, **chosen))
            digests = ContentDigests(cache_root())
            with FileRemarks() as remarks:
                bank = write_teacher_bank(
                    out,
                    teacher,
                    tables,
                    model_name=model,
                    batch_size=batch_size,
                    num_workers=num_workers,
                    digests=digests,
                    model_files=first_on_main(lambda: model_files_fingerprint(model, digests)),
                    held_out_fold=read_held_out_fold(model),
                    progress=progress,
                )
            noted = gather_object(remarks.found)
        if process.is_main_process:
            with one_line_errors(OSError):
                _report(bank, tables, Path(dataset), noted, json_file)
        process.destroy_process_group()


def _import_vectors(
    arrays: Path | None,
    rows: str | None,
    out: Path | None,
    extra: list,
    data: dict[str, str | None],
    *,
    model_name: str | None,
    progress: bool,
) -> None:
    with one_line_errors(OSError, ValueError, ImportError):
        if arrays is None or rows is None or out is None:
            raise ValueError(
                "vectors of another program need --from ARRAYS.npz, --rows ROWS.csv and --out DIR."
            )
        if extra:
            raise ValueError(f"--from takes neither MODEL nor DATASET; got {str(extra[0])!r}.")
        from ..training.teachers.imported_vectors import import_bank, read_rows, rows_of_tables

        if Path(rows).suffix.lower() == ".csv":
            for name, value in data.items():
                if value is not None:
                    raise ValueError(f"--{name} needs a dataset as --rows; {rows} is a CSV file.")
            wanted = read_rows(rows)
        else:
            quiet_libraries()
            wanted = rows_of_tables(load_dataset_argument(rows, **data, progress=progress))
        bank, unused = import_bank(out, arrays, wanted, model_name=model_name or arrays.name)
    _show_bank(bank)
    for name, count in unused.items():
        if count:
            typer.echo(f"{count} vectors of {name} belong to no row and are skipped", err=True)


def _embed_folder(
    model: str,
    folder: Path,
    out: Path,
    chosen: dict[str, Any],
    process: "PartialState",
    options: dict[str, int],
    json_file: Path | None,
    progress: bool,
) -> None:
    import numpy as np
    from accelerate.utils import gather_object

    from ..encoders import load_encoder
    from ..evaluation.folder_embedding import write_vectors
    from ..processing import FileRemarks
    from ..training.teachers.process_shares import first_on_main
    from .ask import find_sounds

    if out.suffix != ".parquet":
        raise ValueError(f"{out}: the file extension must be .parquet.")
    if not folder.is_dir():
        raise ValueError(f"{folder}: folder not found.")
    walk = find_sounds(folder)
    paths = sorted(map(Path, walk.sounds))
    if not paths:
        raise ValueError(f"{folder}: no audio files found{why_no_sounds(walk)}.")
    encoder = first_on_main(lambda: load_encoder(model, device=process.device, **chosen))
    # Parquet stores paths as text: another name would fail after everything was embedded.
    nameless = [path for path in paths if not _is_text(str(path))]
    paths = [path for path in paths if _is_text(str(path))]
    if not paths:
        raise ValueError(f"{folder}: no audio file whose name is valid UTF-8; rename the files.")
    own = paths[process.process_index :: process.num_processes]
    with FileRemarks() as remarks:
        vectors, failures = encoder.embed_clips(
            [str(path) for path in own],
            **options,
            progress=progress and process.is_main_process,
            skip_unreadable=True,
        )
    failed = {index for index, _ in failures}
    rows = [
        (own[index].relative_to(folder).as_posix(), vectors[index])
        for index in range(len(own))
        if index not in failed
    ]
    gathered = gather_object(
        [(rows, [(str(own[index]), reason) for index, reason in failures], remarks.found)]
    )
    if not process.is_main_process:
        return
    rows = [row for part, *_ in gathered for row in part]
    skipped = sorted(fault for _, part, _ in gathered for fault in part)
    noted = [remark for *_, part in gathered for remark in part]
    for path in nameless:
        shown = str(path).encode("utf-8", "replace").decode()
        skipped.append((shown, f"{shown}: its name is not valid UTF-8; rename it"))
    if not rows:
        raise ValueError(
            f"{folder}: all {len(paths)} audio files are unreadable; the first reason: {skipped[0][1]}"
        )
    files, stacked = [name for name, _ in rows], np.stack([vector for _, vector in rows])
    write_vectors(
        out, files, stacked, fingerprint=encoder.fingerprint, model=model, encoder=encoder.described()
    )
    typer.echo(printable(f"wrote {len(rows)} embeddings with {stacked.shape[1]} dimensions to {out}"))
    if skipped:
        typer.echo(f"{len(skipped)} of {len(paths)} files are unreadable:", err=True)
        for _, reason in skipped[:SHOWN]:
            typer.echo(printable(f"  {reason}"), err=True)
        if len(skipped) > SHOWN:
            typer.echo(f"  and {len(skipped) - SHOWN} more; --json lists them", err=True)
    _report_reading(skipped, walk, noted, json_file)


def _report_reading(
    skipped: list[tuple[str, str]],
    walk: "SoundWalk",
    remarks: list[tuple[str, str]],
    json_file: Path | None,
) -> None:
    """Prints links and others that were passed over, remarks and counts; writes all of them to JSON on request."""
    from ..files.reading_report import ReadingReport, listed_lines

    for line in listed_lines("skipped", walk.faults, SHOWN):
        typer.echo(one_line(line), err=True)
    reasons = [(path, reason.removeprefix(f"{path}: ")) for path, reason in skipped]
    show_reading(ReadingReport(reasons + walk.faults, walk.unread, sorted(set(remarks))), json_file)


def _is_text(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _report(
    bank: "TeacherBank",
    tables: "dict[str, Dataset]",
    dataset: Path,
    remarks: list[tuple[str, str]],
    json_file: Path | None,
) -> None:
    from .ask import find_sounds

    _show_bank(bank)
    wanted = {clip["clip_id"]: clip["reason"] for clip in bank.unreadable}
    skipped = {}
    if wanted:
        for table in tables.values():
            for clip_id, audio in zip(table["clip_id"], table["audio"], strict=True):
                if clip_id in wanted:
                    skipped[audio["path"]] = wanted[clip_id]
    # Where there is no such folder, nothing is found.
    _report_reading(list(skipped.items()), find_sounds(dataset), remarks, json_file)


def _show_bank(bank: "TeacherBank") -> None:
    for part in bank.splits:
        typer.echo(
            printable(f"{part['source']} {part['split']}: {part['rows']} rows of {part['clips']} clips")
        )
    typer.echo(f"dimensions {bank.width}")
    typer.echo(f"fingerprint {bank.fingerprint}")
    typer.echo(printable(f"wrote {bank.name}"))
    if bank.unreadable:
        typer.echo(f"{len(bank.unreadable)} unreadable clips skipped, with their captions:", err=True)
        for clip in bank.unreadable[:SHOWN]:
            typer.echo(printable(f"  {clip['clip_id']}: {clip['reason']}"), err=True)
        if len(bank.unreadable) > SHOWN:
            typer.echo(f"  and {len(bank.unreadable) - SHOWN} more, listed in bank.json", err=True)
