"""`auricle moments`: finds the times in a recording that a sentence describes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .encoder_options import TRUST_REMOTE_CODE
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
    head: Annotated[
        str | None,
        typer.Option(
            help="Directory or Hub id of a moment head that was trained on the index's model: it finds the moments, "
            "and --hop and --edges do not apply."
        ),
    ] = None,
    template: Annotated[str | None, TEMPLATE] = None,
    model: Annotated[str | None, MODEL] = None,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    export: Annotated[Path | None, EXPORT] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """
    Find the times in a recording that a sentence describes.

    The result is a ranked list of time spans.
    """
    with search_errors():
        sounds = open_index(
            index_dir, None, template=template, model=model, trust_remote_code=trust_remote_code
        )
        if head is None:
            found = sounds.moments(file, sentence, top=top, hop_seconds=hop, edges=edges)
        else:
            from ..search.errors import SearchError
            from ..search.head_moments import moments_by_head

            if hop is not None or edges != "windows":
                raise SearchError("--hop and --edges do not go with --head, which finds spans by itself.")
            found = moments_by_head(sounds, head, file, sentence, top=top)
        show_hits(sounds, found, as_json, export, title=sentence)
