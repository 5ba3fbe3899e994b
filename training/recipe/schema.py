"""The recipe: a training run as typed and documented fields, read from YAML."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ...processing.caption_form import caption_normalization_of
from .data_section import DataSection, Settings
from .distillation_section import DistillationSection
from .lora_section import LoraSection

# Value of `model.audio.pretrained` for random weights.
RANDOM_WEIGHTS = "none"


class AudioSection(Settings):
    """The audio tower."""

    config: dict[str, Any] = Field(
        default_factory=dict, description="Fields of the tower's configuration; model_type chooses the tower."
    )
    pretrained: str | None = Field(
        None,
        description="Directory or Hub id of a converted encoder to start from, or the publisher's own file; 'none' "
        "trains from random weights, and so does leaving it out if published_weights is not set.",
    )
    published_weights: str | None = Field(
        None,
        description="Name of the published weights that the recipe starts from. Training then does not start "
        "unless pretrained is given ('none' for random weights).",
    )

    @property
    def pretrained_source(self) -> str | None:
        """The source of the weights; None for random weights."""
        return None if self.pretrained == RANDOM_WEIGHTS else self.pretrained


class TextSection(Settings):
    """The text tower."""

    pretrained: str | None = Field(
        "roberta-large",
        description="Directory or Hub id of the text encoder. Without it, weights are random.",
    )
    config: dict[str, Any] = Field(
        default_factory=dict, description="Fields that replace the encoder's own, such as dropout."
    )
    tokenizer: str | None = Field(
        None, description="Directory or Hub id of the tokenizer. Default: the encoder's own."
    )
    max_tokens: int = Field(32, ge=4, description="Longer captions are cut to this many tokens.")
    caption_normalization: Literal["auricle-2", "auricle-1", "publisher", "none"] = Field(
        "auricle-2",
        description="Normalisation of captions: lower case without any punctuation (auricle-2), without ASCII "
        "punctuation (auricle-1), the same with white space unchanged (publisher), or none.",
    )

    @model_validator(mode="before")
    @classmethod
    def _older_spelling(cls, values: Any) -> Any:
        """Recipes from before forms had names say ``normalize_captions: true`` or ``false``."""
        if not isinstance(values, dict) or "normalize_captions" not in values:
            return values
        values = dict(values)
        older = values.pop("normalize_captions")
        if not isinstance(older, bool):
            raise ValueError(f"normalize_captions={older!r} must be true or false")
        name = caption_normalization_of(older)
        if values.setdefault("caption_normalization", name) != name:
            raise ValueError(
                f"normalize_captions: {str(older).lower()} means caption_normalization: {name}; give only that"
            )
        return values


class ModelSection(Settings):
    """The dual encoder."""

    audio: AudioSection = Field(default_factory=AudioSection, description="The audio tower.")
    front_end: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of the feature extractor; must fit the audio tower."
    )
    text: TextSection = Field(default_factory=TextSection, description="The text tower.")
    text_pooling: Literal["cls", "mean"] = Field(
        "cls", description="How tokens become one vector: first token, or mean over the tokens."
    )
    projection_dim: int = Field(1024, ge=1, description="Width of the shared space.")
    text_projection_initialization: Literal["normal", "orthogonal"] = Field(
        "normal",
        description="How the text projection starts: random weights, or an orthogonal matrix, which keeps the angles "
        "between pooled sentences where projection_dim is at least the text tower's width.",
    )
    temperature: float = Field(0.05, gt=0, description="Divisor of the similarities in the loss.")
    learn_temperature: bool = Field(False, description="Train the temperature.")


class AugmentationSection(Settings):
    """Augmentation of captions when they are loaded for training."""

    word_deletion: float = Field(
        0.0, ge=0, le=1, description="Probability that a caption loses one random word (0.8 in the report)."
    )
    synonyms: bool = Field(
        False,
        description="In half of these edits, replace the word by a WordNet synonym instead.",
    )
    back_translated: str | None = Field(
        None, description="Directory of `auricle augment back-translate` with other wordings of the captions."
    )
    back_translation_probability: float = Field(
        0.5, ge=0, le=1, description="Probability that a caption is replaced by one of its back-translations."
    )
    mixes: str | None = Field(
        None,
        description="Directory of `auricle augment mix`. Training uses all its clips with those of the datasets.",
    )

    @property
    def is_on(self) -> bool:
        """Whether training uses more than the datasets' own clips and captions."""
        return self.edits_captions or self.mixes is not None

    @property
    def edits_captions(self) -> bool:
        """Whether captions vary from epoch to epoch."""
        return bool(self.word_deletion or (self.back_translated and self.back_translation_probability))


class ClusterSection(Settings):
    """Predicting a caption's cluster from either tower (AISTAT report, stage 3)."""

    labels: str | None = Field(None, description="Directory written by `auricle cluster`.")
    embed_with: str | None = Field(
        None,
        description="Make the clusters in the run: a stage before or a model directory (its text tower), or a "
        "sentence-transformers model.",
    )
    prompt: str = Field(
        "", description="Prefix for captions of sentence-transformers models, such as 'query: ' for E5."
    )
    method: Literal["umap-hdbscan", "bertopic", "kmeans"] = Field(
        "umap-hdbscan", description="How captions are clustered (extra 'cluster' or 'bertopic')."
    )
    min_cluster_size: int = Field(30, ge=2, description="HDBSCAN: minimum number of captions in a cluster.")
    num_clusters: int = Field(150, ge=2, description="k-means: number of clusters.")
    neighbors: int = Field(15, ge=2, description="UMAP: number of neighbours.")
    dimensions: int = Field(5, ge=1, description="UMAP: number of output dimensions.")
    clustering_seed: int = Field(42, ge=0, description="Random seed of the clustering.")
    per_clip: bool = Field(False, description="Give all captions of a clip its most frequent cluster.")
    weight: float = Field(0.05, ge=0, description="Weight of the cluster losses (lambda 2).")

    @model_validator(mode="after")
    def _one_origin(self) -> "ClusterSection":
        if self.labels and self.embed_with:
            raise ValueError("labels and embed_with exclude each other: clusters are read or made")
        return self

    @property
    def is_on(self) -> bool:
        """Whether cluster heads are trained."""
        return bool(self.labels or self.embed_with) and self.weight > 0


class TrainingSection(Settings):
    """How a stage is trained."""

    contrastive_weight: float = Field(
        1.0, ge=0, description="Weight of the contrastive loss; 0: learn from teachers only."
    )

    frame_phrase_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the frame-phrase loss, which trains a separate projection of frames on events with "
        "known times (data.events_column); 0 is off.",
    )

    epochs: float = Field(20, gt=0, description="Passes over the training rows.")
    batch_size: int = Field(64, ge=2, description="Pairs per step and process.")
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="Pairs in memory at a time, with the negatives and the gradients of the whole batch (GradCache); "
        "each runs forward twice. None runs the batch at once.",
    )
    gradient_accumulation_steps: int = Field(
        1,
        ge=1,
        description="Number of batches whose gradients are added up; pairs of different batches are not compared.",
    )
    matryoshka_dims: list[int] = Field(
        default_factory=list,
        description="Lengths of embeddings' prefixes, ascending, that can be used without the rest; the losses of all "
        "of them and of the whole embedding are added up. None trains the whole embedding only.",
    )
    learning_rate: float = Field(2e-5, gt=0, description="Peak learning rate of the towers.")
    projection_learning_rate: float | None = Field(
        None, gt=0, description="Peak learning rate of projections and temperature. Default: learning_rate."
    )
    min_learning_rate: float = Field(1e-7, ge=0, description="Learning rate at the end of the cosine.")
    warmup_share: float = Field(
        0.1, ge=0, le=1, description="Share of the steps with a linear rise, if warmup_epochs is not set."
    )
    warmup_epochs: float | None = Field(
        None, ge=0, description="Epochs with a linear rise. Default: as warmup_share."
    )
    cosine_end_epoch: float | None = Field(
        None,
        gt=0,
        description="Epoch at which the cosine reaches the floor, where the rate stays; none is the last epoch.",
    )
    weight_averaging: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of a moving average of the weights, such as 0.999; the average is evaluated and saved.",
    )
    weight_decay: float = Field(
        0.0, ge=0, description="AdamW's weight decay of matrices, not of biases and norms."
    )
    max_grad_norm: float = Field(1.0, ge=0, description="Norm that gradients are clipped to; 0: no clipping.")
    freeze: list[Literal["audio", "text", "audio_projection", "text_projection"]] = Field(
        default_factory=list,
        description="Towers and projections that are not trained; the dropout of frozen towers is off.",
    )
    lora: LoraSection = Field(default_factory=LoraSection, description="Low-rank adapters.")
    cache_frozen_text: bool = Field(
        True, description="Run a frozen text tower once per caption, not in each step."
    )
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(
        None,
        description="Mixed precision on a GPU. Default: the setting of `accelerate config`, or fp32; run.json "
        "records it.",
    )
    max_skipped_steps: int = Field(
        20,
        ge=0,
        description="fp16: maximum number of consecutive steps skipped because of overflow; more end the training.",
    )
    activation_checkpointing: bool = Field(False, description="Recompute activations to save memory.")
    num_workers: int = Field(0, ge=0, description="Number of processes that prepare batches.")
    cpu_threads: int | None = Field(
        None,
        ge=1,
        description="Threads of torch without a GPU; none takes OMP_NUM_THREADS, else half of the cores, which "
        "leaves room for data workers: threads that wait for a busy core slow small models many times over.",
    )
    save_every: Literal["epoch"] | int = Field("epoch", description="Checkpoint each epoch or every N steps.")
    keep_checkpoints: int = Field(2, ge=1, description="Number of checkpoints to keep.")
    log_every: int = Field(10, ge=1, description="Steps between two log lines.")
    report_to: list[Literal["tensorboard", "trackio"]] = Field(
        default_factory=list, description="Trackers that receive the log (extra 'tracking')."
    )

    @model_validator(mode="after")
    def _adapters_train(self) -> "TrainingSection":
        both = sorted(set(self.lora.towers) & set(self.freeze))
        if both:
            raise ValueError(f"lora.towers and freeze both name {both[0]!r}: it has no adapters to train")
        projections = [name for name in self.freeze if name.endswith("_projection")]
        if self.lora.towers and projections:
            raise ValueError(f"freeze names {projections[0]!r}, but lora trains adapters in both projections")
        if len(set(self.freeze)) == 4:
            raise ValueError(
                f"freeze={self.freeze} names both towers and both projections; train one of them"
            )
        return self

    @model_validator(mode="after")
    def _cosine_follows_the_rise(self) -> "TrainingSection":
        if self.cosine_end_epoch is not None and (self.warmup_epochs or 0) >= self.cosine_end_epoch:
            raise ValueError(
                f"warmup_epochs={self.warmup_epochs:g} must be less than cosine_end_epoch="
                f"{self.cosine_end_epoch:g}: the cosine begins where the rise ends"
            )
        return self

    @field_validator("save_every", mode="before")
    @classmethod
    def _check_save_every(cls, value: Any) -> Any:
        if value == "epoch" or (str(value).isdecimal() and int(value) >= 1):
            return value
        raise ValueError("must be 'epoch' or a number of steps, 1 or more")


class EvaluationSection(Settings):
    """Evaluation of checkpoints and of the result."""

    batch_size: int = Field(32, ge=1, description="Clips or captions per batch.")
    num_workers: int = Field(
        2,
        ge=0,
        description="Threads that decode clips ahead for metrics and teacher banks. 0: none. The embeddings are equal.",
    )
    relevance_column: str = Field(
        "clip_id", description="A clip is relevant to captions with the same value."
    )
    best_metric: str = Field(
        "text_to_audio_mAP@16", description="Validation metric that chooses the best checkpoint."
    )
    compare_untrained: bool = Field(False, description="Also evaluate the model before training.")
    questions: list[str] = Field(
        default_factory=list, description="Queries to run on the test clips at the end."
    )


class StageSection(Settings):
    """One named stage: its differences from the shared sections."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the stage and of its directory."
    )
    starts_from: str | None = Field(
        None,
        description="'pretrained', an earlier stage's name, or a model directory. The first stage starts from "
        "'pretrained', any other from the stage before it.",
    )
    data: dict[str, Any] = Field(default_factory=dict, description="Fields of data that differ.")
    model: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of model that differ, for a stage that starts from 'pretrained'.",
    )
    augmentation: dict[str, Any] = Field(
        default_factory=dict, description="Fields of augmentation that differ."
    )
    distillation: dict[str, Any] = Field(
        default_factory=dict, description="Fields of distillation that differ."
    )
    clusters: dict[str, Any] = Field(default_factory=dict, description="Fields of clusters that differ.")
    training: dict[str, Any] = Field(default_factory=dict, description="Fields of training that differ.")


class Recipe(Settings):
    """A whole run: shared sections and a list of stages."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the recipe.")
    description: str = Field("", description="Description in one sentence.")
    seed: int = Field(0, ge=0, description="Random seed of training.")
    output_dir: str | None = Field(None, description="Run directory; runs/<name> if not given.")
    data: DataSection = Field(default_factory=DataSection, description="Sounds and captions.")
    model: ModelSection = Field(default_factory=ModelSection, description="The dual encoder.")
    augmentation: AugmentationSection = Field(
        default_factory=AugmentationSection, description="Changes to captions in training."
    )
    distillation: DistillationSection = Field(
        default_factory=DistillationSection, description="Teachers and their loss."
    )
    clusters: ClusterSection = Field(
        default_factory=ClusterSection, description="Cluster heads and their loss."
    )
    training: TrainingSection = Field(default_factory=TrainingSection, description="How stages are trained.")
    evaluation: EvaluationSection = Field(
        default_factory=EvaluationSection, description="How the result is judged."
    )
    stages: list[StageSection] = Field(min_length=1, description="The stages, in order.")

    @model_validator(mode="after")
    def _check_stage_names(self) -> "Recipe":
        names = [stage.name for stage in self.stages]
        for index, stage in enumerate(self.stages):
            if stage.name == "pretrained":
                raise ValueError("stages: 'pretrained' is what a stage starts from, and cannot name one")
            if stage.name in names[:index]:
                raise ValueError(f"stages: the name {stage.name!r} occurs twice")
            if stage.starts_from in names[index:]:
                raise ValueError(
                    f"stages: {stage.name!r} starts from {stage.starts_from!r}, which does not come before it"
                )
        return self

    @property
    def run_dir(self) -> str:
        """The run directory: ``output_dir``, or ``runs/<name>``."""
        return self.output_dir or f"runs/{self.name}"

    def stage_names(self) -> list[str]:
        """Names of the stages, in order."""
        return [stage.name for stage in self.stages]
