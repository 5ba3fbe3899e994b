"""The systems of a comparison, as a user names them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..similarities import Similarities

Kind = Literal["model", "ensemble", "similarities"]
REFERENCES = ("first", "best")


class ComparisonError(ValueError):
    """An invalid comparison; the message names the argument at fault."""


@dataclass(frozen=True)
class System:
    """
    One system.

    Attributes:
        name: its row's name in tables, unique in a comparison.
        location: model directory, Hub id, ensemble file, or directory of saved similarities.
    """

    name: str
    location: str

    @property
    def kind(self) -> Kind:
        """Kind of the location: an ensemble by the extension ``.json``, similarities by their files."""
        if self.location.lower().endswith(".json"):
            return "ensemble"
        return "similarities" if Similarities.is_one(self.location) else "model"


def read_systems(texts: Sequence[str]) -> list[System]:
    """
    Reads arguments of the form ``LOCATION`` or ``NAME=LOCATION``; a system without a name has its location's.

    An existing path that contains ``=`` is a location.

    Raises:
        ComparisonError: if there are no systems, a name or location is empty, or a name occurs twice.
    """
    systems: dict[str, System] = {}
    for text in texts:
        name, equals, location = text.partition("=")
        if not equals or Path(text).exists():
            name = location = text
        if not name.strip() or not location.strip():
            raise ComparisonError(f"MODEL {text!r}: expected a model, or NAME=MODEL.")
        if name in systems:
            raise ComparisonError(
                f"MODEL {text!r}: the name {name!r} occurs twice; give each its own with NAME=MODEL."
            )
        systems[name] = System(name, location)
    if not systems:
        raise ComparisonError("no systems are given; name at least one model.")
    return list(systems.values())


def check_reference(choice: str, systems: Sequence[System]) -> None:
    """
    Checks the reference system for differences.

    Raises:
        ComparisonError: if it is neither ``first`` nor ``best`` nor the name of a system.
    """
    names = [system.name for system in systems]
    if choice not in (*REFERENCES, *names):
        raise ComparisonError(f"--reference {choice!r}: expected first, best, or one of {names}.")


__all__ = ["REFERENCES", "ComparisonError", "System", "check_reference", "read_systems"]
