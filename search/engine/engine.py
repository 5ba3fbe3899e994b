"""A resident engine: its routes for a server, and its registration for commands."""

import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from ..errors import SearchError
from ..sound_index import SoundIndex
from .port_file import EngineAddress, EngineRegistration, new_token
from .resident_index import ResidentIndex


class Engine:
    """
    Answers programs from an index that stays open.

    Args:
        open_index: opens the index; called again after the index was rebuilt at the same path.
        options: settings that affect results besides the index; see [`engine_options`].
        index: the open index, or None.
        mcp: also speak the Model Context Protocol.

    Raises:
        ImportError: if FastAPI is not installed, or ``mcp`` is given and its package is not installed.
    """

    def __init__(
        self,
        open_index: Callable[[], SoundIndex],
        options: Mapping[str, Any],
        *,
        index: SoundIndex | None = None,
        mcp: bool = False,
    ):
        try:
            from .api import api_routes
        except ModuleNotFoundError as error:
            raise ImportError("the JSON API needs FastAPI: pip install 'auricle[engine]'.") from error
        self.resident = ResidentIndex(open_index, index)
        self.directory = os.fspath((index or self.resident.current()).directory)
        self._options, self._token = dict(options), new_token()
        self._registration: EngineRegistration | None = None
        self.routes = api_routes(self.resident, self._token)
        self._contexts: list[Callable[[], Any]] = []
        if mcp:
            from .mcp_server import mcp_parts

            routes, running = mcp_parts(self.resident)
            self.routes += routes
            self._contexts.append(running)

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """The lifespan context for the application with these routes."""
        async with AsyncExitStack() as stack:
            for running in self._contexts:
                await stack.enter_async_context(running())
            yield

    def start(self, url: str) -> str:
        """
        Makes the engine known to the user's commands and loads the model in the background.

        Args:
            url: address of the server with its routes.

        Returns:
            Why commands cannot use it, in one line; empty if they can.
        """
        threading.Thread(target=self.resident.warm_up, daemon=True).start()
        if "://" in self.directory:
            return "commands do not use the engine of an index in an object store."
        place = urlsplit(url)
        try:
            self._registration = EngineRegistration(self.directory)
            self._registration.publish(
                EngineAddress(
                    host=place.hostname or "127.0.0.1",
                    port=place.port or 80,
                    pid=os.getpid(),
                    token=self._token,
                    index=self._registration.index,
                    options=self._options,
                )
            )
        except SearchError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Removes the registration, so that commands no longer find it."""
        if self._registration is not None:
            self._registration.close()


__all__ = ["Engine"]
