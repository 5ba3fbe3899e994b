"""How commands print what was skipped, not read, or read with a remark, and write it to JSON."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .failures import one_line

if TYPE_CHECKING:
    from ..files.reading_report import ReadingReport
    from ..files.sound_walking import SoundWalk

SHOWN = 20


def show_reading(report: "ReadingReport", json_file: Path | None = None) -> None:
    """
    Prints remarks and the counts by reason to stderr; the command itself prints which files it skipped.

    Args:
        report: report of the command.
        json_file: takes the whole report as JSON; None writes none.

    Raises:
        OSError: if the file cannot be written.
    """
    from ..files.json_files import write_json
    from ..files.reading_report import listed_lines

    for line in (*listed_lines("note on", report.remarks, SHOWN), *report.counts):
        typer.echo(one_line(line), err=True)
    if json_file is not None:
        write_json(json_file, report.as_json())
        typer.echo(one_line(f"wrote {json_file}"))


def why_no_sounds(walk: "SoundWalk") -> str:
    """Describes a folder without audio files, to be appended to a message."""
    from ..files.unread_files import unread_lines

    links = "".join(f"; {path}: {reason}" for path, reason in walk.faults[:3])
    return links + "".join(f"; {line}" for line in unread_lines(walk.unread))
