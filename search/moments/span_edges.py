"""Edges of a moment, found in the scores of frames around a window that fits."""

import numpy as np

# Chosen on generated recordings of their own: benchmarks/bench_generated_moments.py.
REACH_SECONDS = 12.0
SHORTEST_SECONDS = 1.0
LONGEST_SECONDS = 31.0
SAME_SPAN_IOU = 0.5


def best_segment(scores: np.ndarray, peak: int, *, shortest: int, longest: int) -> tuple[int, int]:
    """
    The run of frames around a peak that stands out most from all other frames.

    Of all runs that hold the peak, the one with the largest ``(mean inside - mean outside) * sqrt(k (n - k) / n)``
    for k of n frames: the two-sample statistic of a mean that changes twice (binary segmentation).

    Args:
        scores: of the frames, ``(n,)``.
        peak: place of the frame that must be inside.
        shortest, longest: frames of a run, at least 1.

    Returns:
        First frame, and the frame behind the last one.
    """
    count = len(scores)
    if count <= shortest:
        return 0, count
    sums = np.concatenate([[0.0], np.cumsum(scores, dtype=np.float64)])
    best, found = -np.inf, (peak, peak + 1)
    for length in range(max(1, shortest), min(longest, count - 1) + 1):
        first = np.arange(max(0, peak - length + 1), min(peak, count - length) + 1)
        inside = sums[first + length] - sums[first]
        contrast = inside / length - (sums[-1] - inside) / (count - length)
        strength = contrast * np.sqrt(length * (count - length) / count)
        place = int(np.argmax(strength))
        if strength[place] > best:
            best, found = float(strength[place]), (int(first[place]), int(first[place]) + length)
    return found


def without_repeats(spans: list[tuple[float, float, float]], most: int) -> list[tuple[float, float, float]]:
    """
    Spans without those that nearly repeat a better one (an IoU of at least one half).

    Args:
        spans: (start, end, score), the best first.
        most: spans at most.
    """
    kept: list[tuple[float, float, float]] = []
    for start, end, score in spans:
        if len(kept) == most:
            break
        repeated = False
        for other_start, other_end, _ in kept:
            shared = max(0.0, min(end, other_end) - max(start, other_start))
            union = (end - start) + (other_end - other_start) - shared
            repeated = repeated or shared >= SAME_SPAN_IOU * union
        if not repeated:
            kept.append((start, end, score))
    return kept


__all__ = ["LONGEST_SECONDS", "REACH_SECONDS", "SHORTEST_SECONDS", "best_segment", "without_repeats"]
