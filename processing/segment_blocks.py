"""A long recording as blocks of model inputs; memory does not grow with its length."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature

from .audio_streaming import regroup


@dataclass
class SegmentBlock:
    """
    Consecutive segments of one recording.

    Attributes:
        inputs: model inputs, as from a call with one clip of these segments.
        starts, ends: times of each segment in seconds of the file; float64 ``(segments,)``. The last segment of a
            recording ends at the end of the sound.
    """

    inputs: BatchFeature
    starts: np.ndarray
    ends: np.ndarray


def iter_blocks(
    extractor: Any,
    path: str | os.PathLike[str],
    *,
    offset: float,
    duration: float | None,
    segments_per_block: int,
    device: str | torch.device,
) -> Iterator[SegmentBlock]:
    """Implementation of [`AuricleFeatureExtractor.iter_segments`]."""
    if segments_per_block < 1:
        raise ValueError(f"segments_per_block={segments_per_block} must be at least 1.")
    rate, length = extractor.sampling_rate, extractor.segment_samples
    first = 0
    pieces = extractor.pieces(path, offset=offset, duration=duration)
    for samples in regroup(pieces, segments_per_block * length):
        # After full segments such a remainder is omitted, as when the whole file is cut at once.
        if first and len(samples) < extractor.min_tail_samples:
            return
        segments, lengths = extractor.cut(samples, name=os.fspath(path)), extractor.real_samples(len(samples))
        inputs = extractor.encode(segments, lengths, [len(segments)], None, device)
        edges = first + np.minimum(np.arange(len(segments) + 1) * length, len(samples))
        seconds = offset + edges / rate
        yield SegmentBlock(BatchFeature(inputs), seconds[:-1], seconds[1:])
        first += len(samples)


__all__ = ["SegmentBlock", "iter_blocks"]
