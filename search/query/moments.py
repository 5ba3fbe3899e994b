"""Where in a recording a sentence fits."""

from typing import TYPE_CHECKING

import numpy as np

from .hits import Hit
from .ranking import merge_spans, percentile_of

if TYPE_CHECKING:
    from ...encoders.recordings.recording_windows import WindowVectors

DEFAULT_THRESHOLD = 0.03


def rank_spans(
    recording: "WindowVectors",
    path: str,
    query: np.ndarray,
    background: np.ndarray,
    *,
    top: int,
    threshold: float,
) -> list[Hit]:
    """
    Spans of a recording, the best first; overlapping windows that score alike are one span.

    Args:
        recording: windows of it, see [`recording_windows.WindowVectors`].
        path: of the recording.
        query: unit vector ``(width,)``.
        background: those of common questions ``(questions, width)``, for percentiles.
        top: spans at most.
        threshold: how much lower than its best window a span's windows may score.
    """
    cosines, others = recording.vectors @ query, recording.vectors @ background.T
    hits = []
    for start, end, score in merge_spans(
        recording.starts, recording.ends, cosines, top=top, threshold=threshold
    ):
        within = (recording.starts >= start) & (recording.ends <= end)
        best = int(np.argmax(np.where(within, cosines, -np.inf)))
        percentile = percentile_of(score, others[best])
        hits.append(Hit(path, start, end, score, score, percentile, recording.duration, ()))
    return hits


__all__ = ["DEFAULT_THRESHOLD", "rank_spans"]
