"""Right answers from an annotation file: which clips fit which queries."""

import ast
import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from datasets import Dataset

from ..data.schema import unique_clips
from .protocol import relevance_by_value


class RelevanceError(ValueError):
    """A relevance file that cannot be used, or that names clips or queries that are not there."""


def read_relevance(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """
    Reads relevance annotations in the form of DCASE 2025 Task 6.

    A CSV file with the columns ``query``, a caption, and ``audio_filenames``, a list of file names in brackets and
    quotes.

    Returns:
        File names by query, in the file's order.

    Raises:
        RelevanceError: naming the line: a column is missing, a query is empty or occurs twice, or the file
            names are not a list of at least one string, or contain one twice.
    """
    path = Path(path)
    found: dict[str, list[str]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            for column in ("query", "audio_filenames"):
                if column not in (reader.fieldnames or []):
                    raise RelevanceError(
                        f"{path}: has no column {column!r}; its columns are {reader.fieldnames}."
                    )
            for record in reader:
                where = f"{path}, line {reader.line_num}"
                query = (record["query"] or "").strip()
                if not query:
                    raise RelevanceError(f"{where}: the query is empty.")
                if query in found:
                    raise RelevanceError(f"{where}: the query {query!r} occurs twice.")
                found[query] = _file_names(record["audio_filenames"] or "", where)
    except OSError as error:
        raise RelevanceError(f"{path}: cannot be read ({error.strerror}).") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise RelevanceError(f"{path}: is not a CSV file in UTF-8 ({error}).") from error
    if not found:
        raise RelevanceError(f"{path}: contains no query.")
    return found


def match_relevance(
    annotations: Mapping[str, Sequence[str]], captions: Sequence[str], clip_ids: Sequence[str]
) -> dict[int, list[int]]:
    """
    Finds annotated queries and clips in a split.

    Queries are compared with captions letter by letter, but for white space at both ends; file names with the last
    part of clip ids, ``<source>/<split>/<file name>``.

    Args:
        annotations: file names by query.
        captions: the split's queries; of equal ones the first is taken.
        clip_ids: the split's clips.

    Returns:
        For each annotated query its place among ``captions`` and the rising places of its clips among ``clip_ids``.

    Raises:
        RelevanceError: naming the first query that is not a caption of the split, or the first clip that is not in
            the split.
    """
    place_of_query: dict[str, int] = {}
    for place, caption in enumerate(captions):
        place_of_query.setdefault(caption.strip(), place)
    place_of_clip = {PurePosixPath(clip_id).name: place for place, clip_id in enumerate(clip_ids)}
    matched: dict[int, list[int]] = {}
    for query, names in annotations.items():
        if query not in place_of_query:
            raise RelevanceError(
                f"the relevance annotations name the query {query!r}, which is not among the {len(captions)} "
                "captions."
            )
        for name in names:
            if name not in place_of_clip:
                raise RelevanceError(
                    f"query {query!r}: the relevance annotations name the clip {name!r}, which is not among the "
                    f"{len(clip_ids)} clips."
                )
        matched[place_of_query[query]] = sorted(place_of_clip[name] for name in names)
    return matched


def relevant_clips(
    table: Dataset,
    queries: Sequence[str],
    clip_ids: Sequence[str],
    *,
    file: str | os.PathLike[str] | None = None,
    column: str | None = None,
) -> dict[int, list[int]] | None:
    """
    The multiple annotations of a split, from an annotation file or from a column of its table.

    Args:
        table: the split.
        queries: its captions.
        clip_ids: its distinct clips.
        file: as [`read_relevance`] takes it.
        column: such as a class: all clips with the same value are relevant. Equal sentences with one value are one
            query.

    Returns:
        By place of a query the places of its right clips; None without a file and without a column.

    Raises:
        RelevanceError: if both are given, the table has no such column, or as [`read_relevance`] and
            [`match_relevance`].
    """
    if file and column:
        raise RelevanceError("--relevance and --relevance-column cannot be combined; give one of them.")
    if file:
        return match_relevance(read_relevance(file), queries, clip_ids)
    if column is None:
        return None
    if column not in table.column_names:
        raise RelevanceError(
            f"--relevance-column {column!r}: no such column; the columns are {table.column_names}."
        )
    groups = list(table[column])
    relevant = relevance_by_value(groups, list(unique_clips(table)[column]))
    first: dict[tuple[str, Any], int] = {}
    for query, pair in enumerate(zip(queries, groups, strict=True)):
        first.setdefault(pair, query)
    return {query: relevant[query] for query in sorted(first.values())}


def check_relevance(
    table: Dataset, *, file: str | os.PathLike[str] | None = None, column: str | None = None
) -> None:
    """
    Checks annotations against a split before anything is embedded.

    Args:
        table: the split.
        file, column: as of [`relevant_clips`].

    Raises:
        RelevanceError: as [`relevant_clips`].
    """
    relevant_clips(
        table, list(table["caption"]), list(unique_clips(table)["clip_id"]), file=file, column=column
    )


def _file_names(text: str, where: str) -> list[str]:
    try:
        # Reads a list written as a Python literal; nothing in it is run.
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise RelevanceError(
            f"{where}: audio_filenames must be a list such as ['a.wav', 'b.wav'] (got {text[:80]!r})."
        )
    for name in names:
        if names.count(name) > 1:
            raise RelevanceError(f"{where}: audio_filenames contains {name!r} twice.")
    return names


__all__ = ["RelevanceError", "check_relevance", "match_relevance", "read_relevance", "relevant_clips"]
