"""Heads that predict a caption's cluster from a tower's output; trained in the third stage, unused afterwards."""

import torch
from torch import nn
from transformers import initialization as init


class ClusterHeadLayer(nn.Linear):
    """
    A linear layer whose initial weights keep the scale of its input, for any width.

    transformers uses one fixed standard deviation for all linear layers, with which a head on a narrow tower hardly
    learns.
    """

    @torch.no_grad()
    def draw_weights(self, generator: torch.Generator | None = None) -> None:
        """
        Draws new weights; weights that the loader filled from a checkpoint stay.

        Args:
            generator: random generator on the weights' device; None draws from torch's own.
        """
        init.normal_(self.weight, std=self.in_features**-0.5, generator=generator)
        init.zeros_(self.bias)


class ClusterHead(nn.Module):
    """
    Two layers on a tower's pooled output, d -> 3d -> ReLU -> clusters (AISTAT report, arXiv 2509.16649).

    Args:
        width: d, of the tower's output.
        num_clusters: number of classes.
    """

    def __init__(self, width: int, num_clusters: int):
        super().__init__()
        self.hidden = ClusterHeadLayer(width, 3 * width)
        self.output = ClusterHeadLayer(3 * width, num_clusters)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """``(batch, width)`` to logits ``(batch, num_clusters)``."""
        return self.output(self.hidden(pooled).relu())

    def draw_weights(self, generator: torch.Generator | None = None) -> None:
        """Initialises both layers again, see [`ClusterHeadLayer`]."""
        self.hidden.draw_weights(generator)
        self.output.draw_weights(generator)


__all__ = ["ClusterHead", "ClusterHeadLayer"]
