"""transformers' Trainer for a moment head: its losses, and the moment measures of the validation queries."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers.trainer_utils import speed_metrics

from ...evaluation.metrics.moment_metrics import moment_metrics
from ...evaluation.moments.moment_predictions import Span
from ...evaluation.moments.moment_queries import MomentQuery
from ...modeling.modeling_moment import AuricleForMomentRetrieval, MomentOutput
from ..divergence import GuardedTrainer
from ..learning_rate import schedule_steps, warmup_cosine_schedule
from ..losses.loss_parts import LossParts
from .moment_losses import dense_losses, set_losses
from .moment_recipe import MomentTrainingSection
from .moment_rows import RecordingFrameFiles


class MomentTrainer(GuardedTrainer):
    """
    Trains a moment head on rows of [`MomentRows`].

    Args:
        model: the head.
        section: the recipe's training settings.
        queries: of validation.
        recordings: by ``vid`` the key of its frames.
        frames: of these recordings.
        questions: unit vectors by sentence.
        arguments: everything else that transformers' Trainer takes.
    """

    def __init__(
        self,
        model: AuricleForMomentRetrieval,
        section: MomentTrainingSection,
        *,
        queries: Sequence[MomentQuery],
        recordings: Mapping[str, str],
        frames: RecordingFrameFiles,
        questions: Mapping[str, np.ndarray],
        **arguments: Any,
    ):
        self.section, self.queries, self.recordings = section, queries, recordings
        self.frames, self.questions = frames, questions
        self._loss_parts = LossParts()
        super().__init__(model=model, **arguments)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The weighted losses of a batch."""
        output = model(inputs["frames"], inputs["questions"], inputs["frame_mask"])
        parts = self._parts(output, inputs)
        if model.training:
            self._loss_parts.add(
                {f"loss_{name}": loss for name, loss in parts.items()},
                step=self.state.global_step,
                batches=self.current_gradient_accumulation_steps,
            )
        weights = {"span": self.section.span_weight, "quality": self.section.quality_weight}
        total = sum(weights.get(name, 1.0) * loss for name, loss in parts.items())
        return (total, output) if return_outputs else total

    def _parts(self, output: MomentOutput, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        config = self.accelerator.unwrap_model(self.model).config
        if config.decoder == "dense":
            return dense_losses(
                output.logits,
                output.quality_logits,
                output.spans,
                inputs["frame_mask"],
                inputs["inside"],
                inputs["true_spans"],
            )
        return set_losses(
            output.logits,
            output.quality_logits,
            output.spans,
            output.saliency_logits,
            inputs["frame_mask"],
            inputs["inside"],
            inputs["moments"],
            float(config.longest_seconds),
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs the loss together with its parts, each unweighted and averaged like the whole."""
        if "loss" in logs:
            logs |= {name: mean.item() for name, mean in self._loss_parts.take().items()}
        super().log(logs, start_time)

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        """AdamW; biases and norms do not decay."""
        if self.optimizer is None:
            optimizer_class, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            decays = [parameter for parameter in self.model.parameters() if parameter.dim() > 1]
            stays = [parameter for parameter in self.model.parameters() if parameter.dim() <= 1]
            groups = [
                {"params": decays, "weight_decay": self.section.weight_decay},
                {"params": stays, "weight_decay": 0.0},
            ]
            self.optimizer = optimizer_class(groups, **options)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None):
        """Linear rise, then a cosine to the floor."""
        if self.lr_scheduler is None:
            steps = schedule_steps(
                num_training_steps, self.section.epochs, warmup_share=self.section.warmup_share
            )
            self.lr_scheduler = warmup_cosine_schedule(
                optimizer or self.optimizer,
                warmup_steps=steps.warmup_steps,
                cosine_end_step=steps.cosine_end_step,
                min_learning_rate=self.section.min_learning_rate,
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def evaluate(
        self, eval_dataset=None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """
        The moment measures of all validation queries, ``<prefix>_R1@0.7`` and so on.

        Args:
            eval_dataset, ignore_keys: unused; part of the Trainer's interface.
            metric_key_prefix: prefix of the figures' names.
        """
        self.check_weights()
        started = time.time()
        model = self.accelerator.unwrap_model(self.model)
        spans = predict_moments(model, self.queries, self.recordings, self.frames, self.questions)
        figures = moment_metrics(
            [[span[:2] for span in spans[query.qid]] for query in self.queries],
            [query.moments for query in self.queries],
        )
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in figures.items()}
        metrics.update(speed_metrics(metric_key_prefix, started, num_samples=len(self.queries)))
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def predict_moments(
    model: AuricleForMomentRetrieval,
    queries: Sequence[MomentQuery],
    recordings: Mapping[str, str],
    frames: RecordingFrameFiles,
    questions: Mapping[str, np.ndarray],
    *,
    top: int = 10,
) -> dict[str, list[Span]]:
    """
    A head's moments of queries whose recordings' frames are there.

    Args:
        model: the head; left in the mode that it was in.
        queries: what is asked.
        recordings: by ``vid`` the key of its frames.
        frames: of the recordings.
        questions: unit vectors by sentence.
        top: spans a query.

    Returns:
        By ``qid`` ``(start, end, score)``, the best first.
    """
    spans = {}
    for query in queries:
        grid = frames[recordings[query.vid]]
        spans[query.qid] = model.find_moments(
            torch.from_numpy(grid.vectors),
            torch.from_numpy(np.array(questions[query.query], dtype=np.float32)),
            duration=grid.duration,
            top=top,
        )
    return spans


__all__ = ["MomentTrainer", "predict_moments"]
