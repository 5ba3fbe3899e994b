"""Builds model inputs from training rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...processing import AuricleProcessor
from .clip_events import ClipEvent


class RetrievalCollator:
    """
    Packs rows into one batch of real segments, captions, group numbers and further targets.

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
            ``(batch, width)``. Where the rows have them, ``teacher_audio``, ``teacher_text`` and ``teacher_answering``
            ``(batch, teachers' width)`` and ``cluster_labels`` ``(batch,)`` int64. Where the rows have events, the
            batch's distinct phrases as ``phrase_input_ids`` and ``phrase_attention_mask``, ``phrase_labels``
            ``(phrases,)`` int64, and ``events`` float32 ``(events, 4)``: row, label, start, end.
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
        for name in ("pooled_text", "teacher_audio", "teacher_text", "teacher_answering"):
            if rows[0].get(name) is not None:
                batch[name] = torch.from_numpy(np.stack([row[name] for row in rows]))
        if rows[0]["cluster"] is not None:
            batch["cluster_labels"] = torch.tensor([row["cluster"] for row in rows], dtype=torch.int64)
        if rows[0].get("events") is not None:
            batch.update(self._phrases([row["events"] for row in rows]))
        batch["groups"] = torch.tensor([row["group"] for row in rows], dtype=torch.int64)
        return batch

    def _phrases(self, events: Sequence[Sequence[ClipEvent]]) -> dict[str, torch.Tensor]:
        labels = {
            label: number for number, label in enumerate(sorted({e.label for row in events for e in row}))
        }
        phrases = sorted({(event.phrase, labels[event.label]) for row in events for event in row})
        found: dict[str, torch.Tensor] = {}
        if phrases:
            texts = self.processor(text=[phrase for phrase, _ in phrases], allow_file_names=True)
            found = {
                f"phrase_{name}": texts[name]
                for name in ("input_ids", "attention_mask", "token_type_ids")
                if name in texts
            }
        listed = [
            (row, labels[event.label], event.start, event.end)
            for row, own in enumerate(events)
            for event in own
        ]
        found["phrase_labels"] = torch.tensor([label for _, label in phrases], dtype=torch.int64)
        found["events"] = torch.tensor(listed, dtype=torch.float32).reshape(-1, 4)
        return found
