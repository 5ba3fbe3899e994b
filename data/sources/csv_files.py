"""Publishers' CSV files: encodings, byte-order marks, quoted commas and newlines, and errors that name the line."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..schema import DataError


def read_csv(
    path: Path,
    columns: Sequence[str],
    *,
    encodings: Sequence[str] = ("utf-8-sig",),
    filled: int | None = None,
    verbatim: Sequence[str] = (),
) -> Iterator[tuple[int, dict[str, str]]]:
    """
    Lines and records of a CSV file with a header.

    Args:
        path: the file.
        columns: what every record is asked for; further columns are ignored.
        encodings: tried in turn.
        filled: the first so many columns must not be blank; None asks it of all.
        verbatim: columns whose values keep the spaces at their ends.

    Yields:
        The number of the record's last line and its values, stripped.

    Raises:
        DataError: if the file cannot be read or decoded, lacks a column, is not valid CSV, or a value is blank; the
            message names file, line and column.
    """
    reader = csv.DictReader(io.StringIO(_decoded(path, encodings), newline=""), strict=True)
    try:
        names = [(name or "").strip() for name in reader.fieldnames or []]
        reader.fieldnames = names
        for column in columns:
            if column not in names:
                raise DataError(f"{path}: no column {column!r}; the columns are {names}.")
        for record in reader:
            values = {column: (record[column] or "").strip() for column in columns}
            for column in columns[:filled]:
                if not values[column]:
                    raise DataError(f"{path}, line {reader.line_num}: column {column!r} is empty.")
            values |= {column: record[column] or "" for column in verbatim}
            yield reader.line_num, values
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not valid CSV ({error}).") from error


def _decoded(path: Path, encodings: Sequence[str]) -> str:
    for encoding in encodings:
        try:
            return path.read_text(encoding=encoding)
        except UnicodeDecodeError:
            continue
        except OSError as error:
            raise DataError(f"{path}: cannot read the file ({error.strerror}).") from error
    raise DataError(f"{path}: not valid text in {' or '.join(encodings)}.")


__all__ = ["read_csv"]
