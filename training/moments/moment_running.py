"""Runs the recipe of a moment head: frames, training, the best checkpoint, and its figures on the test queries."""

import importlib.util
import logging
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainingArguments

from ...encoders import AudioTextEncoder, load_encoder
from ...encoders.recordings.head_frames import check_head_frames
from ...encoders.recordings.moment_head import MomentHead
from ...evaluation.moments.moment_evaluation import evaluate_moments
from ...evaluation.moments.moment_predictions import write_moment_predictions
from ...evaluation.moments.moment_queries import ROUNDING_SECONDS
from ...files.cache_root import cache_root
from ...files.content_digests import ContentDigests
from ...files.saved_directories import last_complete_checkpoint, read_json, remove_incomplete_checkpoints
from ...modeling.configuration_moment import AuricleMomentConfig
from ...modeling.modeling_moment import AuricleForMomentRetrieval
from ..models.model_files import model_files_fingerprint
from ..recipe.reading import RecipeError
from ..trainer_callbacks import BestModelKeeper, CheckpointMarker, EpochTeller, EvaluationBeforeSaving
from .frame_store import FrameStore, read_frames
from .moment_data import MomentSplit, load_moment_splits
from .moment_recipe import MomentRecipe
from .moment_rows import MomentRows, RecordingFrameFiles, collate_moments
from .moment_run_directory import MomentRunDirectory
from .moment_trainer import MomentTrainer, predict_moments

logger = logging.getLogger(__name__)

# Of frames made of short windows alone, if neither recipe nor encoder says another step.
SHORT_WINDOW_FRAME_SECONDS = 0.5


def run_moment_recipe(recipe: MomentRecipe, *, progress: bool = True) -> dict[str, Any]:
    """
    Trains a moment head, resuming from its last complete checkpoint, and evaluates the best one.

    Args:
        recipe: the recipe.
        progress: show progress bars.

    Returns:
        The results: ``model``, the head's directory; ``validation``, the best figure; ``test``, the report of
        [`evaluate_moments`] where the recipe has test queries.

    Raises:
        RecipeError: if the recipe, its run directory or its data do not allow it.
        EncoderError: if the encoder cannot be loaded, or has no frames.
        MomentFileError: for queries that cannot be used.
        DivergedError: if the training diverges.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RecipeError("a moment head trains in one process; start it without a launcher of several.")
    if recipe.head.decoder == "queries" and importlib.util.find_spec("scipy") is None:
        raise RecipeError("head.decoder: queries needs SciPy: pip install 'auricle[moments]'.")
    run = MomentRunDirectory(recipe)
    with run.locked():
        run = MomentRunDirectory(recipe)
        return _Run(recipe, run, progress).results()


class _Run:
    """What the steps of one run share."""

    def __init__(self, recipe: MomentRecipe, run: MomentRunDirectory, progress: bool):
        self.recipe, self.run, self.progress = recipe, run, progress
        self.cache_dir = cache_root(recipe.data.cache_dir)
        self.digests = ContentDigests(self.cache_dir)
        self.encoder: AudioTextEncoder = load_encoder(recipe.encoder)
        self.frame_seconds = recipe.frame_seconds or self.encoder.frame_seconds or SHORT_WINDOW_FRAME_SECONDS
        # Before hours of work: what the recipe says of the head may be impossible.
        self.model = self._starting_head()
        self.store = FrameStore(
            self.encoder, self.frame_seconds, self.cache_dir, self.digests, self.model.config.frame_source
        )
        self.splits, self.remarks = {}, []

    def results(self) -> dict[str, Any]:
        self.run.start()
        self.splits = load_moment_splits(
            self.recipe.data, self.cache_dir, self.digests, progress=self.progress
        )
        for split in self.splits.values():
            for remark in split.remarks:
                self._remark(remark)
        places = self._embedded()
        self.run.check_inputs(self._inputs())
        frames = RecordingFrameFiles(places)
        sentences = sorted({query.query for split in self.splits.values() for query in split.queries})
        questions = dict(zip(sentences, self.encoder.embed_texts(sentences), strict=True))
        if self.run.is_finished:
            logger.warning("the head is trained: skipped")
        else:
            self.run.finish(self._trained(frames, questions))
        return self._reported(frames, questions)

    def _starting_head(self) -> AuricleForMomentRetrieval:
        if self.recipe.starts_from is not None:
            head = MomentHead.load(self.recipe.starts_from, self.encoder)
            if head.model.config.frame_seconds != self.frame_seconds:
                raise RecipeError(
                    f"starts_from={self.recipe.starts_from!r}: that head's frames last "
                    f"{head.model.config.frame_seconds:g} s, and this recipe's {self.frame_seconds:g} s."
                )
            return head.model.cpu()
        check_head_frames(self.encoder, self.recipe.head.frame_source, self.frame_seconds)
        try:
            config = AuricleMomentConfig(
                frame_dim=self.encoder.embedding_dim,
                frame_seconds=self.frame_seconds,
                encoder_name=_told_name(self.encoder.name),
                encoder_fingerprint=self.encoder.fingerprint,
                **self.recipe.head.model_dump(),
            )
        except ValueError as error:
            raise RecipeError(f"head: {error}") from error
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            return AuricleForMomentRetrieval(config)

    def _embedded(self) -> dict[str, Path]:
        """Frames of all recordings by path; unreadable recordings are removed from their splits and reported."""
        durations = {}
        for split in self.splits.values():
            durations |= split.durations()
        places, bad = self.store.embed(durations, progress=self.progress)
        for path, seconds in durations.items():
            if path in places and abs(read_frames(places[path]).duration - seconds) > ROUNDING_SECONDS + 1e-6:
                bad[path] = (
                    f"{path}: lasts {read_frames(places[path]).duration:.3f} s, but its queries give {seconds:g} s."
                )
        if bad:
            self._remark(f"{len(bad)} recordings cannot be used, first {next(iter(bad.values()))}")
            if self.recipe.data.missing == "error":
                raise RecipeError(f"{self.remarks[-1]} data.missing: skip leaves them out.")
        self.splits = {name: split.without(bad) for name, split in self.splits.items()}
        empty = next((name for name, split in self.splits.items() if not split.queries), None)
        if empty:
            raise RecipeError(f"data: {empty} has no recording that can be read.")
        return {path: place for path, place in places.items() if path not in bad}

    def _inputs(self) -> dict[str, dict[str, Any]]:
        inputs: dict[str, dict[str, Any]] = {
            "the encoder": {"source": self.recipe.encoder, "fingerprint": self.store.fingerprint}
        }
        if self.recipe.starts_from is not None:
            inputs["the head it starts from"] = {
                "source": self.recipe.starts_from,
                "fingerprint": model_files_fingerprint(self.recipe.starts_from, self.digests),
            }
        for name, split in self.splits.items():
            contents = self.digests.of_files(split.paths.values())
            inputs[f"the queries and recordings of {name}"] = {
                "source": self.recipe.data.source,
                "queries": len(split.queries),
                "fingerprint": split.fingerprint(contents),
            }
        return inputs

    def _trained(self, frames: RecordingFrameFiles, questions: Mapping[str, Any]) -> dict[str, Any]:
        recipe, section, directory = self.recipe, self.recipe.training, self.run.stage_dir
        crop = section.crop_seconds
        limit = self.model.config.max_frames
        rows = MomentRows(
            self.splits["train"].queries,
            self.splits["train"].paths,
            frames,
            questions,
            crop_frames=limit if crop is None else min(limit, max(1, round(crop / self.frame_seconds))),
            seed=recipe.seed,
        )
        if self.model.config.contrast and recipe.starts_from is None:
            own = sorted({query.query for query in self.splits["train"].queries})
            with torch.no_grad():
                mean = np.mean([questions[sentence] for sentence in own], axis=0)
                self.model.common_query.copy_(torch.from_numpy(mean))
        validation = self.splits["validation"]
        on_cpu = not torch.cuda.is_available()
        every = section.evaluate_every * -(-len(rows) // section.batch_size)
        arguments = TrainingArguments(
            output_dir=str(directory),
            run_name=f"{recipe.name}/head",
            seed=recipe.seed,
            data_seed=recipe.seed,
            use_cpu=on_cpu,
            num_train_epochs=section.epochs,
            per_device_train_batch_size=section.batch_size,
            learning_rate=section.learning_rate,
            weight_decay=section.weight_decay,
            max_grad_norm=section.max_grad_norm,
            bf16=section.precision == "bf16",
            logging_nan_inf_filter=False,
            dataloader_num_workers=section.num_workers,
            dataloader_pin_memory=not on_cpu,
            eval_strategy="steps",
            eval_steps=every,
            save_strategy="steps",
            save_steps=every,
            logging_steps=section.log_every,
            report_to=section.report_to or "none",
            remove_unused_columns=False,
            disable_tqdm=not self.progress,
        )
        arguments._n_gpu = min(1, arguments.n_gpu)
        # Dropout's draws: the head's own weights were drawn before.
        torch.manual_seed(recipe.seed)
        trainer = MomentTrainer(
            self.model,
            section,
            queries=validation.queries,
            recordings=validation.paths,
            frames=frames,
            questions=questions,
            args=arguments,
            train_dataset=rows,
            eval_dataset=rows,
            data_collator=collate_moments,
            callbacks=[
                EpochTeller(rows),
                EvaluationBeforeSaving(),
                BestModelKeeper(self.run.model_dir, recipe.evaluation.best_metric, None),
                CheckpointMarker(section.keep_checkpoints),
            ],
        )
        remove_incomplete_checkpoints(directory)
        checkpoint = last_complete_checkpoint(directory)
        if checkpoint is None:
            (self.run.model_dir / "best.json").unlink(missing_ok=True)
        else:
            logger.warning("resuming from %s", checkpoint)
        started = time.process_time()
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        trainer.check_weights()
        return {
            "steps": trainer.state.global_step,
            "epochs": section.epochs,
            "seconds": round(result.metrics["train_runtime"], 1),
            "cpu_seconds": round(time.process_time() - started, 1),
            "best": read_json(self.run.model_dir / "best.json"),
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "frame_seconds": self.frame_seconds,
            "encoder": {"name": self.encoder.name, "fingerprint": self.store.fingerprint},
            "hardware": torch.cuda.get_device_name() if not on_cpu else platform.machine(),
            "remarks": self.remarks,
            "log": [
                entry for entry in trainer.state.log_history if "loss" in entry or "eval_runtime" in entry
            ],
        }

    def _reported(self, frames: RecordingFrameFiles, questions: Mapping[str, Any]) -> dict[str, Any]:
        head = MomentHead.load(self.run.model_dir, self.encoder).model
        results: dict[str, Any] = {
            "model": str(self.run.model_dir),
            "validation": read_json(self.run.model_dir / "best.json"),
            "remarks": self.remarks,
        }
        split: MomentSplit | None = self.splits.get("test")
        if split is not None:
            spans = predict_moments(head, split.queries, split.paths, frames, questions)
            results["test"] = evaluate_moments(
                split.queries, spans, resamples=self.recipe.evaluation.resamples
            )
            write_moment_predictions(self.run.path / "test_predictions.jsonl", split.queries, spans)
        self.run.save("results", results)
        return results

    def _remark(self, remark: str) -> None:
        self.remarks.append(remark)
        logger.warning("%s", remark)


def _told_name(name: str) -> str:
    """An encoder's name without a path of this machine."""
    return Path(name).name if Path(name).is_absolute() else name


__all__ = ["run_moment_recipe"]
