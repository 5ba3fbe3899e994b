"""Heads that tell a caption's cluster from a tower's output; trained in the third stage, not needed afterwards."""

import torch
from torch import nn
from transformers import initialization as init


class ClusterHead(nn.Module):
    """
    Two layers on a tower's pooled output, d -> 3d -> ReLU -> clusters (AISTAT report, arXiv 2509.16649).

    Args:
        width: d, of the tower's output.
        num_clusters: number of classes.
    """

    def __init__(self, width: int, num_clusters: int):
        super().__init__()
        self.hidden = nn.Linear(width, 3 * width)
        self.output = nn.Linear(3 * width, num_clusters)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """``(batch, width)`` to logits ``(batch, num_clusters)``."""
        return self.output(self.hidden(pooled).relu())

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """
        Draws new weights; values that were loaded from a checkpoint stay.

        Args:
            generator: of the weights' device; None draws from torch's own.
        """
        # A fixed deviation, as the library gives linear layers, starves narrow towers; these keep the scale.
        init.normal_(self.hidden.weight, std=(2 / self.hidden.in_features) ** 0.5, generator=generator)
        init.normal_(self.output.weight, std=self.output.in_features**-0.5, generator=generator)
        init.zeros_(self.hidden.bias)
        init.zeros_(self.output.bias)


__all__ = ["ClusterHead"]
