"""Prefixes of embeddings that are trained for use on their own (Matryoshka representation learning)."""

from collections.abc import Sequence

import torch


def prefixes(embeddings: Sequence[torch.Tensor], dims: Sequence[int]) -> list[tuple[torch.Tensor, ...]]:
    """
    The first numbers of each row, normalised to unit length, for each width (Kusupati et al., arXiv 2205.13147).

    A loss summed over prefixes trains vectors that may be cut. The whole vectors are always included: otherwise numbers
    after the longest prefix would not be trained.

    Args:
        embeddings: tensors ``(rows, width)`` of unit rows, of one width.
        dims: widths of the prefixes, 1 to the whole width.

    Returns:
        A tuple of the tensors' prefixes for each width, and last the whole tensors.
    """
    whole = embeddings[0].shape[-1]
    cut = [
        tuple(torch.nn.functional.normalize(rows[:, :width], dim=-1) for rows in embeddings)
        for width in dims
        if width < whole
    ]
    return [*cut, tuple(embeddings)]


__all__ = ["prefixes"]
