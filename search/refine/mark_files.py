"""Marks as CSV: out of an index and into one."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path

from ...files.replacing import replace_path
from ...files.spreadsheet_cells import harmless_cell
from ...files.stored_paths import path_as_stored
from ..errors import SearchError
from .index_files import utc_now
from .mark_table import MarkTable, current_user, plain_cell
from .marked_index import MarkedIndex, counted, digests_of, files_by_digest
from .marks import Mark, as_utc, check_moment, check_name
from .matching import CHANGED, GONE, NO_WINDOW, match_marks
from .saved_searches import SOUND, SavedSearches

HEADER = ("path", "digest", "start", "end", "fits", "search", "question", "who", "when", "fingerprint")
# Endings under which nobody expects a table.
OTHER_FORMATS = frozenset((".m3u", ".m3u8", ".cue", ".json", ".jsonl", ".xlsx", ".parquet"))
# As the page of earlier versions called them.
OLD_NAMES = {"time": "when", "sentence": "question"}
FITS = {"1": True, "true": True, "yes": True, "fits": True}
MISFITS = {"0": False, "false": False, "no": False, "does not fit": False}


@dataclass
class ImportReport:
    """
    Attributes:
        imported: number of marks that are in the index now.
        known: number of marks that it had already.
        skipped: rows that were not imported: where, and why.
        created: names of saved searches that were made for them.
        verb: what was done with the marks, for `lines`.
    """

    imported: int = 0
    known: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    verb: str = "imported"

    def lines(self) -> list[str]:
        """Remarks for the user, one line each."""
        told = [f"{counted(self.imported, 'mark', 'marks')} {self.verb}"]
        if self.known:
            told[0] += f", {self.known:,} known already"
        told += [f"saved search {name!r} created" for name in self.created]
        for reason, count in Counter(reason for _, reason in self.skipped).most_common():
            first = next(where for where, why in self.skipped if why == reason)
            told.append(f"skipped {counted(count, 'mark', 'marks')}: {reason} (first: {first})")
        return told


def export_marks(out: Path, marks: Iterable[Mark]) -> int:
    """
    Writes marks as CSV in UTF-8 and returns their number. The file is replaced only when it is complete.

    The columns are `HEADER`; ``fits`` is 1 or 0, an empty ``start`` and ``end`` is the file's best moment. A text that
    a spreadsheet would run as a formula begins with an apostrophe.

    Raises:
        SearchError: if the file cannot be written, or its ending belongs to a playlist or sheet.
    """
    if out.suffix.lower() in OTHER_FORMATS:
        raise SearchError(
            f"{out}: marks are exported as CSV; name the file .csv. `auricle detections --export` writes playlists and "
            "labels."
        )
    kept = list(marks)
    fresh = out.with_name(f".{out.name}.partial")
    try:
        # Names that are not UTF-8 keep their bytes.
        with open(fresh, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            for mark in kept:
                cells = {**vars(mark), "fits": int(bool(mark.fits))}
                row = ("" if cells[name] is None else cells[name] for name in HEADER)
                writer.writerow([harmless_cell(cell) if isinstance(cell, str) else cell for cell in row])
        replace_path(fresh, out)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise SearchError(f"{out}: cannot write the file ({error.strerror or error}).") from error
    return len(kept)


def import_marks(index: MarkedIndex, path: Path, search: str = "") -> ImportReport:
    """
    Reads marks from CSV with a header: columns of `HEADER` in any order, of which ``fits`` and one of ``path`` and
    ``digest`` are needed. A ``feedback.csv`` of the page is read, too.

    Args:
        index: a [`SoundIndex`].
        path: path of the file, UTF-8.
        search: the saved search to add the marks to. If the file has marks of several searches, only those of this one
            are read. Without it, each mark keeps its search; searches that do not exist are created.

    Raises:
        SearchError: if the file cannot be read, or is not a file of marks; nothing is imported then.
    """
    found, report = read_marks(path)
    names = {mark.search for _, mark in found if mark.search}
    if search:
        search = check_name(search)
        if len(names) > 1:
            others = [(where, mark) for where, mark in found if mark.search not in ("", search)]
            report.skipped += [
                (where, f"the mark belongs to the search {mark.search!r}") for where, mark in others
            ]
            found = [(where, mark) for where, mark in found if mark.search in ("", search)]
        found = [(where, replace(mark, search=search)) for where, mark in found]
    return take_marks(index, found, report)


def take_marks(
    index: MarkedIndex, found: Sequence[tuple[str, Mark]], report: ImportReport | None = None
) -> ImportReport:
    """
    Brings marks of other programs and indexes into an index, those it has windows for.

    Args:
        index: a [`SoundIndex`].
        found: marks, each with its place in the file.
        report: continued.

    Raises:
        SearchError: if they cannot be written, or a search that they need cannot be made.
    """
    report, table, store = report or ImportReport(), MarkTable(index), index.store
    by_digest = files_by_digest(store, (mark.digest for _, mark in found if mark.digest))
    stored = _with_stored_paths(index, found)
    by_path = digests_of(store, [mark.path for _, mark in stored if mark.path])
    usable: list[tuple[str, Mark]] = []
    for where, mark in stored:
        if mark.digest in by_digest:
            kept = by_digest[mark.digest]
            usable.append((where, mark if mark.path in kept else replace(mark, path=kept[0])))
        elif mark.digest:
            report.skipped.append((where, CHANGED if mark.path in by_path else GONE))
        elif mark.path in by_path:
            usable.append((where, replace(mark, digest=by_path[mark.path])))
        else:
            report.skipped.append((where, GONE))
    lost = {id(mark) for mark, _ in match_marks(store, [mark for _, mark in usable]).missing}
    report.skipped += [(where, NO_WINDOW) for where, mark in usable if id(mark) in lost]
    there = {_key(mark) for mark in table.history()}
    fresh = [mark for _, mark in usable if id(mark) not in lost and _key(mark) not in there]
    report.known += sum(id(mark) not in lost and _key(mark) in there for _, mark in usable)
    _make_searches(index, fresh, report)
    report.imported += table.extend(fresh)
    return report


def _make_searches(index: MarkedIndex, marks: Iterable[Mark], report: ImportReport) -> None:
    searches = SavedSearches(index)
    held = set(searches.names())
    for mark in marks:
        if mark.search and mark.search not in held:
            # A query by sound cannot be embedded from its text: such a search ranks by its marks only.
            searches.save(mark.search, "" if mark.question.startswith(SOUND) else mark.question)
            held.add(mark.search)
            report.created.append(mark.search)


def _with_stored_paths(index: MarkedIndex, found: Sequence[tuple[str, Mark]]) -> list[tuple[str, Mark]]:
    """With each path as the index has it, if the index has the file under another form of its name."""
    known = digests_of(index.store, [mark.path for _, mark in found if mark.path])
    return [
        (
            where,
            replace(mark, path=path_as_stored(mark.path)) if mark.path and mark.path not in known else mark,
        )
        for where, mark in found
    ]


def _key(mark: Mark) -> tuple:
    return mark.search, mark.question if not mark.search else "", mark.digest, mark.start, mark.end, mark.fits


def read_marks(path: Path) -> tuple[list[tuple[str, Mark]], ImportReport]:
    """
    Marks of a CSV file, with the line of each; rows that cannot be read are in the report.

    Raises:
        SearchError: if the file cannot be read, is not UTF-8, or has no header of marks.
    """
    try:
        text = path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise SearchError(
            f"{path}: not UTF-8 (byte {error.start}); save the table as CSV in UTF-8."
        ) from error
    except OSError as error:
        raise SearchError(f"{path}: cannot read the file ({error.strerror or error}).") from error
    rows = csv.reader(StringIO(text, newline=""))
    try:
        names = [OLD_NAMES.get(name.strip().lower(), name.strip().lower()) for name in next(rows, [])]
        if "fits" not in names or not {"path", "digest"} & set(names):
            told = ", ".join(names)[:100] or "nothing"
            raise SearchError(
                f"{path}: the first line must name the columns, 'fits' and 'path' or 'digest' among them; found: "
                f"{told}."
            )
        report, found, now = ImportReport(), [], utc_now()
        for row in rows:
            where = f"{path.name}, line {rows.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            try:
                cells = dict(zip(names, map(plain_cell, row), strict=False))
                found.append((where, _mark(cells, now)))
            except ValueError as error:
                report.skipped.append((where, str(error)))
    except csv.Error as error:
        raise SearchError(f"{path}: not a CSV table (line {rows.line_num}: {error}).") from error
    return found, report


def _mark(cells: dict[str, str], now: str) -> Mark:
    """A mark from the cells of a row; raises ValueError, which says what is wrong."""
    path, digest = cells.get("path", ""), cells.get("digest", "").strip().lower()
    if not path and not digest:
        raise ValueError("the row has neither a path nor a digest")
    told = cells.get("fits", "").strip().lower()
    fits = {**FITS, **MISFITS}.get(told)
    if fits is None:
        raise ValueError(f"fits is {told!r}, expected 1 or 0")
    start, end = (_seconds(name, cells.get(name, "")) for name in ("start", "end"))
    check_moment(start, end)
    try:
        search = check_name(cells["search"]) if cells.get("search", "").strip() else ""
    except SearchError as error:
        raise ValueError(str(error)) from error
    question = cells.get("question", "")
    when = as_utc(cells["when"]) if cells.get("when", "").strip() else now
    return Mark(
        path,
        digest,
        start,
        end,
        fits,
        search,
        question,
        cells.get("who", "") or current_user(),
        when,
        cells.get("fingerprint", "").strip(),
    )


def _seconds(name: str, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{name} is {text!r}, expected seconds") from error


__all__ = ["HEADER", "ImportReport", "export_marks", "import_marks", "read_marks", "take_marks"]
