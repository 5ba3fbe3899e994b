"""`auricle moments`: finds the times in a recording that a sentence describes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .encoder_options import TRUST_REMOTE_CODE
from .engine_answers import NO_SERVER, ask_running_engine
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
        typer.Option(
            min=0.1,
            help="Hop in seconds. Default: 1 between short windows (dense), half a window between windows.",
        ),
    ] = None,
    edges: Annotated[
        Literal["dense", "frames", "windows"] | None,
        typer.Option(
            help="How moments are found. dense: short windows each second, or the frames that the index keeps. "
            "windows: windows that overlap and score alike. frames: windows, with edges from frames of about half a "
            "second. Default: dense where the index keeps frames or the model embeds short windows cheaply (PaSST, "
            "BEATs), else windows."
        ),
    ] = None,
    min_percentile: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=100.0,
            help="Leave out moments that do not exceed this percentage of 48 common questions. Default: 80 with "
            "dense, 0 otherwise.",
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            help="Directory or Hub id of a moment head that was trained on the index's model: it finds the moments, "
            "and --hop, --edges and --min-percentile do not apply."
        ),
    ] = None,
    template: Annotated[str | None, TEMPLATE] = None,
    model: Annotated[str | None, MODEL] = None,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    no_server: Annotated[bool, NO_SERVER] = False,
    export: Annotated[Path | None, EXPORT] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """
    Find the times in a recording that a sentence describes.

    The result is a ranked list of time spans, or none if the sentence fits no better than common queries do.

    If auricle serve runs with this index, it answers instead of this process: the results are the same, and no model
    is loaded. With --model this process answers.
    """
    with search_errors():
        from ..search.engine.client import absolute

        asked = {"path": absolute(file), "query": sentence, "top": top, "hop_seconds": hop}
        asked |= {"edges": edges, "min_percentile": min_percentile}
        answered = ask_running_engine(
            index_dir,
            "moments",
            asked,
            template=template,
            trust_remote_code=trust_remote_code,
            unless=no_server or model is not None or head is not None,
        )
        if answered is not None:
            show_hits(None, answered.hits, as_json, export, _why_none(head, min_percentile), title=sentence)
            return
        sounds = open_index(
            index_dir, None, template=template, model=model, trust_remote_code=trust_remote_code
        )
        if head is None:
            found = sounds.moments(
                file, sentence, top=top, hop_seconds=hop, edges=edges, min_percentile=min_percentile
            )
        else:
            from ..search.errors import SearchError
            from ..search.head_moments import moments_by_head

            if (hop, edges, min_percentile) != (None, None, None):
                raise SearchError(
                    "--hop, --edges and --min-percentile do not go with --head, which finds spans by itself."
                )
            found = moments_by_head(sounds, head, file, sentence, top=top)
        show_hits(sounds, found, as_json, export, _why_none(head, min_percentile), title=sentence)


def _why_none(head: str | None, min_percentile: float | None) -> list[str]:
    """What to try if no moment was found."""
    if head is not None or min_percentile == 0:
        return []
    from ..search.moments.dense_spans import DEFAULT_MIN_PERCENTILE

    least = DEFAULT_MIN_PERCENTILE if min_percentile is None else min_percentile
    return [
        f"No moment exceeds {least:g} % of the common queries (--min-percentile). --min-percentile 0 shows the best "
        "ones, with the share of common queries that each exceeds."
    ]
