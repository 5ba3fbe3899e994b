"""Queries with true moments, as JSON lines in the form of DCASE 2026 Task 6 or as CASTELLA's annotation file."""

import json
import math
import os
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

# The published files round times to whole seconds, so that a moment may end up to a second after the sound.
ROUNDING_SECONDS = 1.0


class MomentFileError(ValueError):
    """A file of moments that cannot be used; the message names the file, the line and the value."""


class MomentQuery(NamedTuple):
    """
    One query and where it is right.

    Attributes:
        qid: identifier, unique in a file.
        query: the sentence.
        vid: the recording: a file name without its ending.
        duration: of the recording, in seconds.
        moments: true spans ``((start, end), ...)`` in seconds, in the order of the file.
    """

    qid: str
    query: str
    vid: str
    duration: float
    moments: tuple[tuple[float, float], ...]


class MomentQueries(NamedTuple):
    """Queries of a file, and what a reader should know of it."""

    queries: tuple[MomentQuery, ...]
    remarks: tuple[str, ...]


def read_moment_queries(path: str | os.PathLike[str], *, faults: list[str] | None = None) -> MomentQueries:
    """
    Reads queries with true moments.

    Two forms are read. JSON lines, one object a query with ``qid``, ``query``, ``vid``, ``duration`` (seconds)
    and ``relevant_windows``, a list of ``[start, end]`` in seconds: the form of DCASE 2026 Task 6, which
    CASTELLA and Clotho-Moment are published in. And CASTELLA's own annotation file (``.json``): a list of
    recordings with ``yid``, ``duration`` and ``moments`` of ``local_caption`` and ``timestamps``; a query's
    ``qid`` then is ``{yid}_{place}``, counted from 1.

    Times are kept as written. A moment may end up to one second after the recording, since the published
    files round times to seconds; how many do is a remark, and so is how many true moments are listed twice or
    overlap another one of their query.

    Args:
        path: of the file.
        faults: if given, what is wrong with a query is added to it and the query skipped; otherwise it is raised.

    Raises:
        MomentFileError: if the file is missing, empty or not in one of the forms; for a query without a
            moment, a moment that is reversed, of length zero, not finite or outside the recording, a
            ``duration`` that is not positive, and a ``qid`` that occurs twice.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        records = _castella_records(path)
    else:
        records = read_json_lines(path)
    queries, behind, twice, overlapping, known = [], 0, 0, 0, {}
    for place, record in records:
        try:
            query = _query_of(place, record)
            if query.qid in known:
                raise MomentFileError(
                    f"{place}: qid {query.qid!r} occurs a second time (first: {known[query.qid]})."
                )
        except MomentFileError as error:
            if faults is None:
                raise
            faults.append(str(error))
            continue
        known[query.qid] = place
        behind += sum(end > query.duration for _, end in query.moments)
        own = sorted(set(query.moments))
        twice += len(query.moments) - len(own)
        latest = list(accumulate((end for _, end in own), max))
        overlapping += sum(start < end for end, (start, _) in zip(latest, own[1:], strict=False))
        queries.append(query)
    if not queries and not faults:
        raise MomentFileError(f"{path}: contains no queries.")
    remarks = []
    if behind:
        remarks.append(
            f"{path}: {behind} true moments end up to one second after their recording (rounding)."
        )
    if twice:
        remarks.append(
            f"{path}: {twice} true moments are listed twice; each counts as often as it is listed."
        )
    if overlapping:
        remarks.append(
            f"{path}: {overlapping} true moments overlap an earlier one of their query; each counts as a moment of "
            "its own."
        )
    return MomentQueries(tuple(queries), tuple(remarks))


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """
    The objects of a file of JSON lines with their places, such as ``file.jsonl, line 3``. Empty lines are skipped.

    Raises:
        MomentFileError: if the file cannot be read, or a line is not a JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MomentFileError(f"{path}: cannot be read ({error}).") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except RecursionError as error:
            raise MomentFileError(f"{place}: is nested too deeply for a JSON object of a query.") from error
        except ValueError as error:
            raise MomentFileError(f"{place}: is not valid JSON ({error}).") from error
        if not isinstance(record, dict):
            raise MomentFileError(f"{place}: must be a JSON object, but is {_kind(record)}.")
        yield place, record


def checked_span(
    place: str, name: str, value: Any, duration: float, *, latest_start: float | None = None
) -> tuple[float, float]:
    """
    Start and end of a span that is in a recording of ``duration`` seconds.

    Args:
        place: file and line, for messages.
        name: what the span is, for messages.
        value: as it was read.
        duration: of the recording, seconds.
        latest_start: seconds before which the span has to start; the duration if not given.

    Raises:
        MomentFileError: if it is reversed, of length zero, not finite, or outside the recording by more than
            the rounding of the published files.
    """
    if (
        not isinstance(value, list | tuple)
        or len(value) < 2
        or not all(_is_number(part) for part in value[:2])
    ):
        raise MomentFileError(f"{place}: {name} {value!r} must be [start, end] in seconds.")
    start, end = as_float(value[0]), as_float(value[1])
    if not (math.isfinite(start) and math.isfinite(end)):
        raise MomentFileError(f"{place}: {name} [{start:g}, {end:g}] is not finite.")
    if end <= start:
        fault = "has length zero" if end == start else "ends before it starts"
        raise MomentFileError(f"{place}: {name} [{start:g}, {end:g}] {fault}.")
    if (
        start < 0
        or start >= (duration if latest_start is None else latest_start)
        or end > duration + ROUNDING_SECONDS
    ):
        raise MomentFileError(
            f"{place}: {name} [{start:g}, {end:g}] is outside the recording of {duration:g} s."
        )
    return start, end


def _query_of(place: str, record: dict[str, Any]) -> MomentQuery:
    for name in ("qid", "query", "vid", "duration", "relevant_windows"):
        if name not in record:
            raise MomentFileError(f"{place}: {name!r} is missing.")
    qid, query, vid = record["qid"], record["query"], record["vid"]
    if isinstance(qid, int) and not isinstance(qid, bool):
        qid = str(qid)
    for name, value in (("qid", qid), ("query", query), ("vid", vid)):
        if not isinstance(value, str) or not value.strip():
            raise MomentFileError(f"{place}: {name} {value!r} must be text that is not empty.")
    duration = record["duration"]
    if not _is_number(duration) or not math.isfinite(as_float(duration)) or duration <= 0:
        raise MomentFileError(
            f"{place}: duration {_shortened(duration)} must be a number of seconds above 0."
        )
    windows = record["relevant_windows"]
    if not isinstance(windows, list):
        raise MomentFileError(f"{place}: relevant_windows {windows!r} must be a list of [start, end].")
    if not windows:
        raise MomentFileError(f"{place}: query {qid!r} has no true moment; relevant_windows is empty.")
    moments = tuple(checked_span(place, "the moment", window, float(duration)) for window in windows)
    return MomentQuery(qid, query, vid, float(duration), moments)


def _castella_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        recordings = json.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise MomentFileError(f"{path}: is nested too deeply for an annotation file.") from error
    except OSError as error:
        raise MomentFileError(f"{path}: cannot be read ({error}).") from error
    except ValueError as error:
        raise MomentFileError(f"{path}: is not valid JSON ({error}).") from error
    if not isinstance(recordings, list):
        raise MomentFileError(f"{path}: must be a list of recordings, as CASTELLA's annotation files are.")
    for number, recording in enumerate(recordings, start=1):
        place = f"{path}, recording {number}"
        if not isinstance(recording, dict) or not {"yid", "duration", "moments"} <= recording.keys():
            raise MomentFileError(f"{place}: must have yid, duration and moments.")
        if not isinstance(recording["moments"], list):
            raise MomentFileError(f"{place}: moments {recording['moments']!r} must be a list.")
        for count, moment in enumerate(recording["moments"], start=1):
            if not isinstance(moment, dict) or not {"local_caption", "timestamps"} <= moment.keys():
                raise MomentFileError(f"{place}, moment {count}: must have local_caption and timestamps.")
            yield (
                f"{place}, moment {count}",
                {
                    "qid": f"{recording['yid']}_{count}",
                    "query": moment["local_caption"],
                    "vid": recording["yid"],
                    "duration": recording["duration"],
                    "relevant_windows": moment["timestamps"],
                },
            )


def as_float(value: float) -> float:
    """A number as a float; integers that are too large for one are infinite, as ``1e999`` is in JSON."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _shortened(value: Any, most: int = 60) -> str:
    told = repr(value)
    return told if len(told) <= most else f"{told[:most]}..."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", type(None): "null"}.get(type(value), type(value).__name__)


__all__ = [
    "ROUNDING_SECONDS",
    "MomentFileError",
    "MomentQueries",
    "MomentQuery",
    "as_float",
    "checked_span",
    "read_json_lines",
    "read_moment_queries",
]
