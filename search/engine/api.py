"""The JSON API, version 1, over HTTP: routes for any ASGI application, and their access rules."""

import hmac
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

import anyio
from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Mount

from ... import __version__
from ..errors import SearchError, StoreError
from ..query.filters import metadata_pairs
from .api_models import (
    Failure,
    FoundSounds,
    MomentsRequest,
    SearchAddress,
    SearchRequest,
    SimilarRequest,
    Status,
)
from .docs_page import docs_page
from .resident_index import FileNotAllowedError, IndexChangedError, NotAnsweringError, ResidentIndex

MOUNTED_AT, VERSION = "/api", "/v1"
MOST_BYTES = 1_000_000
# Times as much is read of a request that is refused.
DRAINED = 20
# Number of queries answered, and of recordings embedded, at the same time; others wait.
QUESTIONS, RECORDINGS = 2, 1
STATUS_OF: Mapping[type[SearchError], int] = {
    IndexChangedError: 412,
    FileNotAllowedError: 403,
    NotAnsweringError: 503,
    StoreError: 503,
    SearchError: 400,
}
DESCRIPTION = (
    "Search the sounds of an index. Requests of other web sites are refused. Questions about files that are not in "
    "the index need the engine's token: `Authorization: Bearer TOKEN`."
)


class Access:
    """
    Permissions of a request, by its headers.

    Attributes:
        any_file: whether it may ask about files that are not in the index.
        wanted: identity of the index that it expects, or None.
    """

    def __init__(self, any_file: bool, wanted: str | None):
        self.any_file, self.wanted = any_file, wanted


def api_routes(index: ResidentIndex, token: str) -> list[BaseRoute]:
    """
    Routes of the API, its description as OpenAPI and as a page, for an application whose middleware refuses other
    web sites.

    Args:
        index: the index that answers.
        token: requests with it may ask about any file that this user can read.
    """
    return [Mount(MOUNTED_AT, app=LimitedBody(make_api(index, token), MOST_BYTES))]


def make_api(index: ResidentIndex, token: str) -> FastAPI:
    """The application of [`api_routes`]."""
    errors = {
        400: "Invalid query.",
        401: "The token is wrong.",
        403: "Another web site asks, or it is about a file outside the index and there is no token.",
        412: "The index is not the one of `If-Match`.",
        413: "The request is longer than 1 MB.",
        422: "A field is wrong.",
        503: "The index or its model cannot be read.",
    }
    api = FastAPI(
        title="Auricle",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{VERSION}/openapi.json",
        responses={status: {"model": Failure, "description": text} for status, text in errors.items()},
    )
    questions, recordings = anyio.CapacityLimiter(QUESTIONS), anyio.CapacityLimiter(RECORDINGS)
    _answer_errors(api)

    def access(
        authorization: Annotated[str | None, Header()] = None,
        if_match: Annotated[str | None, Header()] = None,
    ) -> Access:
        if authorization is not None:
            kind, _, sent = authorization.partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(sent.strip().encode(), token.encode()):
                raise HTTPException(401, "the token is wrong; it is in the engine's port file.")
        return Access(authorization is not None, None if if_match is None else if_match.strip().strip('"'))

    Asks = Annotated[Access, Depends(access)]

    async def work(limiter: anyio.CapacityLimiter, call: Callable[[], dict[str, Any]]) -> JSONResponse:
        # Waiting requests use no thread: a long recording does not delay queries.
        return JSONResponse(await anyio.to_thread.run_sync(call, limiter=limiter))

    @api.post(f"{VERSION}/search", response_model=FoundSounds)
    async def search(request: SearchRequest, asks: Asks) -> Any:
        """Find the sounds that a sentence describes, each at its best moment."""
        return await work(questions, partial(index.search, request, wanted=asks.wanted))

    @api.get(f"{VERSION}/search", response_model=FoundSounds)
    async def search_by_address(request: Annotated[SearchAddress, Query()], asks: Asks) -> Any:
        """The same, with the fields as parameters of the address; `metadata` is `NAME=VALUE`."""
        fields = request.model_dump() | {"metadata": metadata_pairs(request.metadata)}
        full = SearchRequest(**fields)
        return await work(questions, partial(index.search, full, wanted=asks.wanted))

    @api.post(f"{VERSION}/similar", response_model=FoundSounds)
    async def similar(request: SimilarRequest, asks: Asks) -> Any:
        """Find the sounds that are most similar to a recording, or to a part of it."""
        ask = partial(index.similar, request, any_file=asks.any_file, wanted=asks.wanted)
        return await work(recordings, ask)

    @api.post(f"{VERSION}/moments", response_model=FoundSounds)
    async def moments(request: MomentsRequest, asks: Asks) -> Any:
        """Find the times in a recording that a sentence describes."""
        ask = partial(index.moments, request, any_file=asks.any_file, wanted=asks.wanted)
        return await work(recordings, ask)

    @api.get(f"{VERSION}/status", response_model=Status)
    async def status(asks: Asks) -> Any:
        """The state of the engine: its index, its model and its size."""
        return await work(questions, index.status)

    page = docs_page(api.openapi(), MOUNTED_AT)

    @api.get(VERSION, include_in_schema=False)
    @api.get(f"{VERSION}/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(
            page, headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        )

    return api


class LimitedBody:
    """
    Refuses requests whose body is longer than any query.

    Args:
        app: an ASGI application.
        limit: bytes.
    """

    def __init__(self, app: Any, limit: int):
        self.app, self.limit = app, limit

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See the ASGI specification, version 3."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if not told.isdigit() or int(told) > self.limit:
            # Some clients read no response before they have sent everything.
            taken = 0
            while taken <= DRAINED * self.limit:
                message = await receive()
                taken += len(message.get("body", b""))
                if not message.get("more_body"):
                    break
            await _failure(413, f"the request is longer than {self.limit:,} bytes.")(scope, receive, send)
            return
        taken = 0

        async def receive_limited() -> Any:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.limit:
                raise HTTPException(413, f"the request is longer than {self.limit:,} bytes.")
            return message

        await self.app(scope, receive_limited, send)


def _answer_errors(api: FastAPI) -> None:
    @api.exception_handler(SearchError)
    async def refused(request: Request, error: SearchError) -> JSONResponse:
        status = next(status for kind, status in STATUS_OF.items() if isinstance(error, kind))
        return _failure(status, str(error))

    @api.exception_handler(RequestValidationError)
    @api.exception_handler(ValidationError)
    async def invalid(request: Request, error: RequestValidationError | ValidationError) -> JSONResponse:
        return _failure(422, _told(error.errors()))

    @api.exception_handler(HTTPException)
    async def by_status(request: Request, error: HTTPException) -> JSONResponse:
        told = error.detail
        if error.status_code == 404:
            told = f"{request.url.path}: there is no such address; see {MOUNTED_AT}{VERSION}."
        elif error.status_code == 405:
            told = f"{request.url.path}: takes no {request.method}; see {MOUNTED_AT}{VERSION}."
        return _failure(error.status_code, told, error.headers)

    @api.exception_handler(OSError)
    async def unreadable(request: Request, error: OSError) -> JSONResponse:
        return _failure(503, str(error))

    @api.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        # The server prints it with its traceback.
        return _failure(500, f"an error of the engine ({type(error).__name__}); see its output.")


def _failure(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error response; the message becomes one line, whatever characters it contains."""
    line = " ".join(message.encode("utf-8", "replace").decode().split())
    return JSONResponse({"error": line}, status_code=status, headers=headers)


def _told(errors: Any) -> str:
    """The first error of a request's fields, with the field and the value in front."""
    first = errors[0]
    # The first part of the location is the body or the address.
    where = ".".join(map(str, first["loc"][1:])) or "the request"
    if first["type"] == "json_invalid":
        return f"the request is not valid JSON ({first.get('ctx', {}).get('error', first['msg'])})."
    if first["type"] == "missing":
        return f"{where}: is missing."
    if first["type"] == "extra_forbidden":
        return f"{where}: not a field of this request; see {MOUNTED_AT}{VERSION}."
    if isinstance(first.get("input"), bytes):
        return "the body is not read as JSON; send the header Content-Type: application/json."
    value = json.dumps(first.get("input"), default=str)
    shown = value if len(value) <= 80 else f"{value[:77]}..."
    return f"{where}={shown}: {first['msg'][0].lower()}{first['msg'][1:]}."


__all__ = ["LimitedBody", "api_routes", "make_api"]
