"""One mark, and its format as a line of the table of marks."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from numbers import Real
from typing import Any

from ..errors import SearchError

FORMAT, VERSION = "auricle marks", 1


@dataclass(frozen=True)
class Mark:
    """
    A user's mark of a moment of a recording.

    Attributes:
        path: path of the file as it was when it was marked, absolute.
        digest: SHA-256 of the file's content, which identifies the file; empty if only the path was recorded.
        start, end: of the moment, seconds; None is the file's best moment for the query.
        fits: whether the moment fits the query; None withdraws an earlier mark.
        search: name of the saved search; empty if the mark was set for a query without a name.
        question: that was asked when it was set.
        who: set it.
        when: UTC, as ``2026-03-01T12:00:00.000000Z``.
        fingerprint: fingerprint of the index's model at that time.
    """

    path: str
    digest: str = ""
    start: float | None = None
    end: float | None = None
    fits: bool | None = True
    search: str = ""
    question: str = ""
    who: str = ""
    when: str = ""
    fingerprint: str = ""

    def belongs_to(self, search: str, question: str) -> bool:
        """Whether it counts for a saved search: set for it by name, or for its query before that had a name."""
        if self.search:
            return self.search == search
        return bool(question) and self.question.strip() == question.strip()

    def overlaps(self, other: "Mark") -> bool:
        """Whether both mark the same content at moments that overlap; a mark without times overlaps each."""
        if (self.digest or self.path) != (other.digest or other.path):
            return False
        if self.start is None or other.start is None:
            return True
        return self.start < (other.end or 0.0) and other.start < (self.end or 0.0)


TEXTS = ("path", "digest", "search", "question", "who", "when", "fingerprint")


def mark_line(mark: Mark) -> bytes:
    """A line of the table of marks, with its end."""
    text = json.dumps(asdict(mark), ensure_ascii=False)
    # Names that are not UTF-8 keep their bytes.
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError:
        return f"{json.dumps(asdict(mark))}\n".encode("ascii")


def head_line() -> bytes:
    """The first line of the table: its kind and version."""
    return f"{json.dumps({'format': FORMAT, 'version': VERSION})}\n".encode()


def read_mark(row: Any) -> Mark:
    """
    A mark from a line's JSON.

    Raises:
        ValueError: if it is not a mark; the message gives the reason.
    """
    if not isinstance(row, Mapping):
        raise ValueError("not a JSON object")
    known = {entry.name for entry in fields(Mark)}
    # Fields of later versions are ignored; the first line of the file names the required fields.
    values = {name: value for name, value in row.items() if name in known}
    for name in TEXTS:
        if not isinstance(values.get(name, ""), str):
            raise ValueError(f"{name} is {values[name]!r}, expected a string")
    if not values.get("path") and not values.get("digest"):
        raise ValueError("has neither a path nor a digest")
    values.setdefault("path", "")
    if not (values.get("fits", True) is None or isinstance(values.get("fits", True), bool)):
        raise ValueError(f"fits is {values['fits']!r}, expected true, false or null")
    check_moment(values.get("start"), values.get("end"))
    return Mark(**values)


def check_moment(start: Any, end: Any) -> None:
    """
    Raises:
        ValueError: for a moment that starts before 0 s, does not end after its start, or has only one of both.
    """
    if start is None and end is None:
        return
    for name, value in (("start", start), ("end", end)):
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise ValueError(f"{name} is {value!r}, expected seconds")
    if not 0 <= start < end:
        raise ValueError(
            f"the moment {start:g} to {end:g} s must start at 0 or later and end after its start"
        )


def as_utc(text: str) -> str:
    """
    A time in ISO 8601 in the form of [`Mark.when`]; one without a zone is taken for UTC.

    Raises:
        ValueError: for another form.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ValueError(f"the time {text!r} is not ISO 8601, as 2026-03-01T12:00:00Z") from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def check_name(name: str) -> str:
    """
    A saved search's name without blanks at its ends.

    Raises:
        SearchError: if the name is not text, is empty, longer than 100 characters, or contains control characters.
    """
    if not isinstance(name, str):
        raise SearchError(f"{name!r}: the name of a search must be a string.")
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise SearchError(
            f"{name!r}: the name of a search must have 1 to 100 characters and no control character."
        )
    return name


__all__ = [
    "FORMAT",
    "VERSION",
    "Mark",
    "as_utc",
    "check_moment",
    "check_name",
    "head_line",
    "mark_line",
    "read_mark",
]
