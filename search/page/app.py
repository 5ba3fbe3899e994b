"""A local page for searching an index by sentence or sound, with ranked players that start at the moment."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sound_index import SoundIndex
from .assets import head, style
from .first_run import Library, NewIndex
from .hosts import bracketed, check_place, host_check, is_loopback, no_proxy
from .layout import build_page
from .playing.sounds import AnsweredSounds
from .reveal import reveal_routes
from .shown_answers import CARDS
from .upload_folder import UploadFolder
from .uploads import UPLOAD_MEGABYTES

if TYPE_CHECKING:
    import gradio

    from ..engine.engine import Engine

# What is kept for a visitor is some 0.3 MB; programs that ask leave such a memory at each query.
MOST_SESSIONS = 64


def serve(
    index: SoundIndex | None,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = False,
    uploads: Path | None = None,
    new: NewIndex | None = None,
    beside: "Engine | None" = None,
) -> "gradio.Blocks":
    """
    Starts the page and returns at once; ``local_url`` is its address, ``close()`` stops it.

    It only serves those sound files of this machine that were results.

    Args:
        index: the open index; None if the page starts without one.
        host: address to listen at; with the default, other machines cannot reach it. At the default, and other
            addresses that only this machine reaches, requests that name another host are refused.
        port: None uses the first free one from 7860 on.
        open_browser: open the page in the default browser.
        uploads: as in [`layout.build_page`].
        new: the index to create if there is none: the page then offers to index a folder.
        beside: an engine that the same server runs, with its API and MCP.

    Raises:
        SearchError: if it cannot listen there; the message says why.
        ImportError: if Gradio is not installed.
    """
    check_place(host, port)
    sounds, folder, gr = AnsweredSounds(), UploadFolder(), _gradio()
    library = Library(index, new, local=is_loopback(host))
    routes = [*sounds.routes(), *reveal_routes(sounds, host), *(beside.routes if beside else [])]
    app = {"routes": routes, "middleware": [*host_check(host), folder.limit()]}
    app |= {"lifespan": beside.lifespan} if beside else {}
    try:
        with folder.chosen(), no_proxy(host):
            page = build_page(gr, library, sounds, uploads=uploads)
            page.launch(
                server_name=bracketed(host),
                server_port=port,
                inbrowser=open_browser,
                app_kwargs=app,
                max_file_size=f"{UPLOAD_MEGABYTES}mb",
                state_session_capacity=MOST_SESSIONS,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                footer_links=[],
                theme=_theme(gr),
                css=style(),
                head=head(),
            )
    except BaseException:
        folder.remove()
        raise
    end = page.close

    def close(verbose: bool = True) -> None:
        library.close()
        end(verbose)
        folder.remove()

    page.close = close
    return page


def _theme(gr: Any) -> Any:
    """Letters that the machine has, so that none is fetched; and colours that can be read on each other."""
    theme = gr.themes.Default(
        primary_hue="teal", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    return theme.set(
        color_accent="*primary_700",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
    )


def _gradio() -> Any:
    # Read at import: no telemetry leaves the machine.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
    except ImportError as error:
        raise ImportError("the page needs Gradio: pip install 'auricle[app]'.") from error
    return gradio


__all__ = ["CARDS", "serve"]
