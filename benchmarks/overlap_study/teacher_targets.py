"""What teachers give a student to learn from, and how far it is from the planted truth."""

from collections.abc import Sequence

import numpy as np
import torch
from scene_data import SceneSplit
from scipy.stats import rankdata
from training_loop import Targets

_BATCHES = 60
_BINS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0)


def mean_targets(similarities: Sequence[np.ndarray]) -> Targets:
    """Teachers' mean similarities, each ``(clips, rows)``: the report's way."""
    mean = np.mean(similarities, axis=0, dtype=np.float32)
    return Targets(mean, mean)


def cross_fitted_targets(
    similarities: Sequence[np.ndarray], fold_of_clip: np.ndarray, clip_of_row: np.ndarray, *, blocks: bool
) -> Targets:
    """
    Targets of one teacher a fold: a clip's and a caption's are those of its fold's teacher.

    Args:
        similarities: of teacher k, ``(clips, rows)``; teacher k answers for fold k.
        fold_of_clip: int64 ``(clips,)``.
        clip_of_row: int64 ``(rows,)``.
        blocks: compare pairs of one fold alone. Otherwise a clip of fold k is compared with every caption by
            teacher k, which saw the captions of other folds, but never the clip.
    """
    stacked = np.stack(similarities)
    rows = np.arange(stacked.shape[2])
    per_audio = stacked[fold_of_clip, np.arange(stacked.shape[1])]
    per_text = stacked[fold_of_clip[clip_of_row], :, rows].T
    return Targets(per_audio, per_text.copy(), fold_of_clip if blocks else None)


def target_quality(targets: Targets, split: SceneSplit, *, batch_size: int, temperature: float) -> dict:
    """
    How far targets are from the truth, which is the uniform distribution over what fits, in random batches.

    Args:
        targets: of the split's clips and rows.
        split: with the truth.
        batch_size: pairs in a batch.
        temperature: of the softmax.

    Returns:
        For each direction: ``squared`` and ``variation``, the distances of the targets from the truth;
        ``labels_squared`` and ``labels_variation``, those of the labels; ``own`` and ``true_own``, the mass
        that targets and truth give to labelled pairs; ``calibration``, the mass of a query that lies in another
        bin of probability than it should (0 to 2); and ``auc_unlabelled``, how often an unlabelled true pair
        has a higher similarity than a false one, over all pairs that targets speak of.
    """
    draws = np.random.default_rng(0)
    found: dict[str, list[float]] = {}
    masses = {direction: np.zeros((2, len(_BINS) - 1)) for direction in ("audio_to_text", "text_to_audio")}
    queries = {"audio_to_text": 0, "text_to_audio": 0}
    for _ in range(_BATCHES):
        rows = draws.choice(len(split.clip_of_row), batch_size, replace=False)
        clips = split.clip_of_row[rows]
        batch = np.ix_(clips, rows)
        truth, own = split.truth[batch], split.labels[batch]
        if targets.folds is None:
            compared = np.ones_like(truth)
        else:
            folds = targets.folds[clips]
            compared = folds[:, None] == folds[None, :]
        for direction, values, axis in (
            ("audio_to_text", targets.per_audio[batch], 1),
            ("text_to_audio", targets.per_text[batch], 0),
        ):
            scores = torch.from_numpy(np.where(compared, values, -1e4)).double() / temperature
            soft = scores.softmax(axis).numpy()
            wanted, hard = (
                (mask & compared) / (mask & compared).sum(axis, keepdims=True) for mask in (truth, own)
            )
            for name, given in (("", soft), ("labels_", hard)):
                apart = given - wanted
                found.setdefault(f"{direction}_{name}squared", []).append((apart**2).sum(axis).mean())
                found.setdefault(f"{direction}_{name}variation", []).append(abs(apart).sum(axis).mean() / 2)
            found.setdefault(f"{direction}_own", []).append((soft * own).sum(axis).mean())
            found.setdefault(f"{direction}_true_own", []).append((wanted * own).sum(axis).mean())
            places = np.clip(np.digitize(soft, _BINS) - 1, 0, len(_BINS) - 2)
            for kind, given in enumerate((soft, wanted)):
                masses[direction][kind] += np.bincount(
                    places[compared], given[compared], minlength=len(_BINS) - 1
                )
            queries[direction] += batch_size
    quality = {name: round(float(np.mean(values)), 4) for name, values in found.items()}
    for direction, (given, wanted) in masses.items():
        quality[f"{direction}_calibration"] = round(float(abs(given - wanted).sum() / queries[direction]), 4)
    unlabelled = ~split.labels
    if targets.folds is not None:
        unlabelled &= targets.folds[:, None] == targets.folds[split.clip_of_row][None, :]
    for direction, values, axis in (
        ("audio_to_text", targets.per_audio, 1),
        ("text_to_audio", targets.per_text, 0),
    ):
        quality[f"{direction}_auc_unlabelled"] = round(_mean_auc(values, split.truth, unlabelled, axis), 4)
    return quality


def _mean_auc(values: np.ndarray, truth: np.ndarray, counted: np.ndarray, axis: int) -> float:
    """Mean over queries of the area under the curve, of the pairs that count."""
    if axis == 0:
        values, truth, counted = values.T, truth.T, counted.T
    areas = []
    for scores, true, mask in zip(values, truth, counted, strict=True):
        scores, true = scores[mask], true[mask]
        positives, negatives = true.sum(), (~true).sum()
        if positives and negatives:
            ranks = rankdata(scores)[true].sum()
            areas.append((ranks - positives * (positives + 1) / 2) / (positives * negatives))
    return float(np.mean(areas))
