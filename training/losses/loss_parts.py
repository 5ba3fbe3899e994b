"""The parts of a loss over the steps between two log entries."""

from collections.abc import Mapping

import torch


class LossParts:
    """Averages the parts of the loss between log entries, as transformers' Trainer does for the whole loss."""

    def __init__(self):
        self._sums: dict[str, torch.Tensor] = {}
        self._steps: set[int] = set()

    def add(self, parts: Mapping[str, torch.Tensor], *, step: int, batches: int) -> None:
        """
        Args:
            parts: scalars of one batch; they stay on their device, to avoid synchronisation.
            step: the optimiser step that the batch belongs to.
            batches: number of batches that the step accumulates.
        """
        self._steps.add(step)
        for name, value in parts.items():
            share = value.detach().float() / batches
            self._sums[name] = self._sums[name] + share if name in self._sums else share

    def take(self) -> dict[str, torch.Tensor]:
        """Each part's mean over the steps since the last call, a float32 scalar; empty without steps."""
        means = {name: value / len(self._steps) for name, value in self._sums.items()}
        self._sums, self._steps = {}, set()
        return means


__all__ = ["LossParts"]
