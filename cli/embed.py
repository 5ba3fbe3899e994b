"""`auricle embed`: writes a teacher bank, a model's vectors of a data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .dataset_argument import HELP, load_dataset_argument
from .failures import one_line_errors, printable, quiet_libraries

if TYPE_CHECKING:
    from accelerate import PartialState

    from ..training.teachers.teacher_bank import TeacherBank

_SHOWN = 20


def embed(
    model: Annotated[str, typer.Argument(help="The teacher, a saved model: a directory or a Hub id.")],
    dataset: Annotated[str, typer.Argument(help=f"{HELP} With OUT.parquet: any folder with sounds.")],
    parquet: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT.parquet]", help="Write the vectors of a folder's sounds here, no bank."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory of the bank; new, empty, or a bank to replace.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Embed this split only; all of them if not given.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Stage of the recipe whose data are meant.")] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Segments, or captions, that a process embeds at a time.")
    ] = 16,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Write a teacher bank: a model's vectors of every clip and caption of a data set; or vectors of a folder.

    MODEL DATASET --out DIR writes a bank. MODEL FOLDER OUT.parquet embeds all sounds below a folder, captions or
    not, into one table of paths and unit vectors.

    Training with distillation reads banks (distillation.teachers of a recipe) and never loads the teacher itself.
    Rows are kept by data set, split and row id; a bank fits any table of the same clips and captions, wherever the
    files lie. Clips that cannot be read are left out and listed at the end.

    With several processes each embeds its share: accelerate launch -m auricle embed MODEL DATASET --out DIR
    """
    with one_line_errors(ValueError):
        if (parquet is None) == (out is None):
            raise ValueError("name a bank's directory with --out, or a .parquet file, one of the two.")
    # Ctrl-C while the libraries are still being imported ends in one line too.
    with one_line_errors():
        from ..encoders import load_encoder
        from ..encoders.cpu_threads import set_cpu_threads
        from ..training.teachers.process_shares import first_on_main, join_processes
        from ..training.teachers.teacher_bank import write_teacher_bank

        quiet_libraries()
        process = join_processes()
        set_cpu_threads(None)
        if parquet is not None:
            with one_line_errors(OSError, ValueError, ImportError):
                _embed_folder(model, Path(dataset), parquet, process, batch_size, progress)
            process.destroy_process_group()
            return
        with one_line_errors(OSError, ValueError, ImportError):
            tables = first_on_main(
                lambda: load_dataset_argument(
                    dataset, split=split, stage=stage, progress=progress and process.is_main_process
                )
            )
            teacher = first_on_main(lambda: load_encoder(model, device=process.device))
            bank = write_teacher_bank(
                out,
                teacher,
                tables,
                model_name=model,
                batch_size=batch_size,
                progress=progress,
            )
        if process.is_main_process:
            _report(bank)
        process.destroy_process_group()


def _embed_folder(
    model: str, folder: Path, out: Path, process: "PartialState", batch_size: int, progress: bool
) -> None:
    import numpy as np
    from accelerate.utils import gather_object

    from ..encoders import load_encoder
    from ..evaluation.folder_embedding import write_vectors
    from ..processing import supported_audio_extensions
    from ..training.teachers.process_shares import first_on_main
    from .ask import find_sounds

    if out.suffix != ".parquet":
        raise ValueError(f"{out}: needs the ending .parquet.")
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder.")
    paths = find_sounds(folder, supported_audio_extensions())
    if not paths:
        raise ValueError(f"{folder}: holds no audio file that can be read.")
    encoder = first_on_main(lambda: load_encoder(model, device=process.device))
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
    gathered = gather_object([(rows, [reason for _, reason in failures])])
    if not process.is_main_process:
        return
    rows = [row for part, _ in gathered for row in part]
    reasons = [reason for _, part in gathered for reason in part]
    if not rows:
        raise ValueError(f"{folder}: none of its {len(paths)} sounds can be read, such as: {reasons[0]}")
    files, stacked = [name for name, _ in rows], np.stack([vector for _, vector in rows])
    write_vectors(out, files, stacked, fingerprint=encoder.fingerprint, model=model)
    typer.echo(printable(f"wrote {len(rows)} vectors of {stacked.shape[1]} dimensions to {out}"))
    if reasons:
        typer.echo(f"{len(reasons)} of {len(paths)} files could not be read:", err=True)
        for reason in reasons[:_SHOWN]:
            typer.echo(printable(f"  {reason}"), err=True)


def _report(bank: "TeacherBank") -> None:
    for part in bank.splits:
        typer.echo(
            printable(f"{part['source']} {part['split']}: {part['rows']} rows of {part['clips']} clips")
        )
    typer.echo(f"dimensions {bank.width}")
    typer.echo(f"fingerprint {bank.fingerprint}")
    typer.echo(printable(f"wrote {bank.name}"))
    if bank.unreadable:
        typer.echo(f"left out with their rows, since they cannot be read: {len(bank.unreadable)}", err=True)
        for clip in bank.unreadable[:_SHOWN]:
            typer.echo(printable(f"  {clip['clip_id']}: {clip['reason']}"), err=True)
        if len(bank.unreadable) > _SHOWN:
            typer.echo(f"  and {len(bank.unreadable) - _SHOWN} more, listed in bank.json", err=True)
