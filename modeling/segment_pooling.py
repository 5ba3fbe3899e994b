"""From tokens to a sentence's vector, from segments to a clip's vector."""

import torch


def mean_over_segments(segments: torch.Tensor, segment_counts: torch.Tensor | None) -> torch.Tensor:
    """
    Averages each clip's consecutive segment vectors, in float32.

    Args:
        segments: ``(segments, width)``, clip after clip.
        segment_counts: int64 ``(clips,)``, at least 1 each; None means that every segment is a clip.

    Returns:
        ``(clips, width)`` in the type of ``segments``.

    Raises:
        ValueError: if a count is below 1 or the counts do not add up to the number of segments.
    """
    if segment_counts is None:
        return segments
    counts = segment_counts.to(device=segments.device, dtype=torch.int64)
    if not torch.compiler.is_compiling():
        given = counts.tolist()
        if min(given, default=0) < 1 or sum(given) != len(segments):
            raise ValueError(
                f"segment_counts={given} must be at least 1 each and add up to the "
                f"{len(segments)} segments given."
            )
    return torch.segment_reduce(segments.float(), "mean", lengths=counts, unsafe=True).to(segments.dtype)


def pool_tokens(tokens: torch.Tensor, attention_mask: torch.Tensor | None, pooling: str) -> torch.Tensor:
    """
    One vector a sentence.

    Args:
        tokens: ``(captions, tokens, width)``.
        attention_mask: 1 for real tokens, 0 for padding, ``(captions, tokens)``; None means all real.
        pooling: ``"cls"`` for the first token, ``"mean"`` for the mean over the real tokens.

    Returns:
        ``(captions, width)``.

    Raises:
        ValueError: for another ``pooling``.
    """
    if pooling == "cls":
        return tokens[:, 0]
    if pooling != "mean":
        raise ValueError(f"text_pooling={pooling!r}; known: 'cls', 'mean'.")
    if attention_mask is None:
        return tokens.mean(dim=1)
    weights = attention_mask.to(tokens).unsqueeze(-1)
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
