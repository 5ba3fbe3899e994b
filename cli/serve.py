"""`auricle serve`: serves a search page for an index."""

import signal
import threading
import time
import webbrowser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .encoder_options import TRUST_REMOTE_CODE
from .failures import one_line
from .first_index import index_of, new_index
from .index_options import DEFAULT_INDEX, MODEL, open_index, search_errors
from .text_towers import TEXT_TOWER, text_tower_of

if TYPE_CHECKING:
    from ..search.page.first_run import NewIndex


def serve(
    index_dir: Annotated[
        str,
        typer.Argument(
            metavar="INDEX",
            envvar="AURICLE_INDEX",
            help="Index: a directory or a URI such as s3://bucket/index; or a folder of recordings, whose index is "
            "next to it and ends in .auricle.",
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
        bool, typer.Option("--open", help="Open the page, or the description of the API, in a browser.")
    ] = False,
    text_tower: Annotated[Path | None, TEXT_TOWER] = None,
    model: Annotated[str | None, MODEL] = None,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Also let agents search by MCP, at /mcp. Needs 'auricle[mcp]'.")
    ] = False,
    api_only: Annotated[
        bool,
        typer.Option("--api-only", help="Serve the JSON API without the page. Needs only 'auricle[engine]'."),
    ] = False,
) -> None:
    """
    Serve a search page on this machine.

    On the page, enter a sentence or upload a recording, and listen to the results. No data leave the machine.
    The server sends only recordings that are results. If there is no index yet, the page offers to index a folder, at
    addresses that only this machine reaches. Needs pip install 'auricle[app]'.

    Programs send JSON requests to the same server; /api/v1 lists them. While it runs, auricle search, similar
    and moments use it for this index and load no model themselves.
    """
    with search_errors():
        from ..search.page.hosts import is_loopback

        if text_tower is None and is_loopback(host) and not (api_only or mcp):
            new = new_index(index_dir, model, trust_remote_code=trust_remote_code)
            if new is not None:
                _serve_without_index(new, host=host, port=port, open_browser=open_browser)
        from ..search.engine.engine import Engine
        from ..search.engine.port_file import engine_options

        place = index_of(index_dir)
        chosen = text_tower_of(place, text_tower, model)
        options = {"text_tower": chosen, "trust_remote_code": trust_remote_code}
        sounds = open_index(place, model=model, **options)
        engine = Engine(
            lambda: open_index(place, model=model, **options),
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
    _exit(number)


def _serve_without_index(new: "NewIndex", **place: Any) -> None:
    """Serves the page that offers to index a folder; programs are answered once it is started with an index."""
    from ..search.page.app import serve as launch

    page = launch(None, new=new, **place)
    ended = _EndSignal()
    try:
        missing = Path(new.directory).absolute()
        typer.echo(
            one_line(f"{missing}: no index exists yet; the page offers to create one from a folder."),
            err=True,
        )
        typer.echo(f"{page.local_url}  (press Ctrl-C to stop)")
        number = ended.wait()
    finally:
        page.close(verbose=False)
    _exit(number)


def _exit(number: int) -> None:
    if number == signal.SIGINT:
        typer.echo("interrupted", err=True)
    # The exit code of a shell for a signal.
    raise typer.Exit(128 + number)


class _EndSignal:
    """
    Remembers SIGINT or SIGTERM: raised in a callback of a library, an exception could get lost.

    Outside the main thread, which cannot receive signals, it waits forever.
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
