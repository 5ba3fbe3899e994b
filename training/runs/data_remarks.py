"""Warnings about a stage's data before it trains: clips that splits share, captions that clips share."""

import logging
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from ...data.columns import arrow_column
from ...files.content_digests import ContentDigests
from .stage_inputs import sounds_of

logger = logging.getLogger(__name__)

# Above this share of training rows, captions of several clips are not a matter of chance.
LARGEST_SHARE = 0.2
_SHOWN = 3


def shared_clips(train: pa.Table, other: pa.Table) -> list[tuple[str, str]]:
    """
    Clips of a split whose file has the same content as the file of a training clip.

    Args:
        train, other: as [`sounds_of`] gives them. Clips whose content is not known are not compared.

    Returns:
        (clip of the other split, the first training clip with its content), in the other split's order.
    """
    known: dict[str, str] = {}
    for clip, content in zip(train["clip_id"].to_pylist(), train["content"].to_pylist(), strict=True):
        if content is not None:
            known.setdefault(content, clip)
    found = zip(other["clip_id"].to_pylist(), other["content"].to_pylist(), strict=True)
    return [(clip, known[content]) for clip, content in found if content in known]


def warn_of_shared_clips(
    splits: Mapping[str, Dataset], sounds: Mapping[str, pa.Table], digests: ContentDigests
) -> None:
    """
    Logs how many clips of each evaluated split are training clips too.

    Args:
        splits: the stage's tables.
        sounds: contents of the splits that were compared already.
        digests: digests of files' contents, for the others.
    """
    for name, table in splits.items():
        if name == "train":
            continue
        other = sounds[name] if name in sounds else sounds_of(table, digests)
        if shared := shared_clips(sounds["train"], other):
            named = "; ".join(f"{clip} = {known}" for clip, known in shared[:_SHOWN])
            more = "; ..." if len(shared) > _SHOWN else ""
            logger.warning(
                "split %s: %d of %d clips are also in train (same content), so its metrics are too high: %s%s",
                name,
                len(shared),
                len(other),
                named,
                more,
            )


def share_of_repeated_captions(table: Dataset) -> float:
    """Share of a table's rows, 0 to 1, whose caption is also a caption of another clip."""
    columns = {name: arrow_column(table, name) for name in ("caption", "clip_id")}
    rows = pa.table(columns)
    clips = rows.group_by("caption").aggregate([("clip_id", "count_distinct"), ("clip_id", "count")])
    repeated = pc.greater(clips["clip_id_count_distinct"], 1)
    return (pc.sum(clips["clip_id_count"].filter(repeated)).as_py() or 0) / max(len(rows), 1)


def warn_of_repeated_captions(train: Dataset, positive_column: str) -> None:
    """
    Logs that many training captions belong to several clips that count as irrelevant to each other.

    Args:
        train: the training table.
        positive_column: the recipe's ``data.positive_column``; only clips' own ids need the warning.
    """
    if positive_column != "clip_id":
        return
    share = share_of_repeated_captions(train)
    if share > LARGEST_SHARE:
        logger.warning(
            "%.0f %% of the training captions occur for several clips, and each counts as wrong for the other clips. "
            "Set data.positive_column and evaluation.relevance_column to caption, or to a column of classes.",
            100 * share,
        )


__all__ = ["share_of_repeated_captions", "shared_clips", "warn_of_repeated_captions", "warn_of_shared_clips"]
