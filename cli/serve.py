"""`auricle serve`: serves a search page for an index."""

import signal
import threading
import time
import webbrowser
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from .encoder_options import TRUST_REMOTE_CODE
from .index_options import DEFAULT_INDEX, MODEL, open_index, search_errors


def serve(
    index_dir: Annotated[
        str,
        typer.Argument(
            metavar="INDEX",
            envvar="AURICLE_INDEX",
            help="Index: a directory or a URI such as s3://bucket/index.",
        ),
    ] = DEFAULT_INDEX,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Other machines cannot reach the default.")
    ] = ("127.0.0.1"),
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port to listen on. Default: the first free port from 7860."),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page, or that of the API, in a browser.")
    ] = False,
    text_tower: Annotated[
        Path | None, typer.Option(help="Exported text tower (ONNX directory), for faster queries.")
    ] = None,
    model: Annotated[str | None, MODEL] = None,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Also let agents search by MCP, at /mcp. Needs 'auricle[mcp]'.")
    ] = False,
    api_only: Annotated[
        bool,
        typer.Option(
            "--api-only", help="Serve the JSON API without the page. Needs 'auricle[engine]' alone."
        ),
    ] = False,
) -> None:
    """
    Serve a search page on this machine.

    On the page, enter a sentence or upload a recording, and listen to the results. No data leave the machine.
    The server sends only recordings that are results. Needs pip install 'auricle[app]'.

    Programs ask the same server by JSON: the page /api/v1 lists the requests. While it runs, auricle search, similar
    and moments let it answer for this index and load no model themselves.
    """
    with search_errors():
        from ..search.engine.engine import Engine
        from ..search.engine.port_file import engine_options

        options = {"text_tower": text_tower, "trust_remote_code": trust_remote_code}
        sounds = open_index(index_dir, model=model, **options)
        engine = Engine(
            lambda: open_index(index_dir, model=model, **options),
            engine_options(template=None, **options),
            index=sounds,
            mcp=mcp,
        )
        if api_only:
            from ..search.engine.server import EngineServer
            from ..search.page.hosts import check_place, host_check

            check_place(host, port)
            api = EngineServer(engine, host=host, port=port, middleware=host_check(host))
            url, close = api.url, api.close
            if open_browser:
                webbrowser.open(url)
        else:
            from ..search.page.app import serve as launch

            page = launch(sounds, host=host, port=port, open_browser=open_browser, beside=engine)
            # What visitors uploaded goes.
            url, close = page.local_url, partial(page.close, verbose=False)
        ended = _EndSignal()
        try:
            unused = engine.start(url)
            if unused:
                typer.echo(f"note: {unused}", err=True)
            typer.echo(f"{url}  (press Ctrl-C to stop)")
            number = ended.wait()
        finally:
            engine.close()
            close()
    if number == signal.SIGINT:
        typer.echo("interrupted", err=True)
    # As a shell tells of a signal.
    raise typer.Exit(128 + number)


class _EndSignal:
    """
    Remembers SIGINT or SIGTERM: raised in a callback of a library, an exception could get lost.

    Outside the main thread, where signals cannot be taken, it waits for ever.
    """

    def __init__(self) -> None:
        self._numbers: list[int] = []
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._take)

    def _take(self, number: int, frame: object) -> None:
        self._numbers.append(number)

    def wait(self) -> int:
        """The first signal that came."""
        while not self._numbers:
            time.sleep(0.2)
        return self._numbers[0]
