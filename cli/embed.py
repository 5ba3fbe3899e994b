"""`auricle embed`: writes a teacher bank, a model's vectors of a data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .dataset_argument import HELP, load_dataset_argument
from .failures import one_line_errors, printable, quiet_libraries

if TYPE_CHECKING:
    from ..training.teacher_bank import TeacherBank

_SHOWN = 20


def embed(
    model: Annotated[str, typer.Argument(help="The teacher, a saved model: a directory or a Hub id.")],
    dataset: Annotated[str, typer.Argument(help=HELP)],
    out: Annotated[Path, typer.Option(help="Directory of the bank; new, empty, or a bank to replace.")],
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
    Write a teacher bank: a model's vectors of every clip and caption of a data set.

    Training with distillation reads banks (distillation.teachers of a recipe) and never loads the teacher itself.
    Rows are kept by data set, split and row id; a bank fits any table of the same clips and captions, wherever the
    files lie. Clips that cannot be read are left out and listed at the end.

    With several processes each embeds its share: accelerate launch -m auricle embed MODEL DATASET --out DIR
    """
    # Ctrl-C while the libraries are still being imported ends in one line too.
    with one_line_errors():
        from ..training.cpu_threads import set_cpu_threads
        from ..training.process_shares import first_on_main, join_processes
        from ..training.teacher_bank import write_teacher_bank

        quiet_libraries()
        process = join_processes()
        set_cpu_threads(None)
        with one_line_errors(OSError, ValueError, ImportError):
            tables = first_on_main(
                lambda: load_dataset_argument(
                    dataset, split=split, stage=stage, progress=progress and process.is_main_process
                )
            )
            teacher, processor = first_on_main(lambda: _load(model))
            bank = write_teacher_bank(
                out,
                teacher.to(process.device),
                processor,
                tables,
                model_name=model,
                batch_size=batch_size,
                progress=progress,
            )
        if process.is_main_process:
            _report(bank)
        process.destroy_process_group()


def _load(name: str):
    from ..evaluation.model_loading import load_pretrained

    return load_pretrained(name)


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
