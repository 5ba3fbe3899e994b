"""`auricle serve`: serves a search page for an index."""

import signal
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from .encoder_options import TRUST_REMOTE_CODE
from .first_index import index_of, new_index
from .index_options import DEFAULT_INDEX, MODEL, open_index, search_errors


def serve(
    index_dir: Annotated[
        str,
        typer.Argument(
            metavar="INDEX",
            envvar="AURICLE_INDEX",
            help="Index: a directory or a URI such as s3://bucket/index; or a folder of recordings, whose index lies "
            "beside it and ends in .auricle.",
        ),
    ] = DEFAULT_INDEX,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Other machines cannot reach the default.")
    ] = ("127.0.0.1"),
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port to listen on. Default: the first free port from 7860."),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    text_tower: Annotated[
        Path | None, typer.Option(help="Exported text tower (ONNX directory), for faster queries.")
    ] = None,
    model: Annotated[str | None, MODEL] = None,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
) -> None:
    """
    Serve a search page on this machine.

    On the page, enter a sentence or upload a recording, and listen to the results. No data leave the machine.
    The server sends only recordings that are results. If there is no index yet, the page offers to index a folder, at
    addresses that only this machine reaches. Needs pip install 'auricle[app]'.
    """
    with search_errors():
        from ..search.page.app import serve as launch
        from ..search.page.hosts import is_loopback

        new = None
        if text_tower is None and is_loopback(host):
            new = new_index(index_dir, model, trust_remote_code=trust_remote_code)
        if new is None:
            place = index_of(index_dir)
            sounds = open_index(place, text_tower, model=model, trust_remote_code=trust_remote_code)
        else:
            sounds = None
            typer.echo(
                f"{new.directory}: there is no index yet; the page offers to index a folder.", err=True
            )
        page = launch(sounds, host=host, port=port, open_browser=open_browser, new=new)
        ended = _EndSignal()
        try:
            typer.echo(f"{page.local_url}  (press Ctrl-C to stop)")
            number = ended.wait()
        finally:
            # What visitors uploaded goes.
            page.close(verbose=False)
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
