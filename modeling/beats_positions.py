"""BEATs' two kinds of position encoding: a convolution and gated relative distances."""

import math

import torch
from torch import nn


class WeightNormalisedConv(nn.Module):
    """
    Grouped convolution over the token axis, its weight split into direction and length.

    ``weight[:, :, k] = weight_g[k] * weight_v[:, :, k] / |weight_v[:, :, k]|``: one length per position of the
    kernel, over all channels. An even kernel adds one token at the end, which is dropped.
    """

    def __init__(self, width: int, kernel_size: int, groups: int):
        super().__init__()
        self.groups = groups
        self.bias = nn.Parameter(torch.zeros(width))
        self.weight_g = nn.Parameter(torch.ones(1, 1, kernel_size))
        self.weight_v = nn.Parameter(torch.zeros(width, width // groups, kernel_size))
        self.register_buffer("kept_weight", None, persistent=False)

    def weight(self) -> torch.Tensor:
        """The kernel, ``(width, width / groups, kernel_size)``, in the type of ``weight_v``."""
        norm = torch.linalg.vector_norm(self.weight_v.float(), dim=(0, 1), keepdim=True)
        return (self.weight_v.float() * (self.weight_g.float() / norm)).to(self.weight_v.dtype)

    @torch.no_grad()
    def keep_weight(self) -> None:
        """
        Computes the kernel once, for a model whose weights do not change any more; results stay the same bits.

        Training mode and loading of weights end it. Weights that are changed in another way take no effect.
        """
        self.kept_weight = self.weight()

    def train(self, mode: bool = True) -> "WeightNormalisedConv":
        """Also ends [`keep_weight`] with ``mode``."""
        if mode:
            self.kept_weight = None
        return super().train(mode)

    def _load_from_state_dict(self, *arguments, **options) -> None:
        self.kept_weight = None
        super()._load_from_state_dict(*arguments, **options)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """``(segments, tokens, width)`` to the same shape; both ends are padded with zeros."""
        length, kernel_size = tokens.shape[1], self.weight_v.shape[2]
        weight = self.kept_weight
        if weight is None or torch.is_grad_enabled():
            weight = self.weight()
        convolved = nn.functional.conv1d(
            tokens.transpose(1, 2), weight, self.bias, padding=kernel_size // 2, groups=self.groups
        )
        return convolved[:, :, :length].transpose(1, 2)


def relative_position_bucket(distance: torch.Tensor, num_buckets: int, max_distance: int) -> torch.Tensor:
    """
    Row of the position table for a distance (the bidirectional buckets of T5).

    The first half of the rows is for keys at or before the query, the second for keys after it. In each half
    the first half counts single tokens, the rest grows with the logarithm up to ``max_distance``.

    Args:
        distance: int64, position of the key minus position of the query, any shape.
        num_buckets: rows of the table.
        max_distance: all distances from this one on share one row.

    Returns:
        int64 of the same shape, 0 to ``num_buckets - 1``.
    """
    half = num_buckets // 2
    exact = half // 2
    size = distance.abs()
    growth = torch.log(size.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = (exact + (growth * (half - exact)).to(torch.int64)).clamp(max=half - 1)
    return (distance > 0).to(torch.int64) * half + torch.where(size < exact, size, far)


__all__ = ["WeightNormalisedConv", "relative_position_bucket"]
