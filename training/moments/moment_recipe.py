"""The recipe of a moment head: which encoder, which recordings, and how it is trained."""

import os
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ...data.moments.generated_recordings import MomentSettings
from ..recipe.data_section import Settings
from ..recipe.reading import RecipeError, read_settings
from ..recipe.recipe_file import load_recipe_file

TASK = "moments"
SPLITS = ("train", "validation", "test")
# What is added to the seed of generated recordings, so that splits have draws of their own.
SEEDS = {"train": 1000, "validation": 2000, "test": 3000}


class QueriesEntry(Settings):
    """A file of queries with true moments and its recordings."""

    queries: str = Field(description="Queries with true moments: JSON lines, or CASTELLA's annotation file.")
    audio: str = Field(description="Directory with the recordings.")


class GeneratedSection(Settings):
    """Recordings that the run generates from short clips with labels."""

    clips: str | None = Field(None, description="Captioned folder with a label column, such as ESC-10.")
    train_recordings: int = Field(200, ge=1, description="Recordings to train on.")
    validation_recordings: int = Field(60, ge=1, description="Recordings to choose the best checkpoint by.")
    test_recordings: int = Field(40, ge=0, description="Recordings to report on, of the folder's test split.")
    validation_share: float = Field(
        0.2, gt=0, lt=1, description="Share of each label's training clips that only validation uses."
    )
    seed: int = Field(0, ge=0, lt=1000, description="Seed of the recordings, apart from the training's.")
    seconds: tuple[float, float] = Field((60.0, 300.0), description="Shortest and longest recording.")
    queries: tuple[int, int] = Field((1, 4), description="Fewest and most queries a recording.")
    events: tuple[int, int] = Field((1, 5), description="Fewest and most events of a query.")
    snr_db: tuple[float, float] = Field((-5.0, 10.0), description="Level of events over the background.")

    def settings(self, split: str) -> MomentSettings:
        """Those of one split; each split's recordings have draws of their own."""
        return MomentSettings(
            recordings=getattr(self, f"{split}_recordings"),
            seed=SEEDS[split] + self.seed,
            seconds=self.seconds,
            queries=self.queries,
            events=self.events,
            snr_db=self.snr_db,
        )


class MomentDataSection(Settings):
    """Recordings and their queries."""

    source: Literal["generated", "files"] = Field("generated", description="Where they come from.")
    generated: GeneratedSection = Field(
        default_factory=GeneratedSection, description="For source: generated."
    )
    train: list[QueriesEntry] = Field(default_factory=list, description="For source: files; trained on.")
    validation: list[QueriesEntry] = Field(
        default_factory=list, description="For source: files; chooses the best checkpoint."
    )
    test: list[QueriesEntry] = Field(default_factory=list, description="For source: files; reported on.")
    missing: Literal["error", "skip"] = Field(
        "error", description="What to do with recordings that are missing or unreadable: 'error' or 'skip'."
    )
    cache_dir: str | None = Field(None, description="Where frames and generated recordings are kept.")

    @model_validator(mode="after")
    def _has_what_its_source_needs(self) -> "MomentDataSection":
        if self.source == "generated" and not self.generated.clips:
            raise ValueError("source: generated needs generated.clips, a captioned folder with labels")
        if self.source == "files" and not (self.train and self.validation):
            raise ValueError("source: files needs train and validation, lists of {queries, audio}")
        return self


class HeadSection(Settings):
    """The head; see AuricleMomentConfig."""

    decoder: Literal["dense", "queries"] = Field(
        "dense", description="A span at every frame, or learned queries (extra 'moments')."
    )
    frame_source: Literal["patches", "short_windows", "both"] = Field(
        "patches", description="A frame is made of the tower's patches, of a short window, or of both."
    )
    contrast: bool = Field(False, description="Also compare frames with a learned common query.")
    hidden_size: int = Field(384, ge=2, description="Width of the transformer.")
    num_hidden_layers: int = Field(4, ge=1, description="Layers over frames.")
    num_attention_heads: int = Field(6, ge=1, description="Attention heads of a layer.")
    intermediate_size: int = Field(1536, ge=1, description="Width of the layers' MLPs.")
    kernel_size: int = Field(7, ge=1, description="Frames that a layer's convolution sees; odd.")
    num_queries: int = Field(10, ge=1, description="Learned queries.")
    num_decoder_layers: int = Field(2, ge=1, description="Layers of the decoder with learned queries.")
    longest_seconds: float = Field(60.0, gt=0, description="Spans are at most this long.")
    max_frames: int = Field(
        600, ge=4, description="Frames seen at once; longer recordings are read in parts."
    )
    hidden_dropout_prob: float = Field(0.1, ge=0, lt=1, description="Dropout in training.")


class MomentTrainingSection(Settings):
    """How the head is trained."""

    epochs: int = Field(20, ge=1, description="Passes over the training queries.")
    evaluate_every: int = Field(
        1,
        ge=1,
        description="Epochs from one evaluation and checkpoint to the next; epochs is a multiple of it.",
    )
    batch_size: int = Field(16, ge=1, description="Pairs of a recording and a query per step.")
    crop_seconds: float | None = Field(
        None,
        gt=0,
        description="Train on random parts of this length, around one of the query's moments. None takes whole "
        "recordings, as far as max_frames reaches.",
    )
    learning_rate: float = Field(5e-4, gt=0, description="Peak rate.")
    min_learning_rate: float = Field(1e-6, ge=0, description="Floor that the cosine ends at.")
    warmup_share: float = Field(0.1, ge=0, le=1, description="Share of the steps with a linear rise.")
    weight_decay: float = Field(0.05, ge=0, description="AdamW's decay of matrices.")
    max_grad_norm: float = Field(1.0, ge=0, description="Gradients are clipped to this norm; 0 is off.")
    span_weight: float = Field(1.0, ge=0, description="Weight of the overlap loss.")
    quality_weight: float = Field(0.5, ge=0, description="Weight of the loss of predicted overlaps.")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="Mixed precision of a GPU.")
    num_workers: int = Field(0, ge=0, description="Processes that prepare batches.")
    cpu_threads: int | None = Field(None, ge=1, description="Threads of torch without a GPU.")
    keep_checkpoints: int = Field(2, ge=1, description="Checkpoints kept for resuming.")
    log_every: int = Field(20, ge=1, description="Steps between two log lines.")
    report_to: list[Literal["tensorboard", "trackio"]] = Field(
        default_factory=list, description="Trackers that get the log (extra 'tracking')."
    )

    @model_validator(mode="after")
    def _ends_with_an_evaluation(self) -> "MomentTrainingSection":
        if self.epochs % self.evaluate_every:
            raise ValueError(
                f"epochs={self.epochs} must be a multiple of evaluate_every={self.evaluate_every}: the last epoch is "
                "evaluated"
            )
        return self


class MomentEvaluationSection(Settings):
    """Evaluation of checkpoints and of the result."""

    best_metric: Literal["R1@0.5", "R1@0.7", "mAP", "mAP@0.5", "mAP@0.75", "mIoU"] = Field(
        "R1@0.7", description="Validation figure that the best checkpoint is chosen by."
    )
    resamples: int = Field(1000, ge=1, description="Draws of the bootstrap of the test figures.")


class MomentRecipe(Settings):
    """A whole run: one head on one frozen encoder."""

    task: Literal["moments"] = Field(description="Marks a recipe that trains a moment head.")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the recipe.")
    description: str = Field("", description="One sentence that describes the recipe.")
    seed: int = Field(0, ge=0, description="Seed of everything random in training.")
    output_dir: str | None = Field(None, description="Run directory; runs/<name> if not given.")
    encoder: str | None = Field(
        None, description="Directory or Hub id of the frozen encoder; it needs frame vectors."
    )
    starts_from: str | None = Field(
        None, description="Directory of a head on the same encoder to start from; none draws random weights."
    )
    frame_seconds: float | None = Field(
        None, gt=0, description="Step of the frames, at least the encoder's own; none is that."
    )
    data: MomentDataSection = Field(description="Recordings and their queries.")
    head: HeadSection = Field(default_factory=HeadSection, description="The head.")
    training: MomentTrainingSection = Field(
        default_factory=MomentTrainingSection, description="How the head is trained."
    )
    evaluation: MomentEvaluationSection = Field(
        default_factory=MomentEvaluationSection, description="How the result is judged."
    )

    @field_validator("data", mode="before")
    @classmethod
    def _may_be_left_to_options(cls, value: Any) -> Any:
        return {} if value is None else value

    @property
    def run_dir(self) -> str:
        """The run directory: ``output_dir``, or ``runs/<name>``."""
        return self.output_dir or f"runs/{self.name}"


def is_moment_recipe(path: str | os.PathLike[str]) -> bool:
    """
    Whether a recipe file says ``task: moments``, by itself or by way of the file that it extends.

    Raises:
        RecipeError: if it cannot be read.
    """
    return load_recipe_file(path).get("task") == TASK


def read_moment_recipe(
    path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None
) -> MomentRecipe:
    """
    Reads the recipe of a moment head; arguments and errors as of [`read_recipe`].

    Raises:
        RecipeError: also if it names no encoder.
    """
    recipe = read_settings(MomentRecipe, path, overrides)
    if recipe.encoder is None:
        raise RecipeError(
            f"recipe {os.fspath(path)}: encoder is missing: the model whose frames the head sees. Give it with "
            "--encoder, a directory or a Hub id."
        )
    return recipe


__all__ = ["SPLITS", "TASK", "MomentRecipe", "QueriesEntry", "is_moment_recipe", "read_moment_recipe"]
