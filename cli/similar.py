"""`auricle similar`: finds the sounds that are most similar to a recording."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from .copy_options import GROUP_COPIES, NEAR_COPIES, Grouping
from .encoder_options import TRUST_REMOTE_CODE
from .engine_answers import NO_SERVER, grouped_answers
from .index_options import (
    DEFAULT_INDEX,
    EXACT,
    EXPORT,
    FILE_TYPE,
    INDEX,
    JSON,
    LICENSE,
    MAX_DURATION,
    METADATA,
    MIN_DURATION,
    MIN_SCORE,
    MODEL,
    PATH,
    RANK,
    RAY,
    TAG,
    TOP,
    open_index,
    search_errors,
    show_hits,
    why_none,
)


def similar(
    file: Annotated[Path, typer.Argument(help="Query: a recording. It need not be in the index.")],
    index_dir: Annotated[str, INDEX] = DEFAULT_INDEX,
    start: Annotated[float, typer.Option(min=0.0, help="Start of the part to compare, in seconds.")] = 0.0,
    end: Annotated[
        float | None,
        typer.Option(min=0.0, help="End of the part to compare, in seconds. Default: the end of the file."),
    ] = None,
    top: Annotated[int, TOP] = 10,
    path: Annotated[str | None, PATH] = None,
    tag: Annotated[str | None, TAG] = None,
    min_duration: Annotated[float | None, MIN_DURATION] = None,
    max_duration: Annotated[float | None, MAX_DURATION] = None,
    license: Annotated[str | None, LICENSE] = None,
    metadata: Annotated[list[str] | None, METADATA] = None,
    file_type: Annotated[str | None, FILE_TYPE] = None,
    min_score: Annotated[float | None, MIN_SCORE] = None,
    rank: Annotated[str | None, RANK] = None,
    exact: Annotated[bool, EXACT] = False,
    ray: Annotated[str | None, RAY] = None,
    model: Annotated[str | None, MODEL] = None,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    group_copies: Annotated[bool | None, GROUP_COPIES] = None,
    near_copies: Annotated[float | None, NEAR_COPIES] = None,
    no_server: Annotated[bool, NO_SERVER] = False,
    export: Annotated[Path | None, EXPORT] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """
    Find the sounds that are most similar to a recording.

    The whole recording is compared with whole files: an identical file comes first and scores 1.000. With --start or
    --end the query is a part of the recording, which is compared with windows. --rank window compares the whole
    recording with windows, too, to find it within longer ones. If no file is left, the command says which filter
    leaves none and ends with exit code 3.

    If auricle serve runs with this index, it answers instead of this process: the results are the same, and no model
    is loaded. With --ray or --model this process answers.
    """
    with search_errors():
        from ..search.engine.client import absolute
        from ..search.query.metadata_pairs import metadata_pairs

        filters = {
            "glob": path,
            "tag": tag,
            "min_duration": min_duration,
            "max_duration": max_duration,
            "license": license,
            "metadata": metadata_pairs(metadata or []),
            "file_type": file_type,
        }
        how = {"start": start, "end": end, "rank": rank, "exact": exact, **filters}
        asked = {**how, "path": absolute(file), "top": top, "min_score": min_score}
        grouping = Grouping.chosen(group_copies, near_copies, separate=as_json or export is not None)
        found = grouped_answers(
            index_dir,
            "similar",
            asked,
            grouping,
            trust_remote_code=trust_remote_code,
            unless=no_server or any(way is not None for way in (ray, model, near_copies)),
        )
        if found is not None:
            hits, groups, why = found
            show_hits(None, hits, as_json, export, why, title=f"like {file.name}", groups=groups)
            return
        sounds = open_index(index_dir, None, ray, model=model, trust_remote_code=trust_remote_code)
        ask = partial(sounds.similar, file, **how)
        hits, groups = grouping.apply(lambda count: ask(top=count, min_score=min_score), top, sounds)
        why = [] if hits else why_none(sounds, filters, min_score, ask)
        show_hits(sounds, hits, as_json, export, why, title=f"like {file.name}", groups=groups)
