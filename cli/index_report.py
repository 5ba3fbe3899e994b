"""What `auricle index` says of an update: numbers, what was skipped, and counts by reason and extension."""

from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .failures import one_line

if TYPE_CHECKING:
    from ..search.update.indexing import IndexReport

# Rows of one metadata file; the rest is counted.
_ROWS_SHOWN = 20


def show_report(report: "IndexReport", json_file: Path | None) -> None:
    """
    Prints the report of an update: numbers to stdout, skipped files, metadata rows and counts to stderr.

    Args:
        report: of the update.
        json_file: takes the whole of it as JSON; None writes none.

    Raises:
        OSError: if the file cannot be written.
    """
    from ..files.json_files import write_json
    from ..files.unread_files import fault_lines, unread_lines

    typer.echo(report.line())
    told = {(row.file, row.text) for row in report.rows}
    skipped = [fault for fault in report.faults if fault not in told]
    for path, reason in skipped:
        typer.echo(one_line(f"  skipped {path}: {reason}"), err=True)
    for path, reason in report.field_faults:
        typer.echo(one_line(f"  indexed without some metadata {path}: {reason}"), err=True)
    _show_rows(report)
    # One file is counted by its own line.
    counts = fault_lines(skipped) if len(skipped) > 1 else []
    for line in (*counts, *unread_lines(report.unread)):
        typer.echo(one_line(line), err=True)
    if json_file is not None:
        write_json(json_file, report_as_json(report))
        typer.echo(one_line(f"wrote {json_file}"))


def report_as_json(report: "IndexReport") -> dict[str, Any]:
    """An update's report with all that was skipped: files, rows of metadata files, and files that are not read."""
    told = {(row.file, row.text) for row in report.rows}
    names = ("added", "changed", "described", "moved", "removed", "unchanged", "windows")
    return {
        **{name: getattr(report, name) for name in names},
        "skipped": [
            {"path": path, "reason": reason} for path, reason in report.faults if (path, reason) not in told
        ],
        "fields": [{"path": path, "reason": reason} for path, reason in report.field_faults],
        "rows": [asdict(row) for row in report.rows],
        "unread": [{**asdict(file), "ending": file.ending} for file in report.unread],
    }


def _show_rows(report: "IndexReport") -> None:
    by_file = defaultdict(list)
    for row in report.rows:
        by_file[row.file].append(row)
    for file, rows in by_file.items():
        # What is lost goes before what is only worth a look.
        rows.sort(key=lambda row: (row.used, row.line))
        for row in rows[:_ROWS_SHOWN]:
            what = "note on" if row.used else "not used:"
            typer.echo(one_line(f"  {what} {row.file}, {row.text}"), err=True)
        if len(rows) > _ROWS_SHOWN:
            more = len(rows) - _ROWS_SHOWN
            typer.echo(one_line(f"  and {more:,} more rows of {file}; --json lists them"), err=True)
