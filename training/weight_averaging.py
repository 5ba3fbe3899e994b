"""An exponential moving average of the weights, which is evaluated and saved instead of the last step's weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from .retrieval_trainer import RetrievalTrainer

AVERAGE_FILE = "weight_average.safetensors"


class WeightAverage(TrainerCallback):
    """
    Averages the weights that are trained: after each step ``average += (1 - d) (weights - average)``.

    ``d`` is the decay, or ``(1 + step) / (10 + step)`` if that is smaller, so that the random start is soon
    forgotten. Every process computes the same average; the first one writes it into the checkpoints.

    Args:
        decay: between 0 and 1.

    Raises:
        ValueError: for another decay.
    """

    def __init__(self, decay: float):
        if not 0 < decay < 1:
            raise ValueError(f"weight_averaging={decay} must be between 0 and 1.")
        self.decay = decay
        self.average: dict[str, torch.Tensor] = {}

    def load(self, checkpoint: str | Path) -> None:
        """
        Loads the average of a checkpoint.

        Raises:
            ValueError: if the checkpoint has no averaged weights.
        """
        file = Path(checkpoint) / AVERAGE_FILE
        if not file.is_file():
            raise ValueError(f"{file}: not found; the checkpoint was written without weight averaging.")
        self.average = load_file(file)

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        """Called by the Trainer once the weights of a checkpoint, if any, are loaded."""
        weights = _trained(model)
        begun = self.average or weights
        self.average = {name: begun[name].detach().clone().to(value) for name, value in weights.items()}

    @torch.no_grad()
    def on_step_end(self, args, state, control, model=None, **kwargs):
        """Called by the Trainer after an optimiser step."""
        decay = min(self.decay, (1 + state.global_step) / (10 + state.global_step))
        for name, value in _trained(model).items():
            self.average[name].lerp_(value, 1 - decay)

    def on_save(self, args, state, control, **kwargs):
        """Called by the Trainer once its own files of a checkpoint are written."""
        if state.is_world_process_zero:
            directory = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            save_file({name: value.cpu() for name, value in self.average.items()}, directory / AVERAGE_FILE)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        """Replaces the model's weights by the averaged ones."""
        _copy(self.average, model)

    @contextmanager
    def applied(self, model: torch.nn.Module) -> Iterator[None]:
        """A context in which the model has the averaged weights."""
        own = (
            {name: value.detach().clone() for name, value in _trained(model).items()} if self.average else {}
        )
        _copy(self.average, model)
        try:
            yield
        finally:
            _copy(own, model)


class AveragingTrainer(RetrievalTrainer):
    """
    A [`RetrievalTrainer`] that evaluates, and therefore saves, averaged weights.

    Checkpoints have both: training continues with its own weights.

    Args:
        arguments: as of [`RetrievalTrainer`]; ``section.weight_averaging`` is the decay.
    """

    def __init__(self, model, processor, section, evaluation, **arguments: Any):
        self.weight_average = WeightAverage(section.weight_averaging)
        # Before the callback that marks a checkpoint as complete.
        arguments["callbacks"] = [self.weight_average, *(arguments.get("callbacks") or ())]
        super().__init__(model, processor, section, evaluation, **arguments)

    def train(self, resume_from_checkpoint=None, *args, **kwargs):
        """As in the Trainer; also loads a checkpoint's average."""
        if resume_from_checkpoint:
            self.weight_average.load(resume_from_checkpoint)
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def evaluate(self, *args, **kwargs):
        """Figures of the averaged weights, see [`RetrievalTrainer.evaluate`]."""
        with self.weight_average.applied(self.model):
            return super().evaluate(*args, **kwargs)


def _trained(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


@torch.no_grad()
def _copy(values: dict[str, torch.Tensor], model: torch.nn.Module) -> None:
    for name, value in _trained(model).items():
        if name in values:
            value.copy_(values[name])


__all__ = ["AVERAGE_FILE", "AveragingTrainer", "WeightAverage"]
