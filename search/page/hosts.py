"""Access to a page: accepted host names, requests of other web sites, and proxies."""

import errno
import ipaddress
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from ..errors import SearchError

PROGRAMS = ("/api", "/mcp")  # beginnings of addresses that programs ask, not browsers
NAMES = ("127.0.0.1", "localhost")
PROXY_VARIABLES = ("no_proxy", "NO_PROXY")


def host_check(host: str) -> list[Any]:
    """
    Middleware that refuses requests of other web sites, and requests that name another host than this machine: a web
    site whose name points to 127.0.0.1 could otherwise read the page through the browser of its visitors
    it.

    Args:
        host: where the page listens. At an address that other machines reach, names are theirs to choose: there any
            name is accepted, and the page may be embedded in another one, as in a Space.
    """
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    own = is_loopback(host)
    checks = [Middleware(RefusalsAsJson), Middleware(OwnPagesOnly, framing=not own)]
    if own:
        allowed = list(dict.fromkeys([*NAMES, bracketed(host.lower())]))
        checks.insert(1, Middleware(TrustedHostMiddleware, allowed_hosts=allowed, www_redirect=False))
    return checks


class RefusalsAsJson:
    """
    Turns errors in plain text into the JSON form of the API, ``{"error": MESSAGE}``, for requests of programs.

    Args:
        app: an ASGI application.
    """

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See the ASGI specification, version 3."""
        if scope["type"] != "http" or not scope["path"].startswith(PROGRAMS):
            await self.app(scope, receive, send)
            return
        status = 0

        async def send_as_json(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start" and message["status"] >= 400:
                kinds = [value for name, value in message["headers"] if name.lower() == b"content-type"]
                status = message["status"] if kinds and kinds[0].startswith(b"text/plain") else 0
                if status:
                    return
            if status and message["type"] == "http.response.body":
                from starlette.responses import JSONResponse

                text, code, status = message.get("body", b"").decode(), status, 0
                await JSONResponse({"error": text}, status_code=code)(scope, receive, send)
                return
            await send(message)

        await self.app(scope, receive, send_as_json)


class OwnPagesOnly:
    """
    Refuses requests that a browser sends on behalf of another web site, including pages at other ports of this machine.

    Args:
        app: an ASGI application.
        framing: other sites may show the page within theirs.
    """

    def __init__(self, app: Any, *, framing: bool):
        self.app, self.framing = app, framing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See the ASGI specification, version 3."""
        if scope["type"] in ("http", "websocket"):
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            if is_foreign(scope.get("method", "GET"), headers, framing=self.framing):
                from starlette.responses import PlainTextResponse

                refused = PlainTextResponse("Requests of other web sites are refused.", status_code=403)
                await refused(scope, receive, send)
                return
        await self.app(scope, receive, send)


def is_foreign(method: str, headers: Mapping[str, str], *, framing: bool = False) -> bool:
    """
    Whether a browser sends a request on behalf of another origin, by its Fetch Metadata (W3C, Sec-Fetch-Site) or,
    without those, by ``Origin``. Programs that are not browsers send neither, and are not foreign.

    A link on another site may lead to the page.

    Args:
        method: HTTP method.
        headers: by name in lower case.
        framing: other sites may show the page within theirs.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        if site in ("same-origin", "none"):
            return False
        places = ("document", "iframe") if framing else ("document",)
        opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") in places
        return not (method == "GET" and opened)
    origin = headers.get("origin")
    if origin is None:
        return False
    return urlsplit(origin).netloc.lower() not in {
        headers.get(name, "").lower() for name in ("host", "x-forwarded-host")
    } - {""}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address or name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def bracketed(host: str) -> str:
    """The host as written in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def check_place(host: str, port: int | None) -> None:
    """
    Checks whether a server can listen.

    Args:
        host: address or name of this machine.
        port: None is any.

    Raises:
        SearchError: if not; the message gives the reason and the alternatives.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host.strip("[]"), port or 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SearchError(
                f"--port {port}: another program uses this port; give another, or none for the first free one from "
                "7860 on."
            ) from error
        if error.errno == errno.EACCES:
            raise SearchError(f"--port {port}: this user may not use it; give one above 1023.") from error
        raise SearchError(
            f"--host {host}: not an address of this machine ({error.strerror or error})."
        ) from error


@contextmanager
def no_proxy(host: str) -> Iterator[None]:
    """
    While it runs, requests of this process to its own page use no proxy, even if ``HTTP_PROXY`` is set.

    Args:
        host: where the page listens.
    """
    before = {name: os.environ.get(name) for name in PROXY_VARIABLES}
    own = [*NAMES, "::1", host.strip("[]")]
    for name, value in before.items():
        os.environ[name] = ",".join([*([value] if value else []), *own])
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


__all__ = [
    "OwnPagesOnly",
    "RefusalsAsJson",
    "bracketed",
    "check_place",
    "host_check",
    "is_foreign",
    "is_loopback",
    "no_proxy",
]
