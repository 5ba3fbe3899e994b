"""The report of every command that reads audio: files skipped, not read, or read with a remark."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .unread_files import Unread, fault_lines, remark_lines, unread_lines


@dataclass
class ReadingReport:
    """
    Attributes:
        skipped: (path, reason) of sounds that could not be read, and of links, pipes and folders that could not be
            looked at.
        unread: files among the sounds that are not sounds that can be read; see [`unread_reason`].
        remarks: (path, remark) of sounds that were read all the same: several sound tracks, channels that cancel,
            bytes after the audio, a repaired header.
    """

    skipped: list[tuple[str, str]] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)

    @property
    def counts(self) -> list[str]:
        """A line for each reason, with the number of files by ending."""
        return [*fault_lines(self.skipped), *unread_lines(self.unread), *remark_lines(self.remarks)]

    def as_json(self) -> dict[str, Any]:
        """``skipped``, ``unread`` and ``remarks`` with path and reason each, and ``counts``."""
        return {
            "skipped": paths_with_reasons(self.skipped),
            "unread": [{**asdict(file), "ending": file.ending} for file in self.unread],
            "remarks": paths_with_reasons(self.remarks),
            "counts": self.counts,
        }


def paths_with_reasons(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """(path, reason) as JSON has it."""
    return [{"path": path, "reason": reason} for path, reason in pairs]


def listed_lines(what: str, pairs: Sequence[tuple[str, str]], shown: int) -> list[str]:
    """
    ``"  note on PATH: reason"`` for the first files, and how many more there are.

    Args:
        what: text before the path, such as ``"note on"``.
        pairs: (path, reason).
        shown: files at most.
    """
    lines = [f"  {what} {path}: {reason}" for path, reason in pairs[:shown]]
    if len(pairs) > shown:
        lines.append(f"  and {len(pairs) - shown:,} more; --json lists them")
    return lines


__all__ = ["ReadingReport", "listed_lines", "paths_with_reasons"]
