"""Training and evaluation on features that lie in memory: the package's model, losses and learning rates."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from scene_data import SceneSplit

from auricle.evaluation.metrics.retrieval_metrics import retrieval_metrics_from_similarities
from auricle.modeling import AuricleModel
from auricle.modeling.contrastive_loss import contrastive_loss
from auricle.training.learning_rate import schedule_steps, warmup_cosine_schedule
from auricle.training.losses.distillation_loss import distillation_loss
from auricle.training.recipe.schema import TrainingSection

# Similarity of a pair that a softmax must give nothing: exactly 0 after division by any temperature in use.
_NOTHING = -1e4


@dataclass(frozen=True)
class Targets:
    """
    Teachers' similarities of all training clips and captions.

    Attributes:
        per_audio: float32 ``(clips, rows)``, the targets of each clip among captions.
        per_text: float32 ``(clips, rows)``, the targets of each caption among clips.
        folds: int64 ``(clips,)``; if given, only pairs within a fold are compared.
    """

    per_audio: np.ndarray
    per_text: np.ndarray
    folds: np.ndarray | None = None


def train(
    model: AuricleModel,
    split: SceneSplit,
    section: TrainingSection,
    *,
    seed: int,
    positives: np.ndarray | None = None,
    targets: Targets | None = None,
    distillation_weight: float = 1.0,
    distillation_temperature: float | None = None,
) -> AuricleModel:
    """
    A trained copy of a model; the text tower stays as it is.

    Args:
        model: where training starts.
        split: the training rows.
        section: epochs, batch size, rates and weight of the contrastive loss.
        seed: of the order of rows and the patchout. Rows of a study share it: they see the same batches.
        positives: bool ``(clips, rows)``, the pairs that carry a label; None takes the captions' own clips.
        targets: of teachers; None trains on the labels alone.
        distillation_weight: weight of the distillation loss.
        distillation_temperature: of its softmaxes; None takes the model's.
    """
    model = copy.deepcopy(model).train()
    model.text_model.requires_grad_(False)
    parameters = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, value in parameters:
        groups.setdefault((name.startswith("audio_model."), value.dim() > 1), []).append(value)
    projection_rate = section.projection_learning_rate or section.learning_rate
    optimizer = torch.optim.AdamW(
        [
            {
                "params": values,
                "lr": section.learning_rate if in_tower else projection_rate,
                "weight_decay": section.weight_decay if decays else 0.0,
            }
            for (in_tower, decays), values in groups.items()
        ]
    )
    rows, size = len(split.clip_of_row), section.batch_size
    steps = int(section.epochs * (rows // size))
    ends = schedule_steps(steps, section.epochs, warmup_share=section.warmup_share)
    scheduler = warmup_cosine_schedule(
        optimizer,
        warmup_steps=ends.warmup_steps,
        cosine_end_step=ends.cosine_end_step,
        min_learning_rate=section.min_learning_rate,
    )
    labels = torch.from_numpy(split.labels if positives is None else positives)
    draws, patchout = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    order = np.zeros(0, dtype=np.int64)
    for _ in range(steps):
        if len(order) < size:
            order = draws.permutation(rows)
        batch, order = order[:size], order[size:]
        clips = split.clip_of_row[batch]
        outputs = model(
            input_features=split.features[clips], pooled_text=split.captions[batch], generator=patchout
        )
        similarities = outputs.audio_embeds @ outputs.text_embeds.T
        scale = outputs.logit_scale
        loss = torch.zeros(())
        if section.contrastive_weight:
            logits = scale * similarities
            loss = section.contrastive_weight * contrastive_loss(logits, labels[clips][:, batch])
        if targets is not None and distillation_weight:
            loss = loss + distillation_weight * _distillation(
                similarities, targets, clips, batch, distillation_temperature or 1 / float(scale)
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([value for _, value in parameters], section.max_grad_norm)
        optimizer.step()
        scheduler.step()
    return model.eval()


def _distillation(
    similarities: torch.Tensor, targets: Targets, clips: np.ndarray, rows: np.ndarray, temperature: float
) -> torch.Tensor:
    per_audio = torch.from_numpy(targets.per_audio[np.ix_(clips, rows)])
    per_text = torch.from_numpy(targets.per_text[np.ix_(clips, rows)]).T
    if targets.folds is not None:
        folds = targets.folds[clips]
        apart = torch.from_numpy(folds[:, None] != folds[None, :])
        similarities, per_audio = (value.masked_fill(apart, _NOTHING) for value in (similarities, per_audio))
        per_text = per_text.masked_fill(apart.T, _NOTHING)
    return distillation_loss(similarities, per_audio, temperature, similarities.T, per_text)


@torch.no_grad()
def embed(model: AuricleModel, split: SceneSplit) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of all clips ``(clips, width)`` and of all rows' captions ``(rows, width)``."""
    model.eval()
    clips = [model(input_features=part).audio_embeds for part in split.features.split(100)]
    captions = model.project_text(split.captions)
    return torch.cat(clips).numpy(), captions.numpy()


def figures(similarities: np.ndarray, split: SceneSplit) -> dict[str, float]:
    """
    Retrieval figures against the planted truth and against the labels alone.

    Args:
        similarities: float32 ``(clips, rows)``.
        split: whose.

    Returns:
        ``multi_text_to_audio_mAP@16`` (relevant are all clips that the caption is true of),
        ``single_text_to_audio_mAP@10`` (the clip that it was written for), and so on.
    """
    values = {}
    for kind, relevance in (("multi", split.truth), ("single", split.labels)):
        for direction, matrix, relevant in (
            ("text_to_audio", similarities.T, relevance.T),
            ("audio_to_text", similarities, relevance),
        ):
            found = retrieval_metrics_from_similarities(
                np.ascontiguousarray(matrix), [np.flatnonzero(row).tolist() for row in relevant]
            )
            for name in ("mAP@10", "mAP@16", "R@1", "R@10"):
                values[f"{kind}_{direction}_{name}"] = round(float(found[name]), 5)
    return values
