"""Callbacks for epochs and checkpoints of a training, and saving a model."""

import math
from pathlib import Path

from torch import distributed
from transformers import TrainerCallback

from ..conversion.finite_weights import check_finite_weights
from ..files.saved_directories import (
    mark_checkpoint_complete,
    read_json,
    recover_directory,
    remove_old_checkpoints,
    replace_directory,
    write_json,
)
from ..modeling import AuricleModel
from ..processing import AuricleProcessor
from .losses.gradient_gather import world
from .models.lora import ADAPTER_FOLDER, has_lora, merge_lora, save_adapter
from .rows.training_clips import TrainingClips


class EpochTeller(TrainerCallback):
    """
    Passes the epoch to the training rows, since their crops and variations depend on it.

    accelerate's loader does the same, except if it splits batches among processes or skips batches after a
    resume: then each epoch would see the crops of the first one again.

    Args:
        clips: the training rows.
    """

    def __init__(self, clips: TrainingClips):
        self.clips = clips

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Called by the Trainer before the first batch of an epoch, also of a resumed one."""
        self.clips.set_epoch(int(state.epoch))


class EvaluationBeforeSaving(TrainerCallback):
    """
    Evaluates an epoch before its last step's checkpoint is written, not after.

    Otherwise a run killed between the two would continue from that checkpoint with the next epoch, and this one
    could never become the best.
    """

    def __init__(self):
        self.evaluated_step = -1

    def on_step_end(self, args, state, control, **kwargs):
        """Called by the Trainer after an optimiser step."""
        ends_epoch = float(state.epoch).is_integer() or state.global_step >= state.max_steps
        if control.should_save and ends_epoch:
            control.should_evaluate = True

    def on_evaluate(self, args, state, control, **kwargs):
        """Called by the Trainer after an evaluation."""
        self.evaluated_step = state.global_step

    def on_epoch_end(self, args, state, control, **kwargs):
        """Called by the Trainer after an epoch."""
        if self.evaluated_step == state.global_step:
            control.should_evaluate = False


class CheckpointMarker(TrainerCallback):
    """
    Marks each checkpoint once it is complete on disk, and only then deletes the oldest.

    Args:
        keep: number of checkpoints that stay.
    """

    def __init__(self, keep: int):
        self.keep = keep

    def on_save(self, args, state, control, **kwargs):
        """Called by the Trainer on every process after its last file of a checkpoint."""
        _, processes = world()
        if processes > 1:
            distributed.barrier()
        if state.is_world_process_zero:
            directory = Path(args.output_dir)
            mark_checkpoint_complete(directory / f"checkpoint-{state.global_step}", processes)
            remove_old_checkpoints(directory, self.keep)


class BestModelKeeper(TrainerCallback):
    """
    Saves the model with the best validation figure, with its processor, in a directory of its own.

    Of equally good models the first is kept; NaN is never the best.

    Args:
        directory: where the best model is.
        metric: its figure, without the ``eval_`` prefix; higher is better.
        processor: saved next to the weights; None for a model without one.
    """

    def __init__(self, directory: Path, metric: str, processor: AuricleProcessor | None):
        self.directory = directory
        self.metric = metric
        self.processor = processor
        rank, _ = world()
        if rank == 0:
            recover_directory(directory)

    def on_evaluate(self, args, state, control, metrics, model, **kwargs):
        """Called by the Trainer after an evaluation."""
        if not state.is_world_process_zero:
            return
        figure = metrics[f"eval_{self.metric}"]
        best = read_json(self.directory / "best.json")
        if not math.isfinite(figure) or (best is not None and figure <= best["value"]):
            return

        def write(directory: Path) -> None:
            save_model(model, self.processor, directory)
            write_json(
                directory / "best.json",
                {"metric": self.metric, "value": figure, "step": state.global_step, "epoch": state.epoch},
            )

        replace_directory(self.directory, write)


def save_model(model: AuricleModel, processor: AuricleProcessor | None, directory: Path) -> None:
    """
    Saves weights, config, processor and the code that they need into one loadable directory.

    Saves the merged weights of a model with adapters, and the adapters in a folder of their own.

    Raises:
        NonFiniteWeightsError: if a weight is not a finite number.
    """
    check_finite_weights(model.state_dict(), str(directory))
    if has_lora(model):
        save_adapter(model, directory / ADAPTER_FOLDER)
        model = merge_lora(model)
    model.save_pretrained(directory)
    if processor is not None:
        processor.save_pretrained(directory)


__all__ = ["BestModelKeeper", "CheckpointMarker", "EpochTeller", "EvaluationBeforeSaving", "save_model"]
