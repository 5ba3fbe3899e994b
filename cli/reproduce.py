"""`auricle reproduce`: a published system as one chain, from published weights to ensembles and cards."""

import os
from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors, one_line_full_disk, printable, quiet_libraries, reader_may_leave
from .train import expected_errors

# Exit code of --plan if the chain cannot begin yet.
SOMETHING_IS_MISSING = 1


def reproduce(
    chain: Annotated[
        str,
        typer.Argument(help="Recipe of recipes: dcase2025, or a YAML file such as recipes/dcase2025.yaml."),
    ],
    data_dir: Annotated[
        Path, typer.Argument(help="Directory of data, published weights and augmentation files.")
    ],
    out: Annotated[
        Path, typer.Argument(help="Output directory: runs, banks, ensembles, evaluation, results.")
    ],
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="List missing inputs, with sizes, times and commands, then all steps, and exit. Exit code 1 if "
            "something is missing, else 0.",
        ),
    ] = False,
    towers: Annotated[
        list[str] | None,
        typer.Option(
            "--towers",
            help="Tower: passt, eat or beats. Several are separated by commas, or the option is repeated. Models of "
            "other towers are trained only as teachers. Default: all towers.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="Run (sid3_passt), ensemble (E1) or step ('bank sid1_passt') to make, with all that it is made from. "
            "Several are separated by commas, or the option is repeated. Default: everything.",
        ),
    ] = None,
    whole_development: Annotated[
        bool,
        typer.Option(
            "--whole-development",
            help="Also train all runs on the whole development set, as the report did for the hidden evaluation set.",
        ),
    ] = False,
    assume: Annotated[
        list[str] | None,
        typer.Option(
            "--assume",
            help="Assumption of --plan's time estimates, NAME=VALUE: tflops (sustained by the GPU; 100), megabits (a "
            "second, of the connection; 100) or requests (a minute, of the language model; 500). May be repeated.",
        ),
    ] = None,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain", help="Delete outdated trainings and train them again. Otherwise they are an error."
        ),
    ] = False,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Reproduce a published system, from published weights to ensembles.

    The command trains all systems with all towers, embeds the training rows with each teacher once, evaluates
    every model with single and multiple annotations, searches the weights of the ensembles on the validation
    split, and writes submission files, model cards and a table next to the report's metrics (OUT/results.md).

    Run it with --plan first: it needs no GPU and downloads nothing.

    You can stop the command at any moment. If you run it again, it skips every step whose inputs have not changed,
    and resumes an unfinished training from its last checkpoint. If the inputs of a training have changed, the
    command stops and names them; --retrain trains them again. Other outdated steps are repeated. docs/reproduce.md
    describes data, steps and files.
    """
    with one_line_errors():
        from datasets import disable_progress_bars

        from ..encoders.cpu_threads import set_cpu_threads
        from ..hub.model_card import write_model_card
        from ..training.reproduction.chain_recipe import read_chain
        from ..training.reproduction.estimates import Assumptions
        from ..training.reproduction.plan import plan_chain
        from ..training.reproduction.running import format_plan, run_chain
        from ..training.reproduction.shopping_list import (
            format_shopping_list,
            missing_items,
            shopping_list,
        )
        from ..training.reproduction.step_states import Workplace

        quiet_libraries()
        if plan or not progress:
            disable_progress_bars()
        errors = (*expected_errors(), ValueError, OSError, ImportError)
        with one_line_full_disk(out), one_line_errors(*errors):
            if int(os.environ.get("WORLD_SIZE", "1")) > 1:
                raise ValueError("the chain runs in one process; start it without accelerate launch.")
            for name, folder in (("DATA_DIR", data_dir), ("OUT", out)):
                if folder.exists() and not folder.is_dir():
                    raise ValueError(f"{name} {folder}: is a file, but must be a directory.")
            read = read_chain(_chain_file(chain))
            steps = plan_chain(
                read,
                towers=_names(towers),
                only=_names(only),
                whole_development=whole_development,
            )
            # Trainings record the places of models: relative ones would depend on the working directory.
            place = Workplace(read, data_dir.resolve(), out.resolve(), progress and not plan)
            assumptions = Assumptions.read(assume or [])
            if plan:
                items = shopping_list(read, steps, place.data_dir, assumptions)
                lines = [read.section.description, "", *format_shopping_list(items)]
                lines += format_plan(steps, place, assumptions)
                with reader_may_leave():
                    typer.echo(printable("\n".join(lines)))
                raise typer.Exit(SOMETHING_IS_MISSING if missing_items(items) else 0)
            set_cpu_threads(None)
            lines = run_chain(
                steps,
                place,
                write_card=write_model_card,
                say=lambda line: typer.echo(printable(line), err=True),
                retrain=retrain,
            )
    for line in lines:
        typer.echo(printable(line))
    typer.echo(f"wrote {out / 'results.md'}")


def _chain_file(name: str) -> Path:
    path = Path(name)
    if path.suffix.lower() in (".yaml", ".yml"):
        return path
    shipped = Path(__file__).resolve().parent.parent / "recipes" / f"{name}.yaml"
    if "/" in name or not shipped.is_file():
        raise ValueError(f"{name!r}: expected dcase2025, or the YAML file of a recipe of recipes.")
    return shipped


def _names(values: list[str] | None) -> list[str]:
    return [name.strip() for value in values or [] for name in value.split(",") if name.strip()]
