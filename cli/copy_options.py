"""Options that make copies one result, and results that are grouped so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ..search.query.copies import CopyGroup
    from ..search.query.hits import Hit
    from ..search.sound_index import SoundIndex

GROUP_COPIES = typer.Option(
    "--group-copies/--no-group-copies",
    help="Show files of identical content as one result. Default: on for printed results; with --json and --export, "
    "each file is a separate result.",
)
NEAR_COPIES = typer.Option(
    min=-1.0,
    max=1.0,
    help="Also group files whose embeddings have at least this cosine similarity, such as 0.98.",
)


@dataclass(frozen=True)
class Grouping:
    """
    How results are grouped.

    Attributes:
        copies: files of identical content are one result.
        near: cosine from which on files are near copies; None looks for none.
    """

    copies: bool
    near: float | None

    @classmethod
    def chosen(cls, group_copies: bool | None, near_copies: float | None, *, separate: bool) -> "Grouping":
        """
        By the options of a command.

        Args:
            group_copies, near_copies: the options; None is not given.
            separate: without them, each file is its own result.

        Raises:
            SearchError: if near copies are requested but copies are not grouped.
        """
        if near_copies is not None and group_copies is False:
            from ..search.errors import SearchError

            raise SearchError("--near-copies groups results; it cannot be combined with --no-group-copies.")
        if group_copies is None:
            group_copies = near_copies is not None or not separate
        return cls(group_copies, near_copies)

    def apply(
        self, ask: "Callable[[int], list[Hit]]", top: int, sounds: "SoundIndex | None" = None
    ) -> "tuple[list[Hit], Sequence[CopyGroup] | None]":
        """
        Results of a query, and the same with their copies where those are grouped.

        Args:
            ask: gives so many results at most.
            top: results at most.
            sounds: the index, which near copies are found by.
        """
        if not self.copies:
            return ask(top), None
        from ..search.query.copies import find_groups

        store = None if sounds is None or self.near is None else sounds.store
        groups = find_groups(ask, top, store=store, near_cosine=self.near)
        return [group.hit for group in groups], groups


__all__ = ["GROUP_COPIES", "NEAR_COPIES", "Grouping"]
