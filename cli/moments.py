"""`auricle moments`: finds the times in a recording that a sentence describes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .encoder_options import TRUST_REMOTE_CODE
from .engine_answers import NO_ENGINE, ask_running_engine
from .index_options import (
    DEFAULT_INDEX,
    EXPORT,
    INDEX,
    JSON,
    MODEL,
    TEMPLATE,
    TOP,
    open_index,
    search_errors,
    show_hits,
)


def moments(
    file: Annotated[Path, typer.Argument(help="Recording. It need not be in the index.")],
    sentence: Annotated[str, typer.Argument(help="Query: a sentence that describes the sound.")],
    index_dir: Annotated[str, INDEX] = DEFAULT_INDEX,
    top: Annotated[int, TOP] = 5,
    hop: Annotated[
        float | None,
        typer.Option(min=0.1, help="Hop between windows in seconds. Default: half the length of a window."),
    ] = None,
    edges: Annotated[
        Literal["frames", "windows"],
        typer.Option(
            help="What decides where a moment begins and ends: windows that overlap and score alike, or frames of "
            "about half a second, where the model has them."
        ),
    ] = "windows",
    template: Annotated[str | None, TEMPLATE] = None,
    model: Annotated[str | None, MODEL] = None,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    no_engine: Annotated[bool, NO_ENGINE] = False,
    export: Annotated[Path | None, EXPORT] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """
    Find the times in a recording that a sentence describes.

    The result is a ranked list of time spans.

    If auricle serve runs with this index, it answers in place of this process: the results are the same, and no model
    is loaded. --model does without it.
    """
    with search_errors():
        from ..search.engine.client import absolute

        asked = {"path": absolute(file), "query": sentence, "top": top, "hop_seconds": hop, "edges": edges}
        answered = ask_running_engine(
            index_dir,
            "moments",
            asked,
            template=template,
            trust_remote_code=trust_remote_code,
            unless=no_engine or model is not None,
        )
        if answered is not None:
            show_hits(None, answered.hits, as_json, export, title=sentence)
            return
        sounds = open_index(
            index_dir, None, template=template, model=model, trust_remote_code=trust_remote_code
        )
        found = sounds.moments(file, sentence, top=top, hop_seconds=hop, edges=edges)
        show_hits(sounds, found, as_json, export, title=sentence)
