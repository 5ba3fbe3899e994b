"""`auricle search`: finds the sounds that a sentence describes."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from .copy_options import GROUP_COPIES, NEAR_COPIES, Grouping
from .encoder_options import ENGINE, TRUST_REMOTE_CODE
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
    TEMPLATE,
    TOP,
    open_index,
    search_errors,
    show_hits,
    why_none,
)
from .question_file import answer_file
from .text_towers import TEXT_TOWER, text_tower_of


def search(
    sentence: Annotated[
        str | None,
        typer.Argument(
            help="Query: a sentence that describes the sound. A hyphen in front excludes a word, as in "
            '"rain -thunder"; several words: \'rain -"a police car"\'.'
        ),
    ] = None,
    index_dir: Annotated[str, INDEX] = DEFAULT_INDEX,
    questions: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Run every line of this text file (UTF-8; - for standard input) as a query. With "
            "--json, one JSON line a query; --export takes .csv or .jsonl.",
        ),
    ] = None,
    top: Annotated[int, TOP] = 10,
    negative: Annotated[
        list[str] | None, typer.Option(help="Description of sounds to avoid. Repeatable.")
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Also match the words of file names, folders, tags and titles.")
    ] = False,
    in_file: Annotated[Path | None, typer.Option("--in", help="Search within this file only.")] = None,
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
    text_tower: Annotated[Path | None, TEXT_TOWER] = None,
    engine: Annotated[str | None, ENGINE] = None,
    template: Annotated[str | None, TEMPLATE] = None,
    model: Annotated[str | None, MODEL] = None,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    group_copies: Annotated[bool | None, GROUP_COPIES] = None,
    near_copies: Annotated[float | None, NEAR_COPIES] = None,
    no_server: Annotated[bool, NO_SERVER] = False,
    export: Annotated[Path | None, EXPORT] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """
    Find the sounds that a sentence describes, each at its best moment.

    Each result has a score, a percentile, a time span and a path. The score is the cosine similarity, at most
    1. The percentile is the share of 48 common queries that score lower for this span. If no file is left, the
    command names the filter that leaves no file and ends with exit code 3.

    --from runs many queries at once, one result list each. Empty lines are skipped and counted; a query that
    cannot be asked is reported and the others are answered.

    If auricle serve runs with this index, it answers instead of this process: the results are the same, and no model
    is loaded. With --ray, --model or --from this process answers.
    """
    with search_errors():
        from ..search.engine.client import absolute
        from ..search.errors import SearchError
        from ..search.query.metadata_pairs import metadata_pairs

        if (sentence is None) == (questions is None):
            raise SearchError("give either one query or a file of queries with --from.")

        filters = {
            "glob": path,
            "tag": tag,
            "min_duration": min_duration,
            "max_duration": max_duration,
            "file": in_file,
            "license": license,
            "metadata": metadata_pairs(metadata or []),
            "file_type": file_type,
        }
        how = {"negative": negative or [], "names": names, "exact": exact, **filters}
        how |= {} if rank is None else {"rank": rank}
        asked = {**how, "query": sentence, "top": top, "min_score": min_score, "file": absolute(in_file)}
        grouping = Grouping.chosen(group_copies, near_copies, separate=as_json or export is not None)
        text_tower = text_tower_of(index_dir, text_tower, model)
        found = grouped_answers(
            index_dir,
            "search",
            asked,
            grouping,
            text_tower=text_tower,
            template=template,
            trust_remote_code=trust_remote_code,
            unless=no_server or any(way is not None for way in (ray, model, questions, near_copies, engine)),
        )
        if found is not None:
            hits, groups, why = found
            show_hits(None, hits, as_json, export, why, title=sentence, groups=groups)
            return
        sounds = open_index(index_dir, text_tower, ray, template, model, trust_remote_code, engine)
        if questions is not None:
            if group_copies or near_copies is not None:
                raise SearchError(
                    "with --from, each file is a separate result: omit --group-copies and --near-copies."
                )
            options = {**how, "top": top, "min_score": min_score}
            answer_file(sounds, questions, options, as_json=as_json, export=export)
            return
        ask = partial(sounds.search, sentence, **how)
        hits, groups = grouping.apply(lambda count: ask(top=count, min_score=min_score), top, sounds)
        why = [] if hits else why_none(sounds, filters, min_score, ask)
        show_hits(sounds, hits, as_json, export, why, title=sentence, groups=groups)
