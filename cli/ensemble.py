"""`auricle ensemble`: finds weights for an ensemble of models on a validation split."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .dataset_argument import HELP, load_dataset_argument
from .encoder_options import TRUST_REMOTE_CODE, encoder_options
from .failures import one_line_errors, printable, quiet_libraries

if TYPE_CHECKING:
    from ..evaluation.similarities import Similarities

Name = tuple[str, str]


class Method(StrEnum):
    """How the weights are chosen."""

    systems_then_models = "systems-then-models"
    models_then_systems = "models-then-systems"
    grid = "grid"
    convex = "convex"
    uniform = "uniform"
    paper_e1 = "paper-e1"


_TWO_LEVELS = (Method.systems_then_models, Method.models_then_systems)


def ensemble(
    dataset: Annotated[str, typer.Argument(help=HELP)],
    member: Annotated[
        list[str],
        typer.Option(
            help="NAME=MODEL, once per member. Two-level methods need names like SYSTEM/TOWER: sid2/passt."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Output: the ensemble file (.json).")],
    method: Annotated[
        Method, typer.Option(help="How to find the weights; see above.")
    ] = Method.systems_then_models,
    validation: Annotated[str, typer.Option(help="Split that the weights are fitted on.")] = "validation",
    stage: Annotated[str | None, typer.Option(help="Stage of the recipe that defines the dataset.")] = None,
    relevance: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with multiple annotations of the split: query, audio_filenames. The weights are fitted on "
            "these queries."
        ),
    ] = None,
    relevance_column: Annotated[
        str | None,
        typer.Option(
            help="Metadata column, such as a class: all clips with the same value are relevant. The weights are "
            "fitted on that."
        ),
    ] = None,
    parts: Annotated[
        int, typer.Option(min=1, help="Grid search: the step size is 1 divided by this number.")
    ] = 20,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Audio segments, or captions, per batch.")] = 32,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Find weights for an ensemble of models.

    The command writes an ensemble file. `auricle evaluate` accepts it like a model.

    Methods: systems-then-models and models-then-systems are the two-level grid searches of the technical
    report. The first finds weights of the systems (SID 2, 3, ...) within each tower and then of the towers;
    the second finds weights of the towers within each system and then of the systems. Both maximise mAP@16 on
    the validation split. grid is a grid search with one level. convex minimises a cross-entropy loss. uniform
    gives all members the same weight. paper-e1 uses the published weights of ensemble E1.
    """
    with one_line_errors():
        from ..encoders import load_encoder
        from ..encoders.cpu_threads import set_cpu_threads
        from ..evaluation.ensembles.ensemble import Ensemble, Member, member_similarities
        from ..evaluation.ensembles.ensemble_weights import paper_weights
        from ..evaluation.protocol import query_values
        from ..evaluation.relevance import check_relevance, relevant_clips
        from ..evaluation.similarities import weighted_sum

        quiet_libraries()
        set_cpu_threads(None)
        with one_line_errors(ValueError, OSError, ImportError):
            models = _read_members(member)
            names = [_system_and_tower(name) for name in models]
            table = load_dataset_argument(dataset, split=validation, stage=stage, progress=progress)[
                validation
            ]
            if method in _TWO_LEVELS and not all(tower for _, tower in names):
                raise ValueError(
                    f"--method {method.value} needs member names like SYSTEM/TOWER; for other names use --method grid."
                )
            if method is Method.paper_e1:
                paper_weights(names)  # refuses other members
            check_relevance(table, file=relevance, column=relevance_column)
            load = partial(load_encoder, **encoder_options(trust_remote_code=trust_remote_code))
            parts_of = {}
            for name, model in models.items():
                parts_of[_system_and_tower(name)] = member_similarities(
                    model, table, name=name, batch_size=batch_size, progress=progress, load=load
                )
            first = parts_of[names[0]]
            relevant = relevant_clips(
                table, first.queries, first.clip_ids, file=relevance, column=relevance_column
            )
            weights = _find_weights(parts_of, relevant, method, parts, progress)
            total = weighted_sum(
                [parts_of[name] for name in names], [weights[name] for name in names], "ensemble"
            )
            alone = [float(query_values(parts_of[name], relevant)["mAP@16"].mean()) for name in names]
            together = float(query_values(total, relevant)["mAP@16"].mean())
            how = {
                "method": method.value,
                "source": total.source,
                "split": validation,
                "metric": f"mAP@16, {_annotation(relevance, relevance_column)}",
                "members": dict(zip(models, alone, strict=True)),
                "ensemble": together,
            }
            members = tuple(
                Member(name, model, weights[_system_and_tower(name)]) for name, model in models.items()
            )
            Ensemble(members, how).save(out)
    typer.echo(
        f"{'member':<24}{'weight':>8}{'mAP@16':>10}   on {total.source} {validation}, "
        f"{_annotation(relevance, relevance_column)}"
    )
    for one, value in zip(members, alone, strict=True):
        typer.echo(printable(f"{one.name:<24}{one.weight:>8.4f}{value:>10.4f}"))
    typer.echo(f"{'mean of the members':<24}{'':>8}{sum(alone) / len(alone):>10.4f}")
    typer.echo(f"{'ensemble':<24}{sum(weights.values()):>8.4f}{together:>10.4f}")
    typer.echo(f"wrote {out}")


def _annotation(relevance: Path | None, column: str | None) -> str:
    """The annotation that the weights are fitted on, in words."""
    if relevance is not None:
        return f"multiple annotations of {relevance.name}"
    return "single annotation" if column is None else f"multiple annotations by {column!r}"


def _read_members(texts: list[str]) -> dict[str, str]:
    models: dict[str, str] = {}
    for text in texts:
        name, equals, model = text.partition("=")
        if not (name and equals and model):
            raise ValueError(
                f"--member {text!r}: expected NAME=MODEL, such as sid2/passt=runs/sid2_passt/finetune/model."
            )
        if name in models:
            raise ValueError(f"--member {name!r}: this name occurs twice.")
        models[name] = model
    if len(models) < 2:
        raise ValueError(f"got {len(models)} member; an ensemble needs at least two (--member NAME=MODEL).")
    return models


def _system_and_tower(name: str) -> Name:
    system, _, tower = name.partition("/")
    return system, tower


def _find_weights(
    members: "dict[Name, Similarities]",
    annotated: dict[int, list[int]] | None,
    method: Method,
    parts: int,
    progress: bool,
) -> dict[Name, float]:
    import numpy as np

    from ..evaluation.ensembles.ensemble_weights import (
        convex_weights,
        grid_search,
        paper_weights,
        two_level_search,
    )

    names = list(members)
    first = members[names[0]]
    for other in members.values():
        first.check_same_pairs(other)
    scores = {name: np.asarray(member.scores) for name, member in members.items()}
    relevant = [[int(clip)] for clip in first.clip_of_query]
    if annotated is not None:
        rows = sorted(annotated)
        scores = {name: values[rows] for name, values in scores.items()}
        relevant = [annotated[row] for row in rows]
    if method in _TWO_LEVELS:
        inner = "system" if method is Method.systems_then_models else "tower"
        return two_level_search(scores, relevant, inner=inner, parts=parts, progress=progress)
    if method is Method.grid:
        weights, _ = grid_search(list(scores.values()), relevant, parts=parts, progress=progress)
    elif method is Method.convex:
        weights = convex_weights(list(scores.values()), relevant)
    elif method is Method.paper_e1:
        weights = paper_weights(names)
    else:
        weights = [1 / len(names)] * len(names)
    return dict(zip(names, weights, strict=True))
