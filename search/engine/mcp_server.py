"""The index as tools of the Model Context Protocol (MCP), for agents: Streamable HTTP on the same server."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Annotated, Any

import anyio
from pydantic import Field
from starlette.routing import BaseRoute

from ... import __version__
from ..errors import SearchError
from .api_models import FoundSounds, MomentsRequest, SearchRequest, SimilarRequest, Status
from .resident_index import ResidentIndex

PATH = "/mcp"
INSTRUCTIONS = (
    "Search a library of sound recordings by what they sound like. Describe the sound itself in a short English "
    "sentence, such as 'rain on a tin roof'. Results are absolute paths with the start and end of the best moment in "
    "seconds; the score is a cosine similarity, the percentile is the share of common queries with a lower score."
)

Query = Annotated[str, Field(description="A short sentence that describes the sound.")]
Top = Annotated[int, Field(ge=1, le=200, description="Results at most.")]
Path = Annotated[str, Field(description="Absolute path of a recording of the index.")]
Tag = Annotated[str | None, Field(description="Only files in a folder of this name, or with this tag.")]
Glob = Annotated[str | None, Field(description="Only files whose path matches, such as '*/rain/*'.")]
License = Annotated[str | None, Field(description="Only files whose metadata name this license.")]
Metadata = Annotated[
    dict[str, str] | None,
    Field(description="Only files with these metadata entries, values by name, each compared exactly."),
]
Least = Annotated[float | None, Field(description="Only files of at least so many seconds.")]
Most = Annotated[float | None, Field(description="Only files of at most so many seconds.")]


def mcp_parts(
    index: ResidentIndex,
) -> tuple[list[BaseRoute], Callable[[], AbstractAsyncContextManager[None]]]:
    """
    Routes of the MCP server, and the context that must be open while the application runs.

    Its tools can access only files of the index.

    Args:
        index: the index that answers.

    Raises:
        ImportError: if the package `mcp` is not installed.
    """
    server = make_server(index)
    from mcp.server.transport_security import TransportSecuritySettings

    # Hosts and origins are checked by the application around it.
    checks = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app = server.streamable_http_app(
        streamable_http_path=PATH, json_response=True, stateless_http=True, transport_security=checks
    )
    return list(app.routes), server.session_manager.run


def make_server(index: ResidentIndex) -> Any:
    """
    The MCP server with its tools.

    Raises:
        ImportError: if the package `mcp` is not installed.
    """
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError as error:
        raise ImportError("--mcp needs the package mcp: pip install 'auricle[mcp]'.") from error
    from mcp_types import ToolAnnotations

    class StrictServer(MCPServer):
        """A server that refuses unknown arguments; by itself the library ignores them."""

        async def list_tools(self) -> Any:
            """The tools, whose schemas allow no other arguments."""
            tools = await super().list_tools()
            return [
                tool.model_copy(update={"input_schema": {**tool.input_schema, "additionalProperties": False}})
                for tool in tools
            ]

        async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
            """Calls a tool; raises ToolError for an argument that it does not have."""
            for tool in await self.list_tools():
                if tool.name == name:
                    known = tool.input_schema.get("properties", {})
                    unknown = [argument for argument in arguments if argument not in known]
                    if unknown:
                        accepted = ", ".join(known) or "none"
                        raise ToolError(f"{name} has no argument {unknown[0]!r}; its arguments: {accepted}.")
            return await super().call_tool(name, arguments, context)

    server = StrictServer("auricle", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING")
    reads = ToolAnnotations(readOnlyHint=True, idempotentHint=True, openWorldHint=False)
    questions, recordings = anyio.CapacityLimiter(2), anyio.CapacityLimiter(1)

    async def work(limiter: anyio.CapacityLimiter, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return await anyio.to_thread.run_sync(call, limiter=limiter)
        except (SearchError, OSError) as error:
            raise ToolError(str(error)) from error

    @server.tool(annotations=reads)
    async def search_sounds(
        query: Query,
        top: Top = 10,
        negative: Annotated[
            list[str] | None, Field(description="Sentences that should not fit, such as 'thunder'.")
        ] = None,
        tag: Tag = None,
        glob: Glob = None,
        license: License = None,
        min_duration: Least = None,
        max_duration: Most = None,
        metadata: Metadata = None,
    ) -> FoundSounds:
        """Find the recordings that a sentence describes, each at its best moment."""
        request = SearchRequest(
            query=query,
            top=top,
            negative=negative or [],
            tag=tag,
            glob=glob,
            license=license,
            min_duration=min_duration,
            max_duration=max_duration,
            metadata=metadata or {},
        )
        return FoundSounds(**await work(questions, partial(index.search, request)))

    @server.tool(annotations=reads)
    async def similar_sounds(
        path: Path,
        start: Annotated[float, Field(ge=0, description="Of the part to compare, seconds.")] = 0.0,
        end: Annotated[
            float | None, Field(description="Of that part, seconds; the end of the file if not given.")
        ] = None,
        top: Top = 10,
        tag: Tag = None,
        glob: Glob = None,
        license: License = None,
        min_duration: Least = None,
        max_duration: Most = None,
        metadata: Metadata = None,
    ) -> FoundSounds:
        """Find the recordings that sound most like one of the index, or like a part of it."""
        request = SimilarRequest(
            path=path,
            start=start,
            end=end,
            top=top,
            tag=tag,
            glob=glob,
            license=license,
            min_duration=min_duration,
            max_duration=max_duration,
            metadata=metadata or {},
        )
        return FoundSounds(**await work(recordings, partial(index.similar, request, any_file=False)))

    @server.tool(annotations=reads)
    async def find_moments(path: Path, query: Query, top: Top = 5) -> FoundSounds:
        """Find the times in a recording of the index that a sentence describes, the best first."""
        request = MomentsRequest(path=path, query=query, top=top)
        return FoundSounds(**await work(recordings, partial(index.moments, request, any_file=False)))

    @server.tool(annotations=reads)
    async def library_status() -> Status:
        """Return the number of recordings in the index and the model it was created with."""
        return Status(**await work(questions, index.status))

    return server


__all__ = ["PATH", "make_server", "mcp_parts"]
