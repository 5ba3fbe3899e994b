"""How many captions are longer than a model reads."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..processing import AuricleProcessor

_AT_A_TIME = 4096


@dataclass(frozen=True)
class CaptionLengths:
    """
    The lengths of distinct captions against a model's limit, in tokens, special ones included.

    Attributes:
        limit: tokens that the model reads of a caption.
        captions: how many distinct ones there are.
        cut: how many of them are longer.
        longest: tokens of the longest.
    """

    limit: int
    captions: int
    cut: int
    longest: int

    @property
    def share(self) -> float:
        """Of the captions that are cut, 0 to 1."""
        return self.cut / self.captions if self.captions else 0.0

    def as_record(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "share": round(self.share, 6)}

    def __str__(self) -> str:
        return describe(self.as_record())


def describe(record: dict[str, Any]) -> str:
    """What [`CaptionLengths.as_record`] holds as one sentence."""
    return (
        f"{record['cut']:,} of {record['captions']:,} captions ({100 * record['share']:.1f} %) are longer than the "
        f"{record['limit']} tokens that the model reads and are cut; the longest has {record['longest']}"
    )


def caption_lengths(processor: AuricleProcessor, captions: Sequence[str]) -> CaptionLengths:
    """
    Counts the tokens of captions before they are cut.

    Args:
        processor: the model's own.
        captions: none empty; equal ones count once.
    """
    distinct = list(dict.fromkeys(captions))
    lengths = []
    for start in range(0, len(distinct), _AT_A_TIME):
        prepared = processor.prepare_text(distinct[start : start + _AT_A_TIME])
        # Quiet: that a caption is longer than the model's limit is what is asked here.
        ids = processor.tokenizer(prepared, padding=False, truncation=False, verbose=False)["input_ids"]
        lengths += [len(tokens) for tokens in ids]
    limit = min(processor.max_text_tokens, processor.tokenizer.model_max_length)
    return CaptionLengths(
        limit=limit,
        captions=len(distinct),
        cut=sum(length > limit for length in lengths),
        longest=max(lengths, default=0),
    )


__all__ = ["CaptionLengths", "caption_lengths", "describe"]
