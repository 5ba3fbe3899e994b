"""Queries about clips of one class each, such as those of ESC-10."""

import numpy as np
from datasets import Dataset

from ...data.schema import unique_clips
from .query_kinds import QUERY_KINDS, UserQuery, UserQueryError

# What can be asked of clips that hold one sound each: two sounds at once, numbers and orders are not known.
LABEL_KINDS = ("tag", "question", "command", "paraphrase", "without")


def label_queries(table: Dataset, column: str, *, per_kind: int = 60, seed: int = 0) -> list[UserQuery]:
    """
    Queries of the kinds in `LABEL_KINDS` about clips of classes, whose names are the column's values.

    A name such as "clock_tick" is written "clock tick". "Without" names a second class, whose clips are the traps.

    Args:
        table: rows of clips.
        column: of the table, with each clip's class.
        per_kind: maximum number of queries of each kind, at least 1.
        seed: of the draw; the same arguments give the same queries.

    Returns:
        Queries by kind; places are those of `unique_clips(table)`.

    Raises:
        UserQueryError: the column is missing, has a value that is no text, or fewer than two classes, or `per_kind`
            is below 1.
    """
    if per_kind < 1:
        raise UserQueryError(f"per_kind is {per_kind}, but must be 1 or more")
    if column not in table.column_names:
        raise UserQueryError(f"there is no column {column!r}; the columns are {table.column_names}")
    labels = list(unique_clips(table)[column])
    wrong = next((label for label in labels if not isinstance(label, str) or not label.strip()), None)
    if wrong is not None or any(label is None for label in labels):
        raise UserQueryError(
            f"column {column!r} holds {wrong!r}, but must hold the name of each clip's class"
        )
    places: dict[str, tuple[int, ...]] = {
        label: tuple(place for place, one in enumerate(labels) if one == label)
        for label in sorted(set(labels))
    }
    if len(places) < 2:
        raise UserQueryError(f"column {column!r} has {len(places)} class(es); queries need two or more")
    queries: list[UserQuery] = []
    for number, kind in enumerate(LABEL_KINDS):
        made: dict[str, UserQuery] = {}
        for label in places:
            for other in places if kind == "without" else (label,):
                if kind == "without" and other == label:
                    continue
                first, second = (" ".join(name.replace("_", " ").split()) for name in (label, other))
                for template in QUERY_KINDS[kind]:
                    text = template.format(a=first, b=second, tag_a=first, tag_b=second)
                    traps = places[other] if kind == "without" else ()
                    made.setdefault(text, UserQuery(text, kind, places[label], traps))
        some = list(made.values())
        order = np.random.default_rng([seed, number]).permutation(len(some))
        queries += [some[place] for place in sorted(order[:per_kind].tolist())]
    return queries


__all__ = ["LABEL_KINDS", "label_queries"]
