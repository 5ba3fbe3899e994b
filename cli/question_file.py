"""`auricle search --from`: the queries of a file, answered together."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from .failures import one_line, reader_may_leave
from .index_options import NO_RESULTS, show_rows

if TYPE_CHECKING:
    from ..search.sound_index import SoundIndex

NAMED_LINES = 10


class QuestionFile(NamedTuple):
    """
    Attributes:
        lines: numbers of the lines with a query, from 1.
        questions: theirs.
        empty: numbers of the lines without a query.
    """

    lines: list[int]
    questions: list[str]
    empty: list[int]


def read_questions(path: Path) -> QuestionFile:
    """
    Reads one query per line (UTF-8); "-" is the standard input.

    Raises:
        SearchError: for a file that cannot be read, is not UTF-8, or contains no query.
    """
    from ..search.errors import SearchError

    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise SearchError(f"--from {path}: cannot be read: {error.strerror or error}.") from error
    # A query may contain other characters that Unicode defines as line ends.
    rows = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
    found = QuestionFile([], [], [])
    for number, row in enumerate(rows if content else [], start=1):
        try:
            text = row.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise SearchError(
                f"--from {path}: line {number} is not UTF-8 (byte {row[error.start]:#04x}); save the file as UTF-8."
            ) from error
        if text:
            found.lines.append(number)
            found.questions.append(text)
        else:
            found.empty.append(number)
    if not found.questions:
        raise SearchError(f"--from {path}: the file has no queries; write one per line.")
    return found


def answer_file(
    sounds: "SoundIndex",
    path: Path,
    options: Mapping[str, Any],
    *,
    as_json: bool,
    export: Path | None,
) -> None:
    """
    Prints the results of every query of a file, and reports empty and invalid lines.

    Args:
        sounds: the index.
        path: path of the file.
        options: options of [`SoundIndex.search_many`].
        as_json: print one line of JSON a query: ``line``, ``query``, ``results``, perhaps ``error``.
        export: also write all answers to this ``.csv`` or ``.jsonl`` file; or None.

    Raises:
        SearchError: for a file that cannot be used, an unknown extension of the export, or no valid query.
        typer.Exit: with code `NO_RESULTS` if no query has results.
    """
    from tqdm.auto import tqdm

    from ..search.errors import SearchError

    if export is not None and export.suffix.lower() not in (".csv", ".jsonl"):
        raise SearchError(f"--export {export}: with --from, the extension must be .csv or .jsonl.")
    asked = read_questions(path)
    errors: dict[int, str] = {}
    answers = sounds.search_many(
        asked.questions, **options, on_error=lambda place, error: errors.update({place: str(error)})
    )
    rows, with_results = [], 0
    bar = tqdm(answers, desc="questions", total=len(asked.questions), disable=None)
    with reader_may_leave():
        for place, hits in enumerate(bar):
            line, query, error = asked.lines[place], asked.questions[place], errors.get(place)
            with_results += bool(hits)
            row = {"line": line, "query": query, "results": [asdict(hit) for hit in hits]}
            row |= {} if error is None else {"error": error}
            if export is not None:
                rows.append(row)
            if as_json:
                typer.echo(_as_line(row, sys.stdout.encoding or "utf-8"))
            else:
                typer.echo(one_line(f"{line}: {query}"))
                if error is not None or not hits:
                    typer.echo(one_line(f"     {error or 'no results'}"))
                show_rows(hits)
    if export is not None:
        _write(export, rows)
    _report(asked, errors, with_results)
    if len(errors) == len(asked.questions):
        raise SearchError(f"--from {path}: none of the queries is valid.")
    if not with_results:
        raise typer.Exit(NO_RESULTS)


def _as_line(row: Mapping[str, Any], encoding: str = "utf-8") -> str:
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(row)
    return text


def _write(export: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    from ..search.exports import write_answer_table

    if export.suffix.lower() == ".jsonl":
        with open(export, "w", encoding="utf-8") as file:
            file.writelines(f"{_as_line(row)}\n" for row in rows)
    else:
        write_answer_table(export, list(_table(rows)))


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        for rank, hit in enumerate(row["results"], start=1):
            yield {"line": row["line"], "query": row["query"], "rank": rank, **hit}


def _report(asked: QuestionFile, errors: Mapping[int, str], with_results: int) -> None:
    count = len(asked.questions)
    typer.echo(f"{count:,} queries, {with_results:,} with results", err=True)
    if asked.empty:
        typer.echo(f"{len(asked.empty):,} empty lines skipped: {_numbers(asked.empty)}", err=True)
    if errors:
        reasons = dict.fromkeys(errors.values())
        numbers = _numbers([asked.lines[place] for place in errors])
        told = f"{len(errors):,} queries are not valid: lines {numbers}: {next(iter(reasons))}"
        typer.echo(one_line(told), err=True)


def _numbers(lines: Sequence[int]) -> str:
    more = len(lines) - NAMED_LINES
    return ", ".join(map(str, lines[:NAMED_LINES])) + (f" and {more:,} more" if more > 0 else "")


__all__ = ["QuestionFile", "answer_file", "read_questions"]
