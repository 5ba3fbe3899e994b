"""`auricle embed`: writes the embeddings of a dataset (a teacher bank) or of a folder."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .dataset_argument import HELP, load_dataset_argument
from .failures import one_line_errors, printable, quiet_libraries

if TYPE_CHECKING:
    from accelerate import PartialState
    from datasets import Dataset

    from ..files.unread_files import Unread
    from ..training.teachers.teacher_bank import TeacherBank

_SHOWN = 20


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
            help="With --from: what the vectors belong to. A CSV file with the columns row_id, clip_id, source, split, "
            "caption and file_name, or a dataset, whose row and clip ids then are the ids of the vectors."
        ),
    ] = None,
    model_name: Annotated[
        str | None,
        typer.Option(help="With --from: name of the model, for the record. Default: the file's name."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Embed this split only. Default: all splits.")] = None,
    stage: Annotated[str | None, typer.Option(help="Stage of the recipe that defines the dataset.")] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Audio segments, or captions, per batch and process.")
    ] = 16,
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

    To use several processes: accelerate launch -m auricle embed MODEL DATASET --out DIR
    """
    if arrays is not None or rows is not None or model_name is not None:
        extra = [text for text in (model, dataset, parquet) if text is not None]
        data = {"split": split, "stage": stage}
        _import_vectors(arrays, rows, out, extra, data, model_name=model_name, progress=progress)
        return
    with one_line_errors(ValueError):
        if model is None or dataset is None:
            raise ValueError(
                "give MODEL and DATASET, or --from ARRAYS.npz --rows ROWS.csv for vectors of another program."
            )
        if (parquet is None) == (out is None):
            raise ValueError(
                "give either --out DIR for a teacher bank or OUT.parquet for the embeddings of a folder, not both."
            )
    # Ctrl-C while the libraries are still being imported ends in one line too.
    with one_line_errors():
        from ..encoders import load_encoder
        from ..encoders.cpu_threads import set_cpu_threads
        from ..files.cache_root import cache_root
        from ..files.content_digests import ContentDigests
        from ..training.models.model_files import model_files_fingerprint
        from ..training.teachers.process_shares import first_on_main, join_processes
        from ..training.teachers.teacher_bank import write_teacher_bank

        quiet_libraries()
        process = join_processes()
        set_cpu_threads(None)
        if parquet is not None:
            with one_line_errors(OSError, ValueError, ImportError):
                _embed_folder(model, Path(dataset), parquet, process, batch_size, json_file, progress)
            process.destroy_process_group()
            return
        with one_line_errors(OSError, ValueError, ImportError):
            tables = first_on_main(
                lambda: load_dataset_argument(
                    dataset, split=split, stage=stage, progress=progress and process.is_main_process
                )
            )
            teacher = first_on_main(lambda: load_encoder(model, device=process.device))
            digests = ContentDigests(cache_root())
            bank = write_teacher_bank(
                out,
                teacher,
                tables,
                model_name=model,
                batch_size=batch_size,
                digests=digests,
                model_files=first_on_main(lambda: model_files_fingerprint(model, digests)),
                progress=progress,
            )
        if process.is_main_process:
            with one_line_errors(OSError):
                _report(bank, tables, Path(dataset), json_file)
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
            typer.echo(f"{count} vectors of {name} belong to no row and are left out", err=True)


def _embed_folder(
    model: str,
    folder: Path,
    out: Path,
    process: "PartialState",
    batch_size: int,
    json_file: Path | None,
    progress: bool,
) -> None:
    import numpy as np
    from accelerate.utils import gather_object

    from ..encoders import load_encoder
    from ..evaluation.folder_embedding import write_vectors
    from ..files.unread_files import unread_below, unread_lines
    from ..processing import supported_audio_extensions
    from ..training.teachers.process_shares import first_on_main
    from .ask import find_sounds

    if out.suffix != ".parquet":
        raise ValueError(f"{out}: the file extension must be .parquet.")
    if not folder.is_dir():
        raise ValueError(f"{folder}: folder not found.")
    paths = find_sounds(folder, supported_audio_extensions())
    unread = list(unread_below(folder, supported_audio_extensions()))
    if not paths:
        told = "".join(f"; {line}" for line in unread_lines(unread))
        raise ValueError(f"{folder}: no audio files found{told}.")
    encoder = first_on_main(lambda: load_encoder(model, device=process.device))
    # A table holds text: such a name would end the run after everything was embedded.
    nameless = [path for path in paths if not _is_text(str(path))]
    paths = [path for path in paths if _is_text(str(path))]
    if not paths:
        raise ValueError(f"{folder}: no audio file whose name is valid UTF-8; rename the files.")
    own = paths[process.process_index :: process.num_processes]
    vectors, failures = encoder.embed_clips(
        [str(path) for path in own],
        batch_size=batch_size,
        progress=progress and process.is_main_process,
        skip_unreadable=True,
    )
    failed = {index for index, _ in failures}
    rows = [
        (own[index].relative_to(folder).as_posix(), vectors[index])
        for index in range(len(own))
        if index not in failed
    ]
    gathered = gather_object([(rows, [(str(own[index]), reason) for index, reason in failures])])
    if not process.is_main_process:
        return
    rows = [row for part, _ in gathered for row in part]
    skipped = sorted(fault for _, part in gathered for fault in part)
    for path in nameless:
        shown = str(path).encode("utf-8", "replace").decode()
        skipped.append((shown, f"{shown}: its name is not valid UTF-8; rename it"))
    if not rows:
        raise ValueError(
            f"{folder}: all {len(paths)} audio files are unreadable; the first reason: {skipped[0][1]}"
        )
    files, stacked = [name for name, _ in rows], np.stack([vector for _, vector in rows])
    write_vectors(out, files, stacked, fingerprint=encoder.fingerprint, model=model)
    typer.echo(printable(f"wrote {len(rows)} embeddings with {stacked.shape[1]} dimensions to {out}"))
    if skipped:
        typer.echo(f"{len(skipped)} of {len(paths)} files are unreadable:", err=True)
        for _, reason in skipped[:_SHOWN]:
            typer.echo(printable(f"  {reason}"), err=True)
        if len(skipped) > _SHOWN:
            typer.echo(f"  and {len(skipped) - _SHOWN} more; --json lists them", err=True)
    _count(skipped, unread, json_file)


def _count(skipped: list[tuple[str, str]], unread: "list[Unread]", json_file: Path | None) -> None:
    """Prints counts by reason and extension, and writes all files to JSON where that is asked for."""
    from ..files.json_files import write_json
    from ..files.unread_files import fault_lines, unread_lines

    reasons = [(path, reason.removeprefix(f"{path}: ")) for path, reason in skipped]
    for line in (*fault_lines(reasons), *unread_lines(unread)):
        typer.echo(printable(line), err=True)
    if json_file is not None:
        told = {
            "skipped": [{"path": path, "reason": reason} for path, reason in reasons],
            "unread": [{**asdict(file), "ending": file.ending} for file in unread],
        }
        write_json(json_file, told)
        typer.echo(printable(f"wrote {json_file}"))


def _is_text(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _report(bank: "TeacherBank", tables: "dict[str, Dataset]", dataset: Path, json_file: Path | None) -> None:
    from ..files.unread_files import unread_below
    from ..processing import supported_audio_extensions

    _show_bank(bank)
    wanted = {clip["clip_id"]: clip["reason"] for clip in bank.unreadable}
    skipped = {}
    if wanted:
        for table in tables.values():
            for clip_id, audio in zip(table["clip_id"], table["audio"], strict=True):
                if clip_id in wanted:
                    skipped[audio["path"]] = wanted[clip_id]
    unread = unread_below(dataset, supported_audio_extensions()) if dataset.is_dir() else ()
    _count(list(skipped.items()), list(unread), json_file)


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
        for clip in bank.unreadable[:_SHOWN]:
            typer.echo(printable(f"  {clip['clip_id']}: {clip['reason']}"), err=True)
        if len(bank.unreadable) > _SHOWN:
            typer.echo(f"  and {len(bank.unreadable) - _SHOWN} more, listed in bank.json", err=True)
