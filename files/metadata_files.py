"""
`metadata.csv` and `metadata.jsonl` next to audio files, read strictly: each row is used, or reported with its line.

They are laid out as `datasets` has them for folders of sounds: a column ``file_name``, and any others.
"""

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from .file_names import composed, folded

METADATA_FILES = ("metadata.csv", "metadata.jsonl")
FILE_NAME = "file_name"
# A spreadsheet writes what its country has for a comma; some programs write tabs.
DELIMITERS = (",", ";", "\t")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class MetadataFileError(ValueError):
    """
    None of a file's rows can be used; the message names what is wrong, without the file.

    Attributes:
        line: where it is wrong, from 1; None if the error has no line.
    """

    def __init__(self, reason: str, line: int | None = None):
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.reason, self.line = reason, line


@dataclass(frozen=True, slots=True)
class MetadataRow:
    """
    Attributes:
        line: that it begins in, the first of the file being 1.
        values: by column; strings as written, or JSON values.
    """

    line: int
    values: dict[str, Any]

    @property
    def name(self) -> str:
        """The value of the column ``file_name``."""
        return self.values[FILE_NAME]


@dataclass(frozen=True)
class RowFault:
    """
    A remark on one row of a metadata file.

    Attributes:
        file: the metadata file.
        line: that the row begins in.
        reason: what is wrong with it.
        used: whether the row is used all the same.
        name: the ``file_name`` of an unused row, if known.
    """

    file: str
    line: int
    reason: str
    used: bool = False
    name: str | None = None

    @property
    def text(self) -> str:
        """Line and reason."""
        return f"line {self.line}: {self.reason}"


@dataclass
class MetadataTable:
    """
    Contents of a metadata file.

    Attributes:
        file: its path.
        columns: names in their order; those with a meaning are written as it has them.
        rows: all that can be used.
        faults: remarks on the rows that are not used, and on some that are.
    """

    file: str
    columns: list[str] = field(default_factory=list)
    rows: list[MetadataRow] = field(default_factory=list)
    faults: list[RowFault] = field(default_factory=list)

    def add(self, line: int, values: dict[str, Any]) -> None:
        """Takes a row, unless it names no file."""
        name = values.get(FILE_NAME)
        if isinstance(name, str) and name.strip():
            self.rows.append(MetadataRow(line, values))
        else:
            shown = repr(name) if name is None or isinstance(name, str) else json.dumps(name)[:40]
            self.refuse(line, f"file_name is {shown}, but must be the path of an audio file")

    def refuse(self, line: int, reason: str, name: str | None = None) -> None:
        """Notes that a row is not used."""
        self.faults.append(RowFault(self.file, line, reason, name=name))

    def note(self, line: int, reason: str) -> None:
        """Notes something of a row that is used."""
        self.faults.append(RowFault(self.file, line, reason, used=True))


def read_metadata_file(path: str | os.PathLike[str], meanings: re.Pattern[str]) -> MetadataTable:
    """
    Reads a `metadata.csv` or `metadata.jsonl`.

    Both are UTF-8, with or without byte-order mark. A CSV has a header line; its cells are separated by commas, or
    by the semicolons or tabs with which its header has a column ``file_name``. An invalid row is skipped
    and reading continues at the next line. Column names with a meaning are case-insensitive.

    Args:
        path: the file; its extension decides the format.
        meanings: fits the columns that have a meaning, ``file_name`` among them, in lower case.

    Raises:
        MetadataFileError: if the file is not UTF-8, or its header not valid or without ``file_name``.
        OSError: if it cannot be read.
    """
    table = MetadataTable(os.fspath(path))
    text = _decoded(path)
    if table.file.lower().endswith(".csv"):
        _read_csv(table, text, meanings)
    else:
        _read_json_lines(table, text, meanings)
    return table


def _decoded(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as file:
        raw = file.read()
    if raw.startswith(_UTF16_MARKS):
        raise MetadataFileError("not valid UTF-8 but UTF-16; save the file as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n|\n|\r", raw[: error.start])) + 1
        raise MetadataFileError(
            f"not valid UTF-8 (byte 0x{raw[error.start]:02x}); save the file as UTF-8", line
        ) from error


def with_meanings(columns: Sequence[str], meanings: re.Pattern[str]) -> list[str]:
    """
    The columns, each that has a meaning written as the meaning is.

    Exact names have priority: next to ``license``, a column ``License`` is a separate column.

    Args:
        columns: as written.
        meanings: fits names that have one, in lower case.
    """
    taken = set(columns)
    found = []
    for column in columns:
        meant = folded(column)
        if column != meant and meanings.fullmatch(meant) and meant not in taken:
            taken.add(meant)
            column = meant
        found.append(column)
    return found


# ----------------------------------------------------------------------------------------------- CSV


def _read_csv(table: MetadataTable, text: str, meanings: re.Pattern[str]) -> None:
    # Not splitlines(): a cell may contain the line separator U+2028.
    lines = io.StringIO(text, newline="").readlines()
    start = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    told = re.fullmatch(r"sep=(.)\s*", lines[start]) if start < len(lines) else None
    start += bool(told)
    try:
        start, delimiter, header = _header(lines, start, [told[1]] if told else DELIMITERS)
    except csv.Error as error:
        raise MetadataFileError(f"not valid CSV ({_fault(error)})", start + 1) from error
    while header and not header[-1]:
        header.pop()
    table.columns = columns = with_meanings(header, meanings)
    if FILE_NAME not in columns:
        return
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        table.note(start, f"columns {twice} occur more than once; the last one counts")
    for line, cells, error in _records(lines, start, delimiter):
        if error is not None:
            table.refuse(
                line, f"not valid CSV ({error})", _name_in_broken(lines[line - 1], delimiter, columns)
            )
        elif any(cell.strip() for cell in cells):
            _take_cells(table, line, cells, columns)


def _take_cells(table: MetadataTable, line: int, cells: list[str], columns: list[str]) -> None:
    surplus = cells[len(columns) :]
    values = dict(zip(columns, cells, strict=False))
    if any(surplus):
        table.refuse(
            line,
            f"has {len(cells)} cells, but the header has {len(columns)} "
            "(put text with commas in double quotes)",
            values.get(FILE_NAME),
        )
        return
    if len(cells) < len(columns):
        table.note(line, f"has {len(cells)} cells, but the header has {len(columns)}; the others are empty")
        values = dict.fromkeys(columns, "") | values
    table.add(line, values)


def _header(lines: list[str], start: int, delimiters: Sequence[str]) -> tuple[int, str, list[str]]:
    """Where the rows begin, the delimiter that gives a column ``file_name``, and the header's cells."""
    found = None
    for delimiter in delimiters:
        reader = csv.reader(lines[start:], delimiter=delimiter, strict=True)
        cells = [composed(cell.strip()) for cell in next(reader, [])]
        found = found or (start + reader.line_num, delimiter, cells)
        if FILE_NAME in map(folded, cells):
            return start + reader.line_num, delimiter, cells
    return found


def _records(lines: list[str], start: int, delimiter: str) -> Iterator[tuple[int, list[str], str | None]]:
    """
    Line number, cells, and the fault, of each record from a line on; blank lines are skipped.

    After an invalid record, reading continues at the next line: otherwise an unclosed quote would
    swallow all rows up to the next quote.
    """
    while start < len(lines):
        rest = (lines[place] for place in range(start, len(lines)))
        reader = csv.reader(rest, delimiter=delimiter, strict=True)
        begin = start
        try:
            for cells in reader:
                if cells:
                    yield begin + 1, cells, None
                begin = start + reader.line_num
            return
        except csv.Error as error:
            yield begin + 1, [], _fault(error)
            start = begin + 1


def _fault(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return "a double quote is not closed"
    if "field larger" in text:
        return (
            f"a cell of more than {csv.field_size_limit():,} characters; perhaps a double quote is not closed"
        )
    return f"{text}; perhaps a double quote is not closed" if "expected after" in text else text


def _name_in_broken(line: str, delimiter: str, columns: list[str]) -> str | None:
    """The file name in a line that is not valid CSV, if it precedes the fault."""
    place = columns.index(FILE_NAME)
    cells = line.rstrip("\r\n").split(delimiter)
    before = list(takewhile(lambda cell: '"' not in cell, cells))
    return before[place] if place < len(before) else None


# ---------------------------------------------------------------------------------------- JSON lines


def _read_json_lines(table: MetadataTable, text: str, meanings: re.Pattern[str]) -> None:
    columns: dict[str, None] = {}
    # Not splitlines(): JSON may contain the line separator U+2028.
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        values, fault = _object(content)
        if fault is not None:
            name = values.get(FILE_NAME)
            table.refuse(line, fault, name if isinstance(name, str) else None)
            continue
        named = dict(zip(with_meanings(list(values), meanings), values.values(), strict=True))
        columns.update(dict.fromkeys(named))
        table.add(line, named)
    table.columns = list(columns)


def _object(content: str) -> tuple[Mapping[str, Any], str | None]:
    """The values of a line, and the fault if it is invalid."""
    twice: list[str] = []

    def of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # The outermost object comes last.
        twice[:] = sorted(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        return dict(pairs)

    try:
        values = json.loads(content, object_pairs_hook=of_pairs)
    except json.JSONDecodeError as error:
        return {}, f"not valid JSON ({error})"
    except RecursionError:
        return {}, "contains lists or objects that are nested too deeply"
    if not isinstance(values, dict):
        return {}, 'must be a JSON object such as {"file_name": "a.wav", "caption": "..."}'
    if twice:
        return values, f"names {twice} occur more than once"
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return {}, f"contains half of a character ({error.object[error.start]!r})"
    return values, None


__all__ = [
    "FILE_NAME",
    "METADATA_FILES",
    "MetadataFileError",
    "MetadataRow",
    "MetadataTable",
    "RowFault",
    "read_metadata_file",
    "with_meanings",
]
