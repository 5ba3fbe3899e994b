"""Stops a training that diverged, at the first loss that is not finite, before such weights are saved."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from transformers import Trainer

from ..conversion.finite_weights import NonFiniteWeightsError, check_finite_weights
from ..files.saved_directories import last_complete_checkpoint
from .losses.gradient_gather import world


class DivergedError(RuntimeError):
    """The loss or weights of a training are no longer finite; the message names the step and what is kept."""


class DivergenceGuard:
    """
    Checks the losses and weights of a training.

    In fp16 a gradient may overflow: the loss scaler then skips the step and lowers its scale, and the weights stay
    as they are. So many such steps one after another are tolerated. In other precisions nothing is.

    Args:
        name: name of the stage, for messages.
        directory: where its checkpoints are.
        max_skipped_steps: in fp16, steps in a row that the loss scaler may skip.
    """

    def __init__(self, name: str, directory: str | Path, max_skipped_steps: int = 0):
        self.name = name
        self.directory = Path(directory)
        self.max_skipped_steps = max_skipped_steps
        self._skipped = 0
        self._seen_step = -1

    def check_loss(self, loss: torch.Tensor, *, step: int, scaled: bool, last_was_skipped: bool) -> None:
        """
        Checks the loss of a batch before the weights are changed by it.

        Args:
            loss: a scalar.
            step: optimiser steps done so far.
            scaled: whether a loss scaler skips steps whose gradients are not finite.
            last_was_skipped: whether it skipped the last one.

        Raises:
            DivergedError: on the main process; the others end quietly with code 2.
        """
        if scaled:
            if step != self._seen_step:
                self._skipped = self._skipped + 1 if last_was_skipped and self._seen_step >= 0 else 0
            self._seen_step = step
            if self._skipped > self.max_skipped_steps:
                raise self._error(
                    f"the last {self._skipped} steps before step {step + 1} were skipped, since their gradients are "
                    f"not finite in fp16 (training.max_skipped_steps={self.max_skipped_steps})"
                )
            return
        broken = (~torch.isfinite(loss.detach())).float().reshape(())
        if world()[1] > 1:
            # All processes stop together: a single one would leave the others waiting for its gradients.
            distributed.all_reduce(broken, op=distributed.ReduceOp.MAX)
        if broken.item():
            value = loss.detach().float().item()
            shown = value if not math.isfinite(value) else "not finite on another process"
            raise self._error(f"the loss of step {step + 1} is {shown}")

    def check_weights(self, weights: Mapping[str, torch.Tensor], *, step: int) -> None:
        """
        Checks the weights before they are evaluated or saved.

        Raises:
            DivergedError: on the main process; the others end quietly with code 2.
        """
        try:
            check_finite_weights(weights, "weights")
        except NonFiniteWeightsError as error:
            raise self._error(f"after step {step} {str(error).removeprefix('weights: ')}") from error

    def _error(self, what: str) -> BaseException:
        if world()[0] != 0:
            return SystemExit(2)
        checkpoint = last_complete_checkpoint(self.directory)
        kept = f"the last checkpoint is {checkpoint}" if checkpoint else "no checkpoint was written yet"
        return DivergedError(
            f"stage {self.name!r} diverged: {what.rstrip('.')}. Nothing was saved since; {kept}. Try a lower "
            "training.learning_rate or another training.precision, with another --output_dir."
        )


class GuardedTrainer(Trainer):
    """
    transformers' Trainer, which stops at the first loss that is not finite and never saves or evaluates such weights.

    Args:
        max_skipped_steps: in fp16, steps in a row that the loss scaler may skip.
        arguments: everything that transformers' Trainer takes.
    """

    def __init__(self, *, max_skipped_steps: int = 0, **arguments: Any):
        super().__init__(**arguments)
        directory = self.args.output_dir
        self.guard = DivergenceGuard(Path(directory).name, directory, max_skipped_steps)

    def training_step(self, *args: Any, **options: Any) -> torch.Tensor:
        """
        The Trainer's own method; checks the loss before the weights are changed.

        Raises:
            DivergedError: if the loss is not finite.
        """
        loss = super().training_step(*args, **options)
        self.guard.check_loss(
            loss,
            step=self.state.global_step,
            scaled=self.accelerator.scaler is not None,
            last_was_skipped=self.accelerator.optimizer_step_was_skipped,
        )
        return loss

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """
        The Trainer's own method, after a check of the weights.

        Raises:
            DivergedError: if a weight is not a finite number.
        """
        self.check_weights()
        super().save_model(output_dir, _internal_call)

    def check_weights(self) -> None:
        """
        Raises an error for weights that are not finite.

        Raises:
            DivergedError: naming the first of them.
        """
        model = self.accelerator.unwrap_model(self.model)
        self.guard.check_weights(model.state_dict(), step=self.state.global_step)


__all__ = ["DivergedError", "DivergenceGuard", "GuardedTrainer"]
