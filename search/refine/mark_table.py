"""The table of marks of an index: one line of JSON a mark, in the order in which they were set."""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from getpass import getuser
from io import StringIO

from ...files.spreadsheet_cells import FORMULA_BEGINNINGS
from ..errors import SearchError
from ..query.resolved_filters import checked_path
from .index_files import append_lines, changing, read_file, utc_now
from .marked_index import MarkedIndex, digests_of
from .marks import FORMAT, VERSION, Mark, as_utc, check_moment, check_name, head_line, mark_line, read_mark

TABLE = "marks.jsonl"
# What the page of earlier versions wrote: time, sentence, path, 1 or 0.
FEEDBACK = "feedback.csv"
SAME_MOMENT_DIGITS = 2


@dataclass(frozen=True)
class Marks(Sequence[Mark]):
    """
    Marks of a search, the earliest first, one a moment of a content: the last one set counts.

    Attributes:
        marks: what counts.
        contradictions: number of moments that were marked both ways.
        unread: lines that could not be read, with reasons.
    """

    marks: tuple[Mark, ...] = ()
    contradictions: int = 0
    unread: tuple[str, ...] = ()

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        return self.marks[place]

    def __len__(self) -> int:
        return len(self.marks)


class MarkTable:
    """
    What people marked in an index, for any number of threads and programs.

    Marks are lines of ``marks.jsonl`` in the index's folder. Lines are only appended: the last mark of a moment
    applies. Marks in ``feedback.csv``, which the page of earlier versions wrote, are read too.

    Args:
        index: a [`SoundIndex`].
    """

    def __init__(self, index: MarkedIndex):
        self.index = index
        self._folder = index.store.folder

    def add(
        self,
        search: str,
        path: str | os.PathLike[str],
        start: float | None = None,
        end: float | None = None,
        *,
        fits: bool = True,
        question: str = "",
        who: str | None = None,
    ) -> Mark:
        """
        Marks a moment of a file that the index has.

        Args:
            search: name of a saved search; empty for a query that has no name yet.
            path: path of the file.
            start, end: of the moment, seconds; without, the file's best moment for the query.
            fits: whether it fits.
            question: that was asked.
            who: sets it; the user of this process if not given.

        Raises:
            SearchError: if the index does not have the file; for a moment that is not valid or starts after the
                file's end; without a name and a query; for a table that cannot be written.
        """
        mark = self.make(search, path, start, end, fits, question, who)
        self._append([mark])
        return mark

    def remove(
        self,
        search: str,
        path: str | os.PathLike[str],
        start: float | None = None,
        end: float | None = None,
        *,
        question: str = "",
        who: str | None = None,
    ) -> Mark:
        """Takes a mark back; arguments as of [`add`]. A moment without a mark stays so."""
        mark = self.make(search, path, start, end, None, question, who)
        self._append([mark])
        return mark

    def make(
        self,
        search: str,
        path: str | os.PathLike[str],
        start: float | None = None,
        end: float | None = None,
        fits: bool | None = True,
        question: str = "",
        who: str | None = None,
    ) -> Mark:
        """A mark that [`extend`] takes, checked and not yet set; arguments as of [`add`], ``fits=None`` takes back."""
        if search or not question.strip():
            search = check_name(search)
        if fits is not None and not isinstance(fits, bool):
            raise SearchError(f"fits={fits!r}: must be True or False.")
        try:
            check_moment(start, end)
        except ValueError as error:
            raise SearchError(f"{os.fspath(path)}: {error}.") from error
        store = self.index.store
        own = checked_path(store, self.index._contents, path)
        rows = store.file_rows(["path", "digest", "duration"], [own]).to_pylist()
        if not rows:
            raise SearchError(
                f"{os.fspath(path)}: not in the index {store.folder}; give the path as results show it, or add the "
                "file with auricle index."
            )
        digest, duration = rows[0]["digest"], rows[0]["duration"]
        if start is not None and start >= duration:
            raise SearchError(
                f"{os.fspath(path)}: the moment starts at {start:g} s, but the file ends at {duration:.2f} s."
            )
        moment = (None, None) if start is None or end is None else (float(start), float(end))
        return Mark(
            own,
            digest,
            *moment,
            fits=fits,
            search=search,
            question=question,
            who=current_user() if who is None else who,
            when=utc_now(),
            fingerprint=store.record["fingerprint"],
        )

    def extend(self, marks: Iterable[Mark]) -> int:
        """
        Adds marks as they are, all or none, and returns their number.

        Raises:
            SearchError: for a table that cannot be written.
        """
        found = list(marks)
        self._append(found)
        return len(found)

    def of(self, search: str, question: str = "") -> Marks:
        """
        Marks of a saved search, and marks that were set for its query before it had a name.

        Args:
            search: name of the search; empty for marks of a query without a name.
            question: its query; without it, only marks by name.
        """
        return latest(self._all(lambda mark: mark.belongs_to(search, question)))

    def changes(self, search: str, question: str = "") -> Marks:
        """As [`of`], with marks that take an earlier one back: their moment may be another one's window."""
        return latest(self._all(lambda mark: mark.belongs_to(search, question)), taken_back=True)

    def everything(self) -> Marks:
        """Every mark that counts, of all searches and queries."""
        return latest(self._all(lambda mark: True), by_search=True)

    def history(self) -> Marks:
        """Every mark that was ever set, including those that were changed or withdrawn later."""
        return self._all(lambda mark: True)

    def forget(self, search: str) -> int:
        """
        Removes the marks of a saved search from the table and returns their number; marks of its query stay.

        Raises:
            SearchError: for a table that cannot be written.
        """
        with changing(self._folder):
            kept, dropped = [], 0
            for line, mark, _ in self._lines():
                if mark is not None and mark.search == search:
                    dropped += 1
                else:
                    kept.append(line)
            if dropped:
                self._folder.write(TABLE, b"".join(kept))
        return dropped

    def _append(self, marks: Sequence[Mark]) -> None:
        if marks:
            with changing(self._folder):
                append_lines(self._folder, TABLE, b"".join(map(mark_line, marks)), head=head_line())

    def _all(self, wanted: Callable[[Mark], bool]) -> Marks:
        found, unread = [], []
        for _, mark, reason in self._lines():
            if reason:
                unread.append(reason)
            elif mark is not None:
                found.append(mark)
        earlier, faults = read_feedback(read_file(self._folder, FEEDBACK))
        # Earlier versions recorded only paths, so files that have moved since are not found.
        digests = digests_of(self.index.store, [mark.path for mark in earlier if wanted(mark)])
        found += [replace(mark, digest=digests.get(mark.path, "")) for mark in earlier]
        kept = sorted(filter(wanted, found), key=lambda mark: mark.when)
        return Marks(tuple(kept), 0, (*unread, *faults))

    def _lines(self) -> Iterator[tuple[bytes, Mark | None, str]]:
        """Every line as it is; its mark, or None; why it could not be read, or nothing."""
        for number, line in enumerate(read_file(self._folder, TABLE).splitlines(keepends=True), start=1):
            try:
                row = json.loads(line)
                if isinstance(row, dict) and row.get("format") == FORMAT:
                    self._check_version(row.get("version"))
                    yield line, None, ""
                    continue
                yield line, read_mark(row), ""
            except ValueError as error:
                if isinstance(error, SearchError):
                    raise
                reason = "is damaged" if isinstance(error, json.JSONDecodeError | UnicodeError) else error
                yield line, None, f"{TABLE}, line {number}: {reason}"

    def _check_version(self, version: object) -> None:
        if not isinstance(version, int) or version > VERSION:
            raise SearchError(
                f"{self._folder}: its {TABLE} has version {version}, and this program reads versions up to {VERSION}; "
                "upgrade auricle."
            )


def latest(marks: Marks, *, by_search: bool = False, taken_back: bool = False) -> Marks:
    """
    Of every moment of a content the last mark, the earliest first.

    Args:
        marks: in the order of time.
        by_search: a moment counts once for every search and query.
        taken_back: keep marks that take an earlier one back.
    """
    last: dict[tuple, Mark] = {}
    both: set[tuple] = set()
    for mark in marks:
        key = (mark.digest or mark.path, *(_rounded(mark.start), _rounded(mark.end)))
        key = (*key, mark.search, mark.question if not mark.search else "") if by_search else key
        before = last.pop(key, None)
        if before is not None and {before.fits, mark.fits} == {True, False}:
            both.add(key)
        last[key] = mark
    kept = tuple(mark for mark in last.values() if taken_back or mark.fits is not None)
    return Marks(kept, marks.contradictions + len(both), marks.unread)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, SAME_MOMENT_DIGITS)


def read_feedback(content: bytes) -> tuple[list[Mark], list[str]]:
    """
    Marks of ``feedback.csv``: of files, at their best moment for the query; and lines that could not be read.

    Args:
        content: content of the file.
    """
    marks, faults = [], []
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    for number, row in enumerate(csv.reader(StringIO(text, newline="")), start=1):
        if row == ["time", "sentence", "path", "fits"] or not any(row):
            continue
        try:
            when, sentence, path, fits = row
            if fits not in ("0", "1"):
                raise ValueError(f"fits is {fits!r}, expected 1 or 0")
            when, path = as_utc(when), plain_cell(path)
            marks.append(Mark(path, question=plain_cell(sentence), fits=fits == "1", when=when))
        except ValueError as error:
            reason = f"has {len(row)} cells, expected 4" if len(row) != 4 else error
            faults.append(f"{FEEDBACK}, row {number}: {reason}")
    return marks, faults


def plain_cell(text: str) -> str:
    """A cell without the apostrophe that [`harmless_cell`] set before what a spreadsheet would run."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA_BEGINNINGS) else text


def current_user() -> str:
    """Name of the user of this process; empty where the system knows none."""
    try:
        return getuser()
    except (OSError, KeyError, ImportError):
        return ""


__all__ = ["FEEDBACK", "TABLE", "MarkTable", "Marks", "current_user", "latest", "plain_cell", "read_feedback"]
