"""Identifies the columns of a captioned folder's metadata, and reads the captions of a row."""

import difflib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

from ...files.file_names import folded
from ...files.metadata_files import MetadataRow
from ..schema import SCHEMA, DataError

_SETTING = "set caption_column (of a recipe: data.folder.caption_column)"
NUMBERED_CAPTION = re.compile(r"caption_(\d+)")


class RowError(ValueError):
    """The fault of one row, without file and line."""


def convert_numbers(name: str, records: Sequence[MetadataRow]) -> None:
    """Turn a column of digits into numbers, unless that would lose something, as with `007`."""
    if name in {"file_name", "split", "license"} or name.startswith("caption"):
        return
    cells = [record.values[name] for record in records if record.values[name] is not None]
    for kind in (int, float):
        try:
            numbers = [kind(cell) for cell in cells]
        except ValueError:
            continue
        fits = all(abs(number) < 2**63 if kind is int else math.isfinite(number) for number in numbers)
        padded = any(re.match(r"\s*[-+]?0\d|.*_", cell) for cell in cells)
        if fits and not padded:
            for record in records:
                if record.values[name] is not None:
                    record.values[name] = kind(record.values[name])
            return


def find_caption_columns(metadata: Path, columns: list[str], asked: str | None) -> list[str]:
    """
    The columns that captions are taken from, in their order.

    Raises:
        DataError: if there is no caption column, or several with different forms.
    """
    if asked is not None:
        fitting = [name for name in columns if folded(name) == folded(asked)]
        if not fitting:
            raise DataError(f"{metadata}: no column {asked!r}; {column_hint(columns, asked)}")
        return [asked if asked in fitting else fitting[0]]
    numbered = [name for name in columns if NUMBERED_CAPTION.fullmatch(name)]
    numbered.sort(key=lambda name: int(name.removeprefix("caption_")))
    forms = [form for form in (["caption"], ["captions"], numbered) if form and set(form) <= set(columns)]
    if not forms:
        raise DataError(
            f"{metadata}: no column 'caption', 'caption_1', 'caption_2', ... or 'captions'; "
            f"{column_hint(columns, 'caption', rename=True)}; to use another column, {_SETTING}"
        )
    if len(forms) > 1:
        raise DataError(
            f"{metadata}: several caption columns {[form[0] for form in forms]}; choose one: {_SETTING}"
        )
    return forms[0]


def column_hint(columns: list[str], wanted: str, *, rename: bool = False) -> str:
    """
    The columns that there are and, if one is nearly the wanted one, its name: the end of a message.

    Args:
        columns: of the metadata.
        wanted: the name that is missing.
        rename: the name is fixed, so the column must be renamed.
    """
    lowered = {name.lower(): name for name in columns}
    near = difflib.get_close_matches(wanted.lower(), lowered, n=1, cutoff=0.5)
    if not near:
        return f"the columns are {columns}"
    found = lowered[near[0]]
    hint = f"rename the column {found!r} to {wanted!r}" if rename else f"did you mean {found!r}?"
    return f"the columns are {columns}; {hint}"


def carried_columns(metadata: Path, columns: list[str], caption_columns: list[str]) -> dict[str, str]:
    """Metadata column -> table column, for the columns without their own meaning."""
    used = {"file_name", "split", "license", *caption_columns}
    renamed = {name: f"metadata_{name}" if name in SCHEMA else name for name in columns if name not in used}
    clashing = sorted(name for name in renamed.values() if list(renamed.values()).count(name) > 1)
    if clashing or "" in renamed:
        raise DataError(f"{metadata}: columns {clashing or ['']} have reserved names; rename or remove them")
    return renamed


def captions_of(row: MetadataRow, caption_columns: list[str]) -> list[str]:
    """
    Raises:
        RowError: for an invalid value, or if there is no caption.
    """
    captions: list[str] = []
    for name in caption_columns:
        value = row.values.get(name)
        if name == "captions" and isinstance(value, str):
            try:
                value = json.loads(value)
            except json.JSONDecodeError:
                value = None
            if not isinstance(value, list):
                raise RowError('captions must be a JSON list such as ["one", "two"]')
        given = value if isinstance(value, list) else [value]
        for index, caption in enumerate(given):
            item = f"{name}[{index}]" if isinstance(value, list) else name
            if caption is not None and not isinstance(caption, str):
                raise RowError(f"{item} is {caption!r}, but must be a string")
            if caption is not None and caption.strip():
                captions.append(caption.strip())
            elif isinstance(value, list):
                raise RowError(f"{item} is empty, but must be a non-empty string")
    if not captions:
        raise RowError(f"{' and '.join(caption_columns)} empty; every clip needs a caption")
    return captions


__all__ = [
    "NUMBERED_CAPTION",
    "RowError",
    "captions_of",
    "carried_columns",
    "column_hint",
    "convert_numbers",
    "find_caption_columns",
]
