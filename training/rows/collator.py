"""From training rows to model inputs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...processing import AuricleProcessor


class RetrievalCollator:
    """
    Packs rows into one batch of real segments, captions, group numbers and what else is to be learned.

    Args:
        processor: the model's own.
        crop_seconds: length of the training crops, if shorter than a segment; shorter clips are filled up to
            it, so that all segments of the run have one length.
    """

    def __init__(self, processor: AuricleProcessor, crop_seconds: float | None = None):
        self.processor = processor
        self.crop_seconds = crop_seconds

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """
        Args:
            rows: items of [`TrainingClips`].

        Returns:
            ``input_features`` ``(segments, frames, mel bins)``, ``segment_counts`` ``(batch,)``, ``groups``
            ``(batch,)`` int64, and the captions as ``input_ids`` and ``attention_mask`` or as ``pooled_text``
            ``(batch, width)``. Where the rows have them, ``teacher_audio`` and ``teacher_text`` ``(batch, teachers'
            width)`` and ``cluster_labels`` ``(batch,)`` int64.
        """
        options = {"sampling_rate": self.processor.feature_extractor.sampling_rate}
        if self.crop_seconds is not None:
            options["segment_seconds"] = self.crop_seconds
        if rows[0]["mel_range"] is not None:
            options["mel_ranges"] = [row["mel_range"] for row in rows]
        batch = dict(self.processor.feature_extractor([row["waveform"] for row in rows], **options))
        if rows[0]["pooled_text"] is None:
            captions = [row["caption"] for row in rows]
            batch.update(self.processor(text=captions, allow_file_names=True))
        for name in ("pooled_text", "teacher_audio", "teacher_text"):
            if rows[0][name] is not None:
                batch[name] = torch.from_numpy(np.stack([row[name] for row in rows]))
        if rows[0]["cluster"] is not None:
            batch["cluster_labels"] = torch.tensor([row["cluster"] for row in rows], dtype=torch.int64)
        batch["groups"] = torch.tensor([row["group"] for row in rows], dtype=torch.int64)
        return batch
