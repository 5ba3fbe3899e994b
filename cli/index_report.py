"""The report of `auricle index`: totals, skipped files, and counts by reason and extension."""

from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .failures import one_line
from .reading_output import SHOWN

if TYPE_CHECKING:
    from ..search.update.indexing import IndexReport


def show_report(report: "IndexReport", json_file: Path | None) -> None:
    """
    Prints the report of an update: numbers to stdout, skipped files, metadata rows and counts to stderr.

    Args:
        report: report of the update.
        json_file: takes the whole of it as JSON; None writes none.

    Raises:
        OSError: if the file cannot be written.
    """
    from ..files.json_files import write_json
    from ..files.reading_report import listed_lines
    from ..files.unread_files import fault_lines, remark_lines, unread_lines

    typer.echo(report.line())
    rows = {(row.file, row.text) for row in report.rows}
    skipped = [fault for fault in report.faults if fault not in rows]
    lost, kept = set(report.lost), set(report.kept)
    for path, reason in skipped:
        what = "skipped"
        if (path, reason) in lost:
            what = "removed, since it has changed and is no longer readable,"
        elif (path, reason) in kept:
            what = "kept unchanged, because it is not accessible,"
        typer.echo(one_line(f"  {what} {path}: {reason}"), err=True)
    for path, reason in report.field_faults:
        typer.echo(one_line(f"  indexed without some metadata {path}: {reason}"), err=True)
    for line in listed_lines("note on", report.remarks, SHOWN):
        typer.echo(one_line(line), err=True)
    _show_rows(report)
    # One file is counted by its own line.
    counts = fault_lines(skipped) if len(skipped) > 1 else []
    for line in (*counts, *unread_lines(report.unread), *remark_lines(report.remarks)):
        typer.echo(one_line(line), err=True)
    if json_file is not None:
        write_json(json_file, report_as_json(report))
        typer.echo(one_line(f"wrote {json_file}"))


def report_as_json(report: "IndexReport") -> dict[str, Any]:
    """
    An update's report: numbers, and all that was skipped, is no longer readable, is not read or has a remark.

    ``no_longer_readable`` states for each file whether its entry in the index is kept.
    """
    from ..files.reading_report import ReadingReport, paths_with_reasons

    rows = {(row.file, row.text) for row in report.rows}
    names = (
        "added",
        "changed",
        "described",
        "moved",
        "removed",
        "unchanged",
        "windows",
        "with_frames",
        "remade_frames",
        "without_frames",
    )
    skipped = [fault for fault in report.faults if fault not in rows]
    no_longer = [
        {"path": path, "reason": reason, "kept": kept}
        for pairs, kept in ((report.lost, False), (report.kept, True))
        for path, reason in pairs
    ]
    return {
        **{name: getattr(report, name) for name in names},
        "no_longer_readable": no_longer,
        "fields": paths_with_reasons(report.field_faults),
        "rows": [asdict(row) for row in report.rows],
        **ReadingReport(skipped, report.unread, report.remarks).as_json(),
    }


def _show_rows(report: "IndexReport") -> None:
    by_file = defaultdict(list)
    for row in report.rows:
        by_file[row.file].append(row)
    for file, rows in by_file.items():
        # What is lost goes before what is only worth a look.
        rows.sort(key=lambda row: (row.used, row.line))
        for row in rows[:SHOWN]:
            what = "note on" if row.used else "not used:"
            typer.echo(one_line(f"  {what} {row.file}, {row.text}"), err=True)
        if len(rows) > SHOWN:
            more = len(rows) - SHOWN
            typer.echo(one_line(f"  and {more:,} more rows of {file}; --json lists them"), err=True)
