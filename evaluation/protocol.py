"""The evaluation protocol: single and multiple annotations, both directions, intervals, results by ambiguity."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .metrics.bootstrap import Interval, bootstrap_differences, bootstrap_means
from .metrics.inner_products import ranks_of
from .metrics.retrieval_metrics import query_metrics_from_ranks
from .similarities import Similarities

# Results are also distinguished by how many clips fit a query: (name, fewest, most).
AMBIGUITY = (("1", 1, 1), ("2-3", 2, 3), ("4+", 4, None))
RECALL_AT = (1, 5, 10)
MAP_AT = (10, 16)
TEXT_TO_AUDIO, AUDIO_TO_TEXT = "text_to_audio", "audio_to_text"


def query_values(
    similarities: Similarities, relevant: Mapping[int, Sequence[int]] | None = None
) -> dict[str, np.ndarray]:
    """
    Every query's own metrics, text to audio.

    Args:
        similarities: similarities of the split.
        relevant: by place of a query the places of its right clips; queries that it does not name are left
            out. None is the single annotation: all queries, each with the clip that it was written for.

    Returns:
        R@1, R@5, R@10, mAP@10 and mAP@16 of each query, ``(queries,)``, in rising order of their places.

    Raises:
        ValueError: for a query without a relevant clip, or with one that does not exist.
    """
    if relevant is None:
        places = range(len(similarities.query_ids))
        relevant = {place: [int(similarities.clip_of_query[place])] for place in places}
    rows = sorted(relevant)
    if not rows:
        raise ValueError("relevant names no query: there is nothing to evaluate.")
    ranks = ranks_of(similarities.scores[rows], [list(relevant[row]) for row in rows])
    return query_metrics_from_ranks(*ranks, recall_at=RECALL_AT, map_at=MAP_AT)


def clip_values(
    similarities: Similarities, relevant: Mapping[int, Sequence[int]] | None = None
) -> dict[str, np.ndarray] | None:
    """
    Metrics of every clip, audio to text.

    Args:
        similarities: similarities of the split.
        relevant: multiple annotations. A clip's right captions are those that it is a right clip of. None is the
            single annotation: a clip's own captions are right; those of other clips are wrong, equal ones too.

    Returns:
        Metrics as of [`query_values`], ``(clips,)``; None if the annotations lack sentences of the split, see
        [`relevant_captions`].
    """
    if relevant is None:
        own: list[list[int]] = [[] for _ in similarities.clip_ids]
        for query, clip in enumerate(similarities.clip_of_query.tolist()):
            own[clip].append(query)
        scores, captions = similarities.scores, {clip: queries for clip, queries in enumerate(own) if queries}
    else:
        found = relevant_captions(similarities, relevant)
        if found is None:
            return None
        scores, captions = similarities.scores[found[0]], found[1]
    ranks = ranks_of(scores.T[list(captions)], list(captions.values()))
    return query_metrics_from_ranks(*ranks, recall_at=RECALL_AT, map_at=MAP_AT)


def relevant_captions(
    similarities: Similarities, relevant: Mapping[int, Sequence[int]]
) -> tuple[list[int], dict[int, list[int]]] | None:
    """
    Multiple annotations read from clips to captions; None if they do not annotate every sentence of the split.

    Without some sentences, a clip's missing captions would be taken for wrong ones.

    Args:
        similarities: similarities of the split.
        relevant: by place of a query the places of its right clips.

    Returns:
        Places of the annotated queries, which are ranked, and by place of a clip the places of its right ones among
        them. Clips without any are left out.
    """
    rows = sorted(relevant)
    if {similarities.queries[row] for row in rows} != set(similarities.queries):
        return None
    captions: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        for clip in relevant[row]:
            captions.setdefault(int(clip), []).append(number)
    return rows, dict(sorted(captions.items()))


def evaluate_similarities(
    similarities: Similarities,
    *,
    relevant: Mapping[int, Sequence[int]] | None = None,
    against: Similarities | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """
    The report on one split (DCASE 2025 Task 6; metrics as ``metrics/retrieval_metrics.py`` defines them).

    * ``single``: the one clip that a caption was written for is right; every caption is a query, also five of
    one clip.
    * ``multi``: the annotated queries, every clip that fits is right; mAP@16 of these is the task's ranking metric.
    Audio to text, the captions that a clip is a right clip of are right; stated if every sentence is annotated.
    * ``multi_by_relevant``: the same, distinguished by the number of fitting clips.

    Every figure has a 95 % bootstrap interval over its queries.

    Args:
        similarities: similarities of the split; each clip occurs once.
        relevant: multiple annotations as [`match_relevance`] returns them, or None.
        against: another system's similarities of the same queries and clips; adds the paired differences.
        resamples: number of resamples of the bootstrap.
        seed: seed of the bootstrap.

    Returns:
        A mapping of numbers, texts and lists that can be written as JSON.

    Raises:
        SimilarityError: if the other system's queries or clips are not the same.
        ValueError: as [`query_values`].
    """
    if against is not None:
        similarities.check_same_pairs(against)
    report: dict[str, Any] = {
        "name": similarities.name,
        "origin": similarities.origin,
        # "window" or "clip": what a file's score is computed from. Models are evaluated by whole clips.
        "ranking": similarities.origin.get("ranking", "clip"),
        "source": similarities.source,
        "split": similarities.split,
        "clips": len(similarities.clip_ids),
        "resamples": resamples,
        "seed": seed,
        **summarize_values(
            split_values(similarities, relevant),
            None if against is None else split_values(against, relevant),
            resamples=resamples,
            seed=seed,
        ),
    }
    if against is not None:
        report["against"] = against.name
    return report


def split_values(
    similarities: Similarities, relevant: Mapping[int, Sequence[int]] | None = None
) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """
    Every query's own metrics, by the parts of a report that [`evaluate_similarities`] describes.

    Args:
        similarities: similarities of the split.
        relevant: multiple annotations, or None.

    Returns:
        What [`query_values`] and [`clip_values`] return, by ``("single", direction)``, ``("multi", direction)`` and
        ``("multi_by_relevant", name of the group)``.

    Raises:
        ValueError: as [`query_values`].
    """
    values = {
        ("single", TEXT_TO_AUDIO): query_values(similarities),
        ("single", AUDIO_TO_TEXT): clip_values(similarities),
    }
    if relevant is not None:
        values["multi", TEXT_TO_AUDIO] = query_values(similarities, relevant)
        if (of_clips := clip_values(similarities, relevant)) is not None:
            values["multi", AUDIO_TO_TEXT] = of_clips
        for name, fewest, most in AMBIGUITY:
            if chosen := _with_count(relevant, fewest, most):
                values["multi_by_relevant", name] = query_values(similarities, chosen)
    return values


def has_all_parts(
    values: Mapping[tuple[str, str], Any],
    similarities: Similarities,
    relevant: Mapping[int, Sequence[int]] | None,
) -> bool:
    """Whether kept [`split_values`] have the part that older versions did not compute."""
    if relevant is None or ("multi", AUDIO_TO_TEXT) in values:
        return True
    return relevant_captions(similarities, relevant) is None


def summarize_values(
    values: Mapping[tuple[str, str], Mapping[str, np.ndarray]],
    against: Mapping[tuple[str, str], Mapping[str, np.ndarray]] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """
    Means of the results of [`split_values`], with bootstrap intervals, as nested mappings.

    Args:
        values: one system's.
        against: another system's of the same queries; adds the paired differences.
        resamples: number of resamples of the bootstrap.
        seed: seed of the bootstrap.
    """
    options = {"resamples": resamples, "seed": seed}
    report: dict[str, dict[str, Any]] = {}
    for (kind, name), part in values.items():
        result = {
            "queries": len(next(iter(part.values()))),
            "metrics": _as_mapping(bootstrap_means(part, **options)),
        }
        if against is not None:
            gains = bootstrap_differences(part, against[kind, name], **options)
            result["difference"] = _as_mapping(gains)
        report.setdefault(kind, {})[name] = result
    return report


def relevance_by_value(query_values_: Sequence[Any], clip_values_: Sequence[Any]) -> dict[int, list[int]]:
    """Right clips of queries where any clip with the same value, such as a class, is right."""
    places: dict[Any, list[int]] = {}
    for place, value in enumerate(clip_values_):
        places.setdefault(value, []).append(place)
    return {query: places[value] for query, value in enumerate(query_values_)}


def _with_count(
    relevant: Mapping[int, Sequence[int]], fewest: int, most: int | None
) -> dict[int, Sequence[int]]:
    return {
        query: clips
        for query, clips in relevant.items()
        if len(clips) >= fewest and (most is None or len(clips) <= most)
    }


def _as_mapping(intervals: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {name: interval._asdict() for name, interval in intervals.items()}


__all__ = [
    "clip_values",
    "evaluate_similarities",
    "has_all_parts",
    "query_values",
    "relevance_by_value",
    "relevant_captions",
    "split_values",
    "summarize_values",
]
