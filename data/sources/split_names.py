"""Which splits of a captioned folder training uses, and what other names usually mean."""

from collections.abc import Mapping
from typing import NamedTuple

# Names that other tools give to the split that chooses a checkpoint, or that is tested on.
_MEANT = {
    "dev": "validation",
    "devel": "validation",
    "val": "validation",
    "valid": "validation",
    "eval": "test",
}


class UnusedSplit(NamedTuple):
    """
    Rows that training does not use.

    Attributes:
        name: value of the column ``split``.
        rows: how many rows have it.
        meant: the name that was probably meant; None if nothing is known about it.
    """

    name: str
    rows: int
    meant: str | None

    def __str__(self) -> str:
        told = f"{self.rows:,} row{'' if self.rows == 1 else 's'} of split {self.name!r}"
        return f"{told} (use {self.meant!r})" if self.meant else told


def is_used(name: str) -> bool:
    """Whether training uses a split of this name."""
    return name in ("train", "validation") or name.startswith("test")


def unused_splits(counts: Mapping[str, int]) -> list[UnusedSplit]:
    """
    Splits that training does not use.

    Args:
        counts: number of rows by name of the split.
    """
    return [UnusedSplit(name, rows, _meant(name)) for name, rows in counts.items() if not is_used(name)]


def _meant(name: str) -> str | None:
    folded = name.casefold()
    return folded if is_used(folded) else _MEANT.get(folded)


__all__ = ["UnusedSplit", "is_used", "unused_splits"]
