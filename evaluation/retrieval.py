"""Scores a model on a split: every caption ranks every clip, every clip ranks every caption."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from ..data.columns import arrow_column, values_of
from ..data.schema import unique_clips
from ..encoders import AudioTextEncoder
from ..encoders.auricle_embedding import distinct_in_order
from .metrics.bootstrap import bootstrap_means
from .metrics.retrieval_metrics import (
    query_metrics_from_ranks,
    relevance_from_groups,
    relevant_ranks,
    retrieval_metrics,
)


@dataclass
class RetrievalSplit:
    """
    The distinct clips and queries of a split.

    Attributes:
        audio: one audio reference per clip.
        clip_groups: the relevance column's value of each clip.
        captions: the distinct (caption, group) pairs' captions.
        caption_groups: their groups; a clip is relevant to the captions of its own group.
    """

    audio: list[dict]
    clip_groups: list
    captions: list[str]
    caption_groups: list

    @classmethod
    def from_table(cls, table: Dataset, relevance_column: str = "clip_id") -> "RetrievalSplit":
        """
        Reads a split's table.

        Clips are distinguished by ``clip_id``. With ``relevance_column="clip_id"`` every caption is a query of
        its own; with a coarser column, such as a class, equal captions of one group are one query.

        Raises:
            ValueError: if the table has no such column or no rows.
        """
        if relevance_column not in table.column_names:
            raise ValueError(
                f"relevance_column={relevance_column!r} is not a column; there are {table.column_names}."
            )
        if not len(table):
            raise ValueError("the split has no rows to evaluate.")
        clips = unique_clips(table)
        columns = (values_of(arrow_column(table, name)) for name in ("caption", relevance_column))
        pairs = list(zip(*columns, strict=True))
        if relevance_column != "clip_id":
            pairs = distinct_in_order(pairs)
        return cls(
            list(clips["audio"]),
            list(clips[relevance_column]),
            [caption for caption, _ in pairs],
            [group for _, group in pairs],
        )

    def metrics(self, audio_embeds: np.ndarray, text_embeds: np.ndarray) -> dict[str, float]:
        """
        Retrieval figures of both directions from the split's embeddings.

        Args:
            audio_embeds: ``(clips, width)``.
            text_embeds: ``(captions, width)``.

        Returns:
            ``text_to_audio_<figure>`` and ``audio_to_text_<figure>`` for R@1, R@5, R@10, mAP@10, mAP@16, each
            between 0 and 1.
        """
        forward = retrieval_metrics(
            text_embeds, audio_embeds, relevance_from_groups(self.caption_groups, self.clip_groups)
        )
        backward = retrieval_metrics(
            audio_embeds, text_embeds, relevance_from_groups(self.clip_groups, self.caption_groups)
        )
        return {
            **{f"text_to_audio_{name}": value for name, value in forward.items()},
            **{f"audio_to_text_{name}": value for name, value in backward.items()},
        }

    def intervals(self, audio_embeds: np.ndarray, text_embeds: np.ndarray) -> dict[str, tuple[float, float]]:
        """95 % bootstrap intervals over queries for the results of [`metrics`], by the same names."""
        directions = {
            "text_to_audio": (text_embeds, audio_embeds, self.caption_groups, self.clip_groups),
            "audio_to_text": (audio_embeds, text_embeds, self.clip_groups, self.caption_groups),
        }
        found = {}
        for direction, (queries, items, query_groups, item_groups) in directions.items():
            ranks = relevant_ranks(queries, items, relevance_from_groups(query_groups, item_groups))
            means = bootstrap_means(query_metrics_from_ranks(*ranks))
            found |= {f"{direction}_{name}": (mean.low, mean.high) for name, mean in means.items()}
        return found


def evaluate_retrieval(
    encoder: AudioTextEncoder,
    table: Dataset,
    *,
    relevance_column: str = "clip_id",
    batch_size: int = 32,
    progress: bool = False,
    num_workers: int = 0,
    embed_texts: Callable[..., np.ndarray] | None = None,
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """
    Embeds a whole split once and scores both directions: [`RetrievalSplit`]'s figures and their intervals.

    Args:
        encoder: the encoder to evaluate.
        table: the split.
        relevance_column: clips and captions that share its value are relevant to one another.
        batch_size: segments, or captions, at a time.
        progress: show a progress bar.
        num_workers: threads that decode; see [`AudioTextEncoder.embed_clips`].
        embed_texts: called with the encoder, the captions and ``batch_size``, instead of the encoder's own
            ``embed_texts``; it may cache its results.

    Raises:
        AudioReadError: for a clip that cannot be read.
        ValueError: if the split is empty or lacks the relevance column.
    """
    split = RetrievalSplit.from_table(table, relevance_column)
    audio_embeds, _ = encoder.embed_clips(
        split.audio,
        batch_size=batch_size,
        progress=progress,
        description="evaluating",
        num_workers=num_workers,
    )
    if embed_texts is None:
        text_embeds = encoder.embed_texts(split.captions, batch_size=batch_size)
    else:
        text_embeds = embed_texts(encoder, split.captions, batch_size=batch_size)
    return split.metrics(audio_embeds, text_embeds), split.intervals(audio_embeds, text_embeds)
