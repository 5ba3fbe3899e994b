"""Many queries at once: embedded in batches, compared with all windows in one matrix product a block."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import SearchError
from ..store.index_store import Store
from .answers import DEFAULT_RANKING, Question, ask_table, check_question, rank_contents, rank_rows
from .filters import Filters
from .hits import Hit
from .index_contents import CurrentContents, IndexContents
from .ranking import combine_scores
from .resolved_filters import resolve_filters
from .unwanted_words import split_question

QUESTIONS_A_BATCH = 256
# Scores in memory at once, float32: 64 MB.
SCORES_A_BLOCK = 16_000_000
# A product of two matrices rounds otherwise than one of a matrix and a vector.
ROUNDING = 1e-5


def answer_many(
    store: Store,
    contents: CurrentContents,
    embed: Callable[[Sequence[str]], np.ndarray],
    background: Callable[[], np.ndarray],
    queries: Sequence[str],
    *,
    top: int = 10,
    negative: str | Sequence[str] = (),
    names: bool = False,
    min_score: float | None = None,
    rank: str = DEFAULT_RANKING,
    exact: bool = False,
    on_error: Callable[[int, SearchError], None] | None = None,
    **filters: Any,
) -> Iterator[list[Hit]]:
    """
    Answers queries in their order; each gets the same results as if it were asked alone.

    With ``names``, or above the limit of exact queries, only the embedding is batched.

    Args:
        store, contents: of the index.
        embed: from sentences to unit vectors ``(sentences, width)``.
        background: gives the vectors of common queries.
        queries: the sentences.
        top, negative, names, min_score, rank, exact, filters: as of [`SoundIndex.search`], for every query.
        on_error: called with the index of an invalid query and the reason; its results are empty. None raises the
            error.

    Raises:
        SearchError: for an empty index, an unknown filter, or, without ``on_error``, a query that is not valid.
    """
    kept = Filters.of(filters)
    usual = Question(np.zeros(0), top=top, min_score=min_score, background=background, rank=rank)
    check_question(usual)
    kept, now = resolve_filters(store, contents, kept), contents.get()
    if not store.approximate and not len(now.windows["path"]):
        raise SearchError(f"{store.folder}: the index is empty; bring it up to date with auricle index.")
    known: dict[str, np.ndarray] = {}
    for start in range(0, len(queries), QUESTIONS_A_BATCH):
        asked: dict[int, tuple[str, tuple[str, ...]]] = {}
        for place in range(start, min(start + QUESTIONS_A_BATCH, len(queries))):
            try:
                asked[place] = split_question(queries[place], negative)
            except SearchError as error:
                _tell(on_error, place, error)
        _embed_all(embed, asked, known, on_error)
        questions = {
            place: replace(
                usual,
                vector=known[query],
                unwanted=tuple(known[text] for text in unwanted),
                name_query=query if names else None,
            )
            for place, (query, unwanted) in asked.items()
        }
        if store.approximate:
            found = (ask_table(store, now, question, kept, exact=exact) for question in questions.values())
        elif names:
            found = (rank_contents(now, question, kept) for question in questions.values())
        else:
            found = _ranked_together(now, list(questions.values()), kept)
        answers = dict(zip(questions, found, strict=True))
        for place in range(start, min(start + QUESTIONS_A_BATCH, len(queries))):
            yield answers.get(place, [])


def _tell(on_error: Callable[[int, SearchError], None] | None, place: int, error: SearchError) -> None:
    if on_error is None:
        raise error
    on_error(place, error)


def _embed_all(
    embed: Callable[[Sequence[str]], np.ndarray],
    asked: dict[int, tuple[str, tuple[str, ...]]],
    known: dict[str, np.ndarray],
    on_error: Callable[[int, SearchError], None] | None,
) -> None:
    """Adds the vectors of texts that are not known; takes queries out that the model refuses."""
    texts = dict.fromkeys(text for query, unwanted in asked.values() for text in (query, *unwanted))
    missing = [text for text in texts if text not in known]
    if not missing:
        return
    try:
        known.update(zip(missing, embed(missing), strict=True))
        return
    except SearchError:
        if on_error is None:
            raise
    # One of them cannot be embedded: which, is found one by one.
    for place, (query, unwanted) in list(asked.items()):
        try:
            for text in (query, *unwanted):
                if text not in known:
                    known[text] = embed([text])[0]
        except SearchError as error:
            del asked[place]
            _tell(on_error, place, error)


def _ranked_together(now: IndexContents, questions: Sequence[Question], kept: Filters) -> Iterator[list[Hit]]:
    rows = now.windows if not questions or questions[0].rank == "window" else now.files
    # Rows are sorted by file.
    firsts = np.flatnonzero(np.diff(rows["file"], prepend=-1))
    ends = np.append(firsts[1:], len(rows["file"]))
    allowed = kept.mask(rows)
    step = max(1, SCORES_A_BLOCK // max(1, len(rows["file"])))
    for start in range(0, len(questions), step):
        block = questions[start : start + step]
        scores = rows["vector"] @ np.stack([question.vector for question in block]).T
        for column, question in enumerate(block):
            if question.unwanted:
                unwanted = rows["vector"] @ np.stack(question.unwanted).T
                scores[:, column] = combine_scores(scores[:, column], list(unwanted.T))
        scores[~allowed] = -np.inf
        best = np.maximum.reduceat(scores, firsts, axis=0)
        for column, question in enumerate(block):
            files = _files_near_the_best(best[:, column], question.top)
            places = np.concatenate(
                [np.arange(firsts[file], ends[file]) for file in files] or [np.zeros(0, dtype=np.int64)]
            )
            # Rows near enough to matter are compared and sorted exactly as for a single query.
            yield rank_rows(
                now, {name: values[places] for name, values in rows.items()}, question, allowed[places]
            )


def _files_near_the_best(best: np.ndarray, top: int) -> np.ndarray:
    """Places of the files, rising, that may be among the first ``top`` by their best score."""
    if top < len(best):
        least = best[np.argpartition(-best, top - 1)[top - 1]]
        return np.flatnonzero((best >= least - ROUNDING) & np.isfinite(best))
    return np.flatnonzero(np.isfinite(best))


__all__ = ["answer_many"]
