"""transformers' Trainer for dual encoders: gathered loss, learning rates per tower, retrieval evaluation."""

import time
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import distributed
from transformers.trainer_utils import speed_metrics

from ..encoders.auricle_encoder import AuricleEncoder
from ..evaluation.retrieval import RetrievalSplit
from ..modeling import AuricleModel
from ..modeling.config_checks import refuse_impossible_prefixes
from ..processing import AuricleProcessor
from .divergence import GuardedTrainer
from .learning_rate import schedule_steps, warmup_cosine_schedule
from .losses.cluster_loss import cluster_losses
from .losses.frame_phrase_step import check_model_keeps_frames, frame_phrase_step, take_phrases
from .losses.gradient_cache import GradientCache
from .losses.gradient_gather import (
    gather_rows,
    gathered_contrastive_loss,
    gathered_distillation_loss,
    gathered_similarities,
    world,
)
from .losses.loss_parts import LossParts
from .losses.matryoshka import prefixes
from .losses.objective import Objective
from .recipe.schema import EvaluationSection, TrainingSection
from .teachers.pooled_captions import PooledCaptions

# What a recipe's `freeze` names, as the model's attributes.
_MODULES_OF = {
    "audio": "audio_model",
    "text": "text_model",
    "audio_projection": "audio_projection",
    "text_projection": "text_projection",
}


class RetrievalTrainer(GuardedTrainer):
    """
    Trains an [`AuricleModel`] on rows of [`TrainingClips`].

    Both towers run in one forward call, embeddings of all processes are compared with each other, and
    evaluation embeds every clip and every caption of the validation split once.

    Args:
        model: the dual encoder.
        processor: its processor; saved with every checkpoint.
        section: the stage's training settings.
        evaluation: how to evaluate.
        objective: the losses' weights; None is the contrastive loss only. Distillation needs rows with teachers'
            vectors, cluster losses need rows with clusters and a model with heads for them.
        run_seed: seed of the token drop.
        validation: the validation split's table, or None.
        pooled_captions: directory that stores a frozen text tower's vectors beyond this stage; None keeps them in
            memory.
        arguments: everything else that transformers' Trainer takes.

    Raises:
        ValueError: if the objective needs what the model or the rows do not have, or the model has parameters that
            no loss would train.
    """

    loss_is_scaled_for_ga = False

    def __init__(
        self,
        model: AuricleModel,
        processor: AuricleProcessor,
        section: TrainingSection,
        evaluation: EvaluationSection,
        *,
        objective: Objective | None = None,
        run_seed: int,
        validation: Dataset | None = None,
        pooled_captions: PooledCaptions | None = None,
        **arguments: Any,
    ):
        self.section = section
        self.evaluation = evaluation
        self.objective = objective or Objective()
        clips = arguments.get("train_dataset")
        self.objective.check_fit(
            num_clusters=model.config.num_clusters,
            learns_temperature=model.logit_scale is not None,
            has_teachers=getattr(clips, "teachers", None) is not None,
            has_clusters=getattr(clips, "cluster_of_row", None) is not None,
        )
        if self.objective.frame_phrase_weight:
            check_model_keeps_frames(model)
            if world()[1] > 1:
                raise ValueError(
                    "the frame-phrase loss trains in one process; start it without a launcher of several."
                )
        self.run_seed = run_seed
        self.validation = (
            None if validation is None else RetrievalSplit.from_table(validation, evaluation.relevance_column)
        )
        self.pooled_captions = pooled_captions
        self._pooled_validation_text: np.ndarray | None = None
        self._micro_step = (-1, 0)
        self._loss_parts = LossParts()
        size = section.micro_batch_size
        self._gradient_cache = None if size is None else GradientCache(size)
        self._in_cached_step = False
        refuse_impossible_prefixes(section.matryoshka_dims, model.config.projection_dim)
        # Set None as well: training without prefixes makes those of the initial model invalid.
        model.config.matryoshka_dims = list(section.matryoshka_dims) or None
        for name in section.freeze:
            getattr(model, _MODULES_OF[name]).requires_grad_(False)
        # Until training sets it; a loss may be asked for before.
        self.current_gradient_accumulation_steps = 1
        super().__init__(
            model=model,
            processing_class=processor,
            eval_dataset=validation,
            max_skipped_steps=section.max_skipped_steps,
            **arguments,
        )

    def training_step(self, model, inputs, num_items_in_batch=None):
        """One batch's loss and gradients, in micro-batches if the section sets their size."""
        if self._gradient_cache is None:
            return super().training_step(model, inputs, num_items_in_batch)
        self._in_cached_step = True
        try:
            loss = super().training_step(model, inputs, num_items_in_batch)
        finally:
            self._in_cached_step = False
        self._gradient_cache.backward(model)
        return loss

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The stage's objective; this process's pairs are compared with those of all processes."""
        inputs, weights = dict(inputs), self.objective
        groups = inputs.pop("groups")
        teachers = [inputs.pop(name, None) for name in ("teacher_audio", "teacher_text")]
        answering = inputs.pop("teacher_answering", None)
        clusters = inputs.pop("cluster_labels", None)
        phrases = take_phrases(inputs)
        dual_encoder = self.accelerator.unwrap_model(model)
        for name in self.section.freeze:
            getattr(dual_encoder, _MODULES_OF[name]).eval()
        with_clusters = weights.cluster_weight > 0
        options = {"generator": self._token_drop_generator(), "return_cluster_logits": with_clusters or None}
        if self._in_cached_step:
            outputs = self._gradient_cache.forward(model, inputs, **options)
        else:
            outputs = model(**inputs, **options)
        scale = outputs.logit_scale.to(groups.device)
        # Prefixes of the embeddings, each a whole one by itself; without any, the embeddings as they are.
        similarities = [
            gathered_similarities(*embeds)
            for embeds in prefixes((outputs.audio_embeds, outputs.text_embeds), self.section.matryoshka_dims)
        ]
        terms: dict[str, tuple[float, torch.Tensor]] = {}
        if weights.contrastive_weight:
            loss = sum(gathered_contrastive_loss(one, groups, scale) for one in similarities)
            terms["loss_contrastive"] = weights.contrastive_weight, loss
        if weights.distillation_weight:
            temperature = weights.distillation_temperature or 1 / scale
            loss = sum(
                gathered_distillation_loss(one, *teachers, temperature, answering) for one in similarities
            )
            terms["loss_distillation"] = weights.distillation_weight, loss
        if with_clusters:
            audio, text = cluster_losses(outputs.audio_cluster_logits, outputs.text_cluster_logits, clusters)
            terms["loss_cluster_audio"] = weights.cluster_weight, audio
            terms["loss_cluster_text"] = weights.cluster_weight, text
        if weights.frame_phrase_weight and phrases:
            extractor = self.processing_class.feature_extractor
            terms["loss_frame_phrase"] = (
                weights.frame_phrase_weight,
                frame_phrase_step(
                    dual_encoder,
                    outputs.audio_model_output.last_hidden_state,
                    inputs["segment_counts"],
                    phrases,
                    segment_seconds=extractor.segment_seconds,
                    mel_hop_seconds=extractor.hop_length / extractor.sampling_rate,
                ),
            )
        if model.training:
            self._loss_parts.add(
                {name: loss for name, (_, loss) in terms.items()},
                step=self.state.global_step,
                batches=self.current_gradient_accumulation_steps,
            )
        total = sum(weight * loss for weight, loss in terms.values())
        return (total, outputs) if return_outputs else total

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs the loss together with its parts, each unweighted and averaged like the whole."""
        if "loss" in logs:
            for name, mean in self._loss_parts.take().items():
                logs[name] = gather_rows(mean.reshape(1), with_gradient=False).mean().item()
        super().log(logs, start_time)

    def _token_drop_generator(self) -> torch.Generator:
        """The same draw on every process and after a resume: keyed on seed, step and accumulation step."""
        step, micro = self._micro_step
        micro = micro + 1 if step == self.state.global_step else 0
        self._micro_step = (self.state.global_step, micro)
        key = np.random.SeedSequence((self.run_seed, self.state.global_step, micro)).generate_state(1)[0]
        return torch.Generator().manual_seed(int(key))

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        """
        AdamW with separate rates for towers and for projections; biases, norms and the temperature do not decay.

        Cluster heads are treated like projections: they start again.
        """
        if self.optimizer is None:
            optimizer_class, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            options.pop("lr", None)
            self.optimizer = optimizer_class(self._parameter_groups(), **options)
        return self.optimizer

    def _parameter_groups(self) -> list[dict[str, Any]]:
        tower_rate = self.section.learning_rate
        projection_rate = self.section.projection_learning_rate or tower_rate
        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                in_tower = name.startswith(("audio_model.", "text_model."))
                groups.setdefault((in_tower, parameter.dim() > 1), []).append(parameter)
        return [
            {
                "params": parameters,
                "lr": tower_rate if in_tower else projection_rate,
                "weight_decay": self.section.weight_decay if decays else 0.0,
                "name": f"{'tower' if in_tower else 'projection'}{'' if decays else ', no decay'}",
            }
            for (in_tower, decays), parameters in groups.items()
        ]

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None):
        """Linear rise, then a cosine to the same absolute floor for every group."""
        if self.lr_scheduler is None:
            section = self.section
            steps = schedule_steps(
                num_training_steps,
                section.epochs,
                warmup_share=section.warmup_share,
                warmup_epochs=section.warmup_epochs,
                cosine_end_epoch=section.cosine_end_epoch,
            )
            self.lr_scheduler = warmup_cosine_schedule(
                optimizer or self.optimizer,
                warmup_steps=steps.warmup_steps,
                cosine_end_step=steps.cosine_end_step,
                min_learning_rate=section.min_learning_rate,
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def evaluate(
        self,
        eval_dataset: Dataset | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """
        Retrieval figures of the whole validation split, in both directions.

        Args:
            eval_dataset: another table to evaluate; None is the validation split.
            ignore_keys: unused; part of the Trainer's interface.
            metric_key_prefix: prefix of the figures' names.

        Returns:
            ``<prefix>_text_to_audio_mAP@16`` and so on.

        Raises:
            ValueError: if there is neither a table nor a validation split.
        """
        split = self.validation
        if eval_dataset is not None:
            split = RetrievalSplit.from_table(eval_dataset, self.evaluation.relevance_column)
        if split is None:
            raise ValueError("evaluate: there is no validation split; pass eval_dataset.")
        self.check_weights()
        started = time.time()
        encoder = AuricleEncoder(self.accelerator.unwrap_model(self.model), self.processing_class)
        rank, processes = world()
        own_audio, _ = encoder.embed_clips(
            split.audio[rank::processes],
            batch_size=self.evaluation.batch_size,
            progress=rank == 0 and not self.args.disable_tqdm,
            description="evaluating",
            num_workers=self.evaluation.num_workers,
        )
        figures = split.metrics(
            _interleave(own_audio, len(split.audio)),
            self._embed_validation_text(encoder, split, is_validation=split is self.validation),
        )
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in figures.items()}
        metrics.update(speed_metrics(metric_key_prefix, started, num_samples=len(split.audio)))
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _embed_validation_text(
        self, encoder: AuricleEncoder, split: RetrievalSplit, *, is_validation: bool
    ) -> np.ndarray:
        options = {"batch_size": self.evaluation.batch_size}
        if not (is_validation and "text" in self.section.freeze):
            return encoder.embed_texts(split.captions, **options)
        if self._pooled_validation_text is None:
            if self.pooled_captions is None:
                self._pooled_validation_text = encoder.pool_texts(split.captions, **options)
            else:
                self._pooled_validation_text = self.pooled_captions.pooled(encoder, split.captions, **options)
        return encoder.project_texts(self._pooled_validation_text)


def _interleave(own: np.ndarray, total: int) -> np.ndarray:
    """Rows that every process computed for its share ``rank::processes``, in the original order."""
    _, processes = world()
    if processes == 1:
        return own
    parts: list[Any] = [None] * processes
    distributed.all_gather_object(parts, own)
    rows = np.zeros((total, own.shape[1]), dtype=own.dtype)
    for rank, part in enumerate(parts):
        rows[rank::processes] = part
    return rows
