"""Where in a recording a sentence fits."""

from typing import TYPE_CHECKING

import numpy as np

from ..query.hits import Hit
from ..query.ranking import merge_spans, percentile_of
from .span_edges import LONGEST_SECONDS, REACH_SECONDS, SHORTEST_SECONDS, best_segment, without_repeats

if TYPE_CHECKING:
    from ...encoders.recordings.recording_frames import RecordingFrames
    from ...encoders.recordings.recording_windows import WindowVectors

DEFAULT_THRESHOLD = 0.03
# Windows whose frames are looked at for a span, when the windows' edges keep falling on spans found already.
MOST_WINDOWS_PER_SPAN = 4


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
        background: those of common queries ``(questions, width)``, for percentiles.
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


def rank_framed_spans(
    recording: "WindowVectors",
    frames: "RecordingFrames",
    path: str,
    query: np.ndarray,
    background: np.ndarray,
    *,
    top: int,
) -> list[Hit]:
    """
    Spans of a recording, the best first: windows decide which, frames decide where each begins and ends.

    Spans are ranked by their windows' cosines alone. Frames are compared with one another, within 12 s around the
    frame of a window that fits best, and never ranked beside windows: the two scales do not agree.

    Args:
        recording: windows of it.
        frames: of the same recording.
        path: of the recording.
        query: unit vector ``(width,)``.
        background: those of common queries ``(questions, width)``, for percentiles.
        top: spans at most.
    """
    cosines, others = recording.vectors @ query, recording.vectors @ background.T
    chosen: list[int] = []
    spans: list[tuple[float, float, float]] = []
    by_score = {}
    for place in np.argsort(-cosines, kind="stable").tolist():
        if len(without_repeats(spans, top)) == top or len(chosen) == MOST_WINDOWS_PER_SPAN * top:
            break
        start, end = float(recording.starts[place]), float(recording.ends[place])
        half = (end - start) / 2
        if any(
            min(end, recording.ends[other]) - max(start, recording.starts[other]) > half for other in chosen
        ):
            continue
        chosen.append(place)
        begins, ends, vectors = frames.between(start - REACH_SECONDS, end + REACH_SECONDS)
        scores = vectors @ query
        inside = (begins < end) & (ends > start)
        peak = int(np.argmax(np.where(inside, scores, -np.inf)))
        near = np.flatnonzero((ends > begins[peak] - REACH_SECONDS) & (begins < ends[peak] + REACH_SECONDS))
        step = frames.encoder.frame_seconds
        first, last = best_segment(
            scores[near],
            peak - int(near[0]),
            shortest=max(1, round(SHORTEST_SECONDS / step)),
            longest=max(1, round(LONGEST_SECONDS / step)),
        )
        span = (float(begins[near[first]]), float(ends[near[last - 1]]), float(cosines[place]))
        spans.append(span)
        by_score.setdefault(span, place)
    return [
        Hit(path, *span, span[2], percentile_of(span[2], others[by_score[span]]), recording.duration, ())
        for span in without_repeats(spans, top)
    ]


__all__ = ["DEFAULT_THRESHOLD", "rank_framed_spans", "rank_spans"]
