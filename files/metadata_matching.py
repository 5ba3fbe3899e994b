"""Matches rows of a metadata file to audio files, and reports the others."""

from dataclasses import dataclass, field

from .file_names import NameMatch, NameTable, composed
from .metadata_files import MetadataRow, MetadataTable, RowFault

_HOW = ("same", "form", "case", "blanks")


@dataclass
class MatchedRows:
    """
    The rows of one metadata file.

    Attributes:
        by_name: the row of each file, by the file's stored name.
        unmatched: rows that speak of no file.
        repeated: called with rows that another row, better or later, replaces.
        unclear: called with rows that match several files equally well, and these files.
        loose: called with rows that are used, but differ from the file's name in case or blanks.
    """

    by_name: dict[str, MetadataRow] = field(default_factory=dict)
    unmatched: list[MetadataRow] = field(default_factory=list)
    repeated: list[RowFault] = field(default_factory=list)
    unclear: list[tuple[RowFault, tuple[str, ...]]] = field(default_factory=list)
    loose: list[RowFault] = field(default_factory=list)


def match_rows(table: MetadataTable, names: NameTable, folder: str = "") -> MatchedRows:
    """
    Finds the file of every row; see [`NameTable`] for the rule.

    Of rows that speak of one file the one whose name fits best counts, and of those the last.

    Args:
        table: the rows.
        names: names of the existing files.
        folder: that the rows' names are relative to.
    """
    found = MatchedRows()
    # How a name fits is kept where it is not the file's own, which it nearly always is.
    inexact: dict[str, NameMatch] = {}
    absent: dict[str, MetadataRow] = {}
    for row in table.rows:
        match = names.find(row.name, folder)
        if match is None:
            before = absent.get(composed(row.name))
            if before is not None:
                found.repeated.append(_repeated(table, before, row))
            absent[composed(row.name)] = row
        elif len(match.names) > 1:
            fault = RowFault(
                table.file,
                row.line,
                f"{row.name!r} fits {', '.join(map(repr, _short(match.names, folder)))} equally well, and none exactly",
                name=row.name,
            )
            found.unclear.append((fault, match.names))
        else:
            (name,) = match.names
            other = found.by_name.get(name)
            if other is not None:
                before = inexact[name].how if name in inexact else "same"
                if _HOW.index(match.how) > _HOW.index(before):
                    found.repeated.append(_repeated(table, row, other))
                    continue
                found.repeated.append(_repeated(table, other, row))
            found.by_name[name] = row
            inexact.pop(name, None)
            if match.how != "same":
                inexact[name] = match
    found.unmatched = list(absent.values())
    for name, row in found.by_name.items():
        match = inexact.get(name)
        if match is not None and not match.is_certain:
            (shown,) = _short([name], folder)
            found.loose.append(RowFault(table.file, row.line, match.told(row.name, shown), used=True))
    return found


def _repeated(table: MetadataTable, row: MetadataRow, counting: MetadataRow) -> RowFault:
    first, second = sorted((row.line, counting.line))
    reason = f"lines {first} and {second} name the same file, {row.name!r}; line {counting.line} counts"
    return RowFault(table.file, row.line, reason, name=row.name)


def _short(names: tuple[str, ...] | list[str], folder: str) -> list[str]:
    start = f"{folder}/"
    return [name.removeprefix(start) if folder else name for name in names]


__all__ = ["MatchedRows", "match_rows"]
