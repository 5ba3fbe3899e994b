"""Runs one stage: from data and a starting model to the stage's own model directory."""

import logging
import platform
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import TrainingArguments

from ...data.columns import arrow_column, values_of
from ...data.schema import unique_clips
from ...data.waveform_cache import WaveformCache
from ...encoders.auricle_embedding import distinct_in_order
from ...encoders.caption_lengths import caption_lengths
from ...files.saved_directories import (
    last_complete_checkpoint,
    processes_of_checkpoint,
    read_json,
    remove_incomplete_checkpoints,
    replace_directory,
)
from ...processing import AuricleFeatureExtractor
from ..losses.gradient_gather import world
from ..losses.objective import Objective
from ..models.lora import add_lora, trainable_share
from ..models.model_building import BuiltModel
from ..recipe.reading import RecipeError, Stage
from ..recipe.schema import EvaluationSection
from ..retrieval_trainer import RetrievalTrainer
from ..rows.caption_variants import caption_variants
from ..rows.clip_events import check_keeps_times, read_clip_events
from ..rows.collator import RetrievalCollator
from ..rows.training_clips import TrainingClips, read_unreadable_log
from ..teachers.pooled_captions import PooledCaptions
from ..trainer_callbacks import (
    BestModelKeeper,
    CheckpointMarker,
    EpochTeller,
    EvaluationBeforeSaving,
    save_model,
)
from ..weight_averaging import AveragingTrainer
from .needs import check_fills_batch, check_training
from .precision import accelerate_set_to, effective_precision, tell_disagreement
from .stage_objective import StageObjective

UNREADABLE_LOG = "unreadable.jsonl"
POOLED_CAPTIONS = "pooled_captions"

logger = logging.getLogger(__name__)


def run_stage(
    stage: Stage,
    built: BuiltModel,
    splits: dict[str, Dataset],
    evaluation: EvaluationSection,
    objective: StageObjective | None = None,
    *,
    directory: Path,
    run_name: str,
    seed: int,
    pooled_captions: PooledCaptions | None = None,
    sounds: str | None = None,
    progress: bool = True,
) -> dict:
    """
    Trains a stage, resuming from its last complete checkpoint if there is one.

    Args:
        stage: its settings.
        built: the model it starts from; trained in place.
        splits: tables; ``train`` for training, ``validation`` (if any) for choosing the best epoch.
        evaluation: how to evaluate.
        objective: the stage's losses, teachers and clusters; decides whether the model has cluster heads. None
            is the contrastive loss only.
        directory: directory of the stage; the model is saved in ``directory/model``.
        run_name: name of the run for trackers.
        seed: seed of data order, crops, caption edits, new cluster heads, token drop and dropout.
        pooled_captions: where a frozen text tower's vectors are kept for other stages; ``directory``'s own if None.
        sounds: fingerprint of the contents of the training sounds, which decoded ones are kept by.
        progress: show progress bars.

    Returns:
        A summary: steps, epochs, the seconds of this call, the last loss that was logged, the best validation
        figure, files that could no longer be read, how many captions are cut, teachers and clusters, and the log.

    Raises:
        RecipeError: if the settings do not fit the data.
    """
    section, model, processor = stage.training, built.model, built.processor
    objective = objective or StageObjective(Objective())
    pooled_captions = pooled_captions or PooledCaptions(directory / POOLED_CAPTIONS)
    extractor = processor.feature_extractor
    crop = stage.data.crop_seconds
    if crop is not None and crop > extractor.segment_seconds:
        raise RecipeError(
            f"stage {stage.name!r}: data.crop_seconds={crop} is longer than a segment "
            f"({extractor.segment_seconds} s); crop with data.max_clip_seconds instead."
        )
    check_training(stage)
    precision = effective_precision(section.precision)
    if world()[0] == 0:
        tell_disagreement(stage.name, precision)
    table = splits["train"]
    check_keeps_times(stage)
    events = None
    if section.frame_phrase_weight:
        events = read_clip_events(table, stage.data.events_column, stage.data.max_clip_seconds)
    # A model that has one keeps it: its frames were trained.
    model.set_local_projection(model.local_projection is not None or bool(section.frame_phrase_weight))
    model.set_num_clusters(objective.num_clusters, torch.Generator().manual_seed(seed))
    if section.lora.towers:
        add_lora(model, section.lora, base=_saved_base(stage, built), seed=seed)
    clips = TrainingClips(
        table,
        extractor,
        stage.data,
        seed=seed,
        waveforms=_cache_waveforms(table, stage, extractor, sounds, progress),
        pooled_text=_pool_frozen_text(stage, built, table, pooled_captions, progress),
        unreadable_log=directory / UNREADABLE_LOG,
        teachers=objective.teachers,
        cluster_of_row=objective.cluster_of_row,
        caption_variants=caption_variants(stage.augmentation, table),
        events=events,
    )
    _, processes = world()
    check_fills_batch(stage, len(clips))
    model_dir = directory / "model"
    validation = splits.get("validation")
    callbacks = [EpochTeller(clips), CheckpointMarker(section.keep_checkpoints)]
    if validation is not None:
        callbacks.append(EvaluationBeforeSaving())
        callbacks.append(BestModelKeeper(model_dir, evaluation.best_metric, processor))
    trainer_class = RetrievalTrainer if section.weight_averaging is None else AveragingTrainer
    with accelerate_set_to(precision):
        trainer = trainer_class(
            model,
            processor,
            section,
            evaluation,
            objective=objective.weights,
            run_seed=seed,
            validation=validation,
            pooled_captions=pooled_captions,
            args=_training_arguments(stage, directory, run_name, seed, validation is not None, progress),
            train_dataset=clips,
            data_collator=RetrievalCollator(processor, crop),
            callbacks=callbacks,
        )
    trainable = trainable_share(model)
    lengths = None
    if trainer.is_world_process_zero():
        lengths = caption_lengths(built.encoder(), values_of(arrow_column(table, "caption")))
        if lengths is not None and lengths.cut:
            logger.warning("stage %s: %s", stage.name, lengths)
        remove_incomplete_checkpoints(directory)
        logger.warning(
            "stage %s: %s of %s parameters are trained (%.1f %%)",
            stage.name,
            f"{trainable['trained']:,}",
            f"{trainable['total']:,}",
            100 * trainable["share"],
        )
    trainer.accelerator.wait_for_everyone()
    checkpoint = last_complete_checkpoint(directory)
    if checkpoint is None and trainer.is_world_process_zero():
        # An earlier attempt's figure would be one to beat, of a model that may have learned from something else.
        (model_dir / "best.json").unlink(missing_ok=True)
    if checkpoint is not None:
        _refuse_other_number_of_processes(checkpoint, processes)
        if trainer.is_world_process_zero():
            logger.warning("stage %s: resuming from %s", stage.name, checkpoint)
    result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    trainer.check_weights()
    if trainer.is_world_process_zero() and validation is None:
        replace_directory(model_dir, lambda target: save_model(model, processor, target))
    trainer.accelerator.wait_for_everyone()
    unreadable = read_unreadable_log(directory / UNREADABLE_LOG)
    if unreadable and trainer.is_world_process_zero():
        logger.warning("stage %s: %d files could not be read in training", stage.name, len(unreadable))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "steps": trainer.state.global_step,
        "epochs": section.epochs,
        "seconds": round(result.metrics["train_runtime"], 1),
        "last_loss": losses[-1] if losses else None,
        "best": read_json(model_dir / "best.json"),
        "unreadable": unreadable,
        "parameters": trainable,
        "caption_lengths": lengths.as_record() if lengths else None,
        "hardware": _hardware(processes),
        "precision": precision,
        **objective.record,
        "log": [entry for entry in trainer.state.log_history if "loss" in entry or "eval_runtime" in entry],
    }


def _training_arguments(
    stage: Stage, directory: Path, run_name: str, seed: int, validated: bool, progress: bool
) -> TrainingArguments:
    section, precision = stage.training, effective_precision(stage.training.precision)
    by_epoch = section.save_every == "epoch"
    on_cpu = not torch.cuda.is_available()
    if on_cpu and precision != "fp32" and world()[0] == 0:
        logger.warning(
            "precision %s on a CPU: without AVX-512 or AMX this is many times slower than fp32",
            precision,
        )
    arguments = TrainingArguments(
        output_dir=str(directory),
        run_name=run_name,
        project=run_name.split("/")[0],
        seed=seed,
        data_seed=seed,
        use_cpu=on_cpu,
        num_train_epochs=section.epochs,
        per_device_train_batch_size=section.batch_size,
        gradient_accumulation_steps=section.gradient_accumulation_steps,
        learning_rate=section.learning_rate,
        weight_decay=section.weight_decay,
        max_grad_norm=section.max_grad_norm,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        # A loss that is not a number ends the training; in fp16 the scaler may skip some.
        logging_nan_inf_filter=precision == "fp16",
        activation_checkpointing=section.activation_checkpointing,
        dataloader_num_workers=section.num_workers,
        dataloader_pin_memory=not on_cpu,
        # A last, smaller batch would have other negatives than the rest and break the gather's equal sizes.
        dataloader_drop_last=True,
        eval_strategy="epoch" if validated else "no",
        save_strategy="epoch" if by_epoch else "steps",
        save_steps=500 if by_epoch else section.save_every,
        logging_steps=section.log_every,
        report_to=section.report_to or "none",
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        disable_tqdm=not progress,
    )
    if arguments.n_gpu > 1:
        # Started without a launcher on several GPUs, the Trainer would split a batch's packed segments in the
        # middle of clips.
        arguments._n_gpu = 1
    return arguments


def _hardware(processes: int) -> str:
    if torch.cuda.is_available():
        return f"{processes} x {torch.cuda.get_device_name()}"
    kind = platform.processor() or platform.machine()
    return f"{processes} x {kind} CPU, {torch.get_num_threads()} thread(s) each"


def _saved_base(stage: Stage, built: BuiltModel) -> str:
    """The base model of the adapters."""
    if stage.starts_from == "pretrained":
        raise RecipeError(
            f"stage {stage.name!r}: training.lora needs a saved model to start from, since adapters are loaded "
            "on top of it: let the stage start from an earlier one or from a model directory."
        )
    return built.origins["all"]


def _refuse_other_number_of_processes(checkpoint: Path, now: int) -> None:
    then = processes_of_checkpoint(checkpoint)
    if then != now:
        raise RecipeError(
            f"{checkpoint} was written by {then} processes and cannot resume with {now}, because batches would differ. "
            f"Start {then}, or choose another --output_dir."
        )


def _cache_waveforms(
    table: Dataset, stage: Stage, extractor: AuricleFeatureExtractor, sounds: str | None, progress: bool
) -> WaveformCache | None:
    if not stage.data.cache_waveforms:
        return None
    return WaveformCache.build(
        list(unique_clips(table)["audio"]),
        sampling_rate=extractor.sampling_rate,
        downmix=extractor.downmix,
        resampler=extractor.resampler,
        cache_dir=stage.data.cache_dir,
        contents=sounds,
        progress=progress,
    )


def _pool_frozen_text(
    stage: Stage, built: BuiltModel, table: Dataset, pooled_captions: PooledCaptions, progress: bool
) -> np.ndarray | None:
    if "text" not in stage.training.freeze or not stage.training.cache_frozen_text:
        return None
    if stage.augmentation.edits_captions:
        # Every epoch has other sentences then: there is nothing to keep.
        return None
    captions = distinct_in_order(values_of(arrow_column(table, "caption")))
    return pooled_captions.pooled(built.encoder().to(PartialState().device), captions, progress=progress)
