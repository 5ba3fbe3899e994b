"""Counts captions that are longer than a model's limit."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from .interface import AudioTextEncoder


@dataclass(frozen=True)
class CaptionLengths:
    """
    The lengths of distinct captions against a model's limit, in tokens, special ones included.

    Attributes:
        limit: number of tokens of a caption that the model uses.
        captions: number of distinct captions.
        cut: number of captions above the limit.
        longest: number of tokens of the longest caption.
    """

    limit: int
    captions: int
    cut: int
    longest: int

    @property
    def share(self) -> float:
        """The share of captions that are cut, 0 to 1."""
        return self.cut / self.captions if self.captions else 0.0

    def as_record(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {**asdict(self), "share": round(self.share, 6)}

    def __str__(self) -> str:
        return describe(self.as_record())


def describe(record: dict[str, Any]) -> str:
    """[`CaptionLengths.as_record`] as one sentence."""
    return (
        f"{record['cut']:,} of {record['captions']:,} captions ({100 * record['share']:.1f} %) are longer than the "
        f"{record['limit']} tokens that the model reads and are cut; the longest has {record['longest']} tokens"
    )


def caption_lengths(encoder: AudioTextEncoder, captions: Iterable[str]) -> CaptionLengths | None:
    """
    Counts the tokens of captions before they are cut.

    Args:
        encoder: the encoder with the limit and the tokenizer.
        captions: sentences, none empty; equal ones count once.

    Returns:
        None for an encoder that has no limit or cannot count tokens.
    """
    distinct = list(dict.fromkeys(captions))
    limit, lengths = encoder.max_text_tokens, encoder.count_tokens(distinct)
    if limit is None or lengths is None:
        return None
    return CaptionLengths(
        limit=limit,
        captions=len(distinct),
        cut=sum(length > limit for length in lengths),
        longest=max(lengths, default=0),
    )


__all__ = ["CaptionLengths", "caption_lengths", "describe"]
