"""The submission file of DCASE Task 6: a query a row, then the file names ranked first."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ...files.replacing import replace_path
from ..similarities import Similarities

RANKED = 16


def write_submission(
    path: str | os.PathLike[str],
    similarities: Similarities,
    *,
    queries: Sequence[int] | None = None,
    ranked: int = RANKED,
) -> None:
    """
    Writes ranked file names for each query.

    The header is ``query, audio_filename_1, audio_filename_2, ...``; of equal scores the clip that comes first
    in the split ranks first, as in the metrics.

    Args:
        path: CSV file; replaced.
        similarities: similarities of the split.
        queries: places of the queries to write; None writes each distinct caption once.
        ranked: file names a query, at most as many as there are clips.

    Raises:
        ValueError: if two clips have one file name, so that the file would not distinguish them, or ``ranked``
        is below 1.
    """
    if ranked < 1:
        raise ValueError(f"ranked={ranked} must be at least 1.")
    names = [PurePosixPath(clip_id).name for clip_id in similarities.clip_ids]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two clips are called {twice!r}: a submission identifies clips by file name.")
    if queries is None:
        first = {caption: place for place, caption in reversed(list(enumerate(similarities.queries)))}
        queries = sorted(first.values())
    count = min(ranked, len(names))
    temporary = Path(path).with_name(f".{Path(path).name}.{os.getpid()}")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["query", *(f"audio_filename_{place + 1}" for place in range(count))])
        for query in queries:
            order = np.argsort(-similarities.scores[query], kind="stable")[:count]
            writer.writerow([similarities.queries[query], *(names[place] for place in order)])
    replace_path(temporary, path)


__all__ = ["write_submission"]
