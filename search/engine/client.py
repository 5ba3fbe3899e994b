"""Sends a command's query to a running engine; imports neither torch nor numpy, so that it starts at once."""

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from ..errors import SearchError
from ..query.hits import Hit
from .index_identity import index_identity
from .port_file import __version__, running_engine

PREFIX = "/api/v1"
CONNECT_SECONDS = 1.0
# A query takes milliseconds, or as long as loading the model if it is the first one; a recording of hours is
# embedded for minutes.
ANSWER_SECONDS = {"search": 60.0, "similar": 900.0, "moments": 900.0}
LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}


class EngineAnswer(NamedTuple):
    """
    Results of an engine.

    Attributes:
        hits: results, the best first.
        why_empty: reasons for an empty result, one sentence each.
        notes: further notes, one sentence each.
    """

    hits: list[Hit]
    why_empty: list[str]
    notes: list[str]


def ask_engine(
    index: str, kind: str, question: Mapping[str, Any], options: Mapping[str, Any]
) -> EngineAnswer | None:
    """
    Sends a query to the running engine of an index.

    Args:
        index: directory of the index.
        kind: "search", "similar" or "moments".
        question: fields of that request; see [`api_models`]. None means the default.
        options: options of the command, from [`engine_options`].

    Returns:
        The results that the command would find itself. None if it has to search itself: there is
        no engine, it has other options or another version, does not answer, or refuses the token or the index.

    Raises:
        SearchError: if the query is invalid.
    """
    if "://" in index:
        return None
    engine = running_engine(index)
    if engine is None or engine.version != __version__ or dict(engine.options) != dict(options):
        return None
    identity = index_identity(index)
    if identity is None:
        return None
    body = {name: value for name, value in question.items() if value is not None} | {"labels": "options"}
    headers = {
        "Authorization": f"Bearer {engine.token}",
        "Content-Type": "application/json",
        "If-Match": f'"{identity}"',
    }
    host = LOCAL.get(engine.host, engine.host.strip("[]"))
    try:
        status, answer = _post(host, engine.port, f"{PREFIX}/{kind}", body, headers, ANSWER_SECONDS[kind])
        if status == 400:
            raise SearchError(str(answer["error"]))
        if status != 200:
            return None
        return EngineAnswer(
            [_hit(row) for row in answer["results"]], list(answer["why_empty"]), list(answer["notes"])
        )
    except SearchError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _post(
    host: str, port: int, path: str, body: Mapping[str, Any], headers: Mapping[str, str], seconds: float
) -> tuple[int, Any]:
    """
    Status and JSON of the response.

    Raises:
        OSError: if no engine listens or answers.
        ValueError: if the response is not from an engine.
    """
    import http.client

    connection = http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
    try:
        connection.connect()
        connection.sock.settimeout(seconds)
        connection.request("POST", path, json.dumps(body).encode(), dict(headers))
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    except http.client.HTTPException as error:
        raise ValueError(str(error)) from error
    finally:
        connection.close()


def _hit(row: Mapping[str, Any]) -> Hit:
    values = {entry.name: row[entry.name] for entry in fields(Hit)}
    return Hit(**{**values, "tags": tuple(values["tags"])})


def absolute(path: str | os.PathLike[str] | None) -> str | None:
    """An absolute path for an engine, which has another working directory."""
    return None if path is None else os.path.abspath(path)


__all__ = ["EngineAnswer", "absolute", "ask_engine"]
