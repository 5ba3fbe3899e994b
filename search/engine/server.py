"""An engine's own server, without a page."""

import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..errors import SearchError
from .engine import Engine

FIRST_PORT, LAST_PORT = 7860, 7959
START_SECONDS = 30.0
DOCS = "/api/v1"


class EngineServer:
    """
    Serves an engine in a thread, until [`close`].

    Args:
        engine: the engine.
        host: address to listen at.
        port: None takes the first free one from 7860 on.
        middleware: access checks before all routes.

    Raises:
        SearchError: if it cannot listen there.
    """

    def __init__(self, engine: Engine, *, host: str, port: int | None, middleware: Sequence[Any]):
        import uvicorn
        from starlette.applications import Starlette
        from starlette.responses import RedirectResponse
        from starlette.routing import Route

        async def home(request: Any) -> RedirectResponse:
            return RedirectResponse(DOCS)

        app = Starlette(
            routes=[*engine.routes, Route("/", home)], middleware=list(middleware), lifespan=engine.lifespan
        )
        self._socket = _listening(host, port)
        named = f"[{host.strip('[]')}]" if ":" in host else host
        self.url = f"http://{named}:{self._socket.getsockname()[1]}/"
        # Signals are the command's.
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self._thread.start()
        until = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                self.close()
                raise SearchError(f"--host {host}: the server did not start.")
            time.sleep(0.01)

    def close(self) -> None:
        """Stops the server; requests in progress have a few seconds."""
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.close()


def _listening(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    ports = range(FIRST_PORT, LAST_PORT + 1) if port is None else [port]
    told = ""
    for number in ports:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host.strip("[]"), number))
            # Until one of them listens, two processes may bind the same port.
            listening.listen(128)
            return listening
        except OSError as error:
            told = error.strerror or str(error)
            with suppress(OSError):
                listening.close()
    raise SearchError(f"--port {ports[0]}: cannot listen at {host} ({told}).")


__all__ = ["EngineServer"]
