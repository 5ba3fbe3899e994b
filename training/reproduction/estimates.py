"""
Estimates the time of a chain's steps before they run: counted operations divided by an assumed speed.

The operations follow from the networks' sizes and the published numbers of rows; the speed of the machine is an
assumption that users can change. Nothing here is a measurement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from transformers import AutoConfig

from ...modeling import AUDIO_CONFIGS
from ..models.pretrained_text import PretrainedError, locate_text_encoder
from ..recipe.reading import Stage
from ..recipe.recipe_file import RecipeError
from .chain_recipe import Chain, NeedSection, field_value
from .plan import Step

# Layers, width and inner width of text encoders that may not be in the cache yet.
TEXT_SIZES = {
    "roberta-large": (24, 1024, 4096),
    "FacebookAI/roberta-large": (24, 1024, 4096),
    "roberta-base": (12, 768, 3072),
    "FacebookAI/roberta-base": (12, 768, 3072),
}
# A training step costs a forward pass and twice as much for the backward pass.
PASSES_OF_A_STEP = 3


@dataclass(frozen=True)
class Assumptions:
    """
    Assumptions that users can change.

    Attributes:
        tflops: sustained speed of the GPU on these networks, in 10^12 operations a second; usually a third to a
            half of the manufacturer's figure for dense bfloat16.
        megabits: speed of the network connection in megabits a second.
        requests: number of requests that a language model answers in a minute.
    """

    tflops: float = 100.0
    megabits: float = 100.0
    requests: float = 500.0

    @classmethod
    def read(cls, values: Sequence[str]) -> "Assumptions":
        """
        Reads ``NAME=VALUE``.

        Raises:
            RecipeError: for an unknown name, or a value that is not a positive number.
        """
        read: dict[str, float] = {}
        known = list(cls.__dataclass_fields__)
        for text in values:
            name, _, value = text.partition("=")
            if name not in known:
                raise RecipeError(f"--assume {text!r}: expected NAME=VALUE with one of {', '.join(known)}.")
            try:
                read[name] = float(value)
            except ValueError:
                read[name] = -1.0
            if not 0 < read[name] < float("inf"):
                raise RecipeError(f"--assume {text!r}: expected a positive number.")
        return cls(**read)

    def __str__(self) -> str:
        return (
            f"{self.tflops:g} TFLOP/s sustained, {self.megabits:g} Mbit/s, {self.requests:g} requests a minute "
            "(--assume tflops=..., megabits=..., requests=...)"
        )


def transformer_operations(tokens: int, layers: int, width: int, inner_width: int) -> int:
    """
    Floating-point operations of a transformer encoder's forward pass over one sequence.

    Four projections and two products of the attention, two layers of the MLP; a multiplication and an addition are
    two operations. Embeddings, norms and activations are ignored (below 2 % at published sizes).
    """
    per_token = 8 * width**2 + 4 * width * inner_width + 4 * tokens * width
    return tokens * layers * per_token


def audio_operations(config: Any, *, training: bool) -> int:
    """Operations of an audio tower's forward pass over one segment; in training without dropped patches."""
    size = config.patch_size
    # PaSST's patches may overlap.
    rows = (config.num_mel_bins - size) // getattr(config, "frequency_stride", size) + 1
    columns = (config.num_frames - size) // getattr(config, "time_stride", size) + 1
    if training:
        rows, columns = rows - config.patchout_frequency, columns - config.patchout_time
    tokens = rows * columns - (config.patchout_unstructured if training else 0)
    return transformer_operations(
        tokens, config.num_hidden_layers, config.hidden_size, config.intermediate_size
    )


def text_operations(stage: Stage) -> int | None:
    """Operations of the text tower's forward pass over the longest caption; None if its size is unknown."""
    section = stage.model.text
    size = TEXT_SIZES.get(section.pretrained or "")
    if size is None:
        try:
            if section.pretrained:
                config = AutoConfig.from_pretrained(
                    locate_text_encoder(section.pretrained).location, local_files_only=True
                )
            else:
                config = AutoConfig.for_model(**section.config)
            size = (config.num_hidden_layers, config.hidden_size, config.intermediate_size)
        except (OSError, ValueError, TypeError, AttributeError, PretrainedError):
            return None
    return transformer_operations(section.max_tokens, *size)


def step_seconds(step: Step, chain: Chain, assumptions: Assumptions) -> float | None:
    """
    Estimated seconds of a training or of a teacher bank; None for other steps or unknown sizes.

    Decoding, validation and checkpoints are ignored: with enough workers they run while the GPU computes.
    """
    if step.kind not in ("train", "bank") or step.run is None or not chain.section.rows:
        return None
    stage = chain.stage(step.run.system, step.run.tower)
    text = text_operations(stage)
    if text is None:
        return None
    values = dict(stage.model.audio.config)
    config = AUDIO_CONFIGS[values.pop("model_type", "auricle_passt")](**values)
    if step.kind == "bank":
        learners = [
            chain.stage(system, tower)
            for system in chain.section.systems
            for tower in chain.section.towers
            if step.run.name in chain.run(system, tower, whole=step.whole).teachers
        ]
        rows = {name: one for stage in learners for name, one in _rows(stage, chain, step.whole).items()}
        audio = audio_operations(config, training=False)
        total = sum(one.rows * text + one.rows / one.captions * one.segments * audio for one in rows.values())
    else:
        audio = audio_operations(config, training=True)
        rows = _rows(stage, chain, step.whole)
        an_epoch = sum(one.rows * (text + one.segments * audio) for one in rows.values())
        passes = PASSES_OF_A_STEP + (1 if stage.training.micro_batch_size else 0)
        total = stage.training.epochs * passes * an_epoch
    return total / (assumptions.tflops * 1e12)


def need_seconds(need: NeedSection, assumptions: Assumptions) -> float | None:
    """Estimated seconds of a download or of a language model's answers; None if unknown."""
    seconds = [
        need.gigabytes * 8000 / assumptions.megabits if need.gigabytes else 0.0,
        need.requests * 60 / assumptions.requests if need.requests else 0.0,
    ]
    return sum(seconds) or None


def _rows(stage: Stage, chain: Chain, whole: bool) -> Mapping[str, Any]:
    """What an epoch of a stage reads: published numbers of rows by dataset."""
    known = chain.section.rows
    names = [name for name in stage.data.sources if name in known]
    if whole:
        names += [f"{name}_whole" for name in names if f"{name}_whole" in known]
    if field_value(stage, "augmentation.mixes") is not None and "mixes" in known:
        names.append("mixes")
    return {name: known[name] for name in names}


def format_seconds(seconds: float) -> str:
    """A duration in words, rounded up: minutes below two hours, hours below two days, else days."""
    if seconds < 60:
        return "below a minute"
    if seconds < 2 * 3600:
        return f"about {ceil(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"about {ceil(seconds / 3600)} h"
    return f"about {seconds / 86400:.1f} days"


__all__ = [
    "Assumptions",
    "audio_operations",
    "format_seconds",
    "need_seconds",
    "step_seconds",
    "text_operations",
    "transformer_operations",
]
