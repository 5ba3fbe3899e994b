"""Overlapping scenes of one seed, ready to train on: features, pooled captions and the planted truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset

from auricle.data.scenes import SceneSettings, fitting_matrix, load_scenes
from auricle.data.schema import unique_clips
from auricle.training.models.model_building import BuiltModel

SPLITS = ("validation", "test", "test_unseen_wording")


@dataclass(frozen=True)
class SceneSplit:
    """
    Clips, captions and the truth of one split.

    Attributes:
        features: float32 ``(clips, frames, mel bins)``, what the audio tower takes.
        captions: float32 ``(rows, width)``, the frozen text tower's pooled vectors.
        clip_of_row: int64 ``(rows,)``, the clip that a row's caption was written for.
        truth: bool ``(clips, rows)``, whether a row's caption is true of a clip.
        clip_ids: of the clips.
    """

    features: torch.Tensor
    captions: torch.Tensor
    clip_of_row: np.ndarray
    truth: np.ndarray
    clip_ids: tuple[str, ...]

    @property
    def labels(self) -> np.ndarray:
        """bool ``(clips, rows)``: the pairs that carry a label."""
        return np.arange(len(self.clip_ids))[:, None] == self.clip_of_row[None, :]

    def of_clips(self, clips: np.ndarray) -> tuple["SceneSplit", np.ndarray]:
        """The split of some of the clips, and the rows of this one that it holds."""
        place = np.full(len(self.clip_ids), -1)
        place[clips] = np.arange(len(clips))
        rows = np.flatnonzero(place[self.clip_of_row] >= 0)
        part = SceneSplit(
            self.features[clips],
            self.captions[rows],
            place[self.clip_of_row[rows]],
            self.truth[np.ix_(clips, rows)],
            tuple(self.clip_ids[clip] for clip in clips),
        )
        return part, rows


def load_split(table: Dataset, built: BuiltModel) -> SceneSplit:
    """Features, pooled captions and truth of a table of overlapping scenes."""
    clips = unique_clips(table)
    extractor, ids = built.processor.feature_extractor, list(clips["clip_id"])
    features = torch.stack([extractor(clip)["input_features"][0] for clip in clips["audio"]])
    distinct = sorted(set(table["caption"]))
    pooled = dict(zip(distinct, built.encoder().pool_texts(distinct), strict=True))
    place = {clip: number for number, clip in enumerate(ids)}
    return SceneSplit(
        features,
        torch.from_numpy(np.stack([pooled[caption] for caption in table["caption"]])),
        np.array([place[clip] for clip in table["clip_id"]]),
        fitting_matrix(table).T.copy(),
        tuple(ids),
    )


def load_seed(settings: SceneSettings, built: BuiltModel, work_dir: Path) -> dict[str, SceneSplit]:
    """
    The splits of a seed's scenes, from the work directory if they are there.

    Args:
        settings: of the scenes, with overlap.
        built: whose feature extractor and text tower make the input.
        work_dir: where rendered scenes and input are kept.
    """
    kept = work_dir / f"input-{settings.fingerprint()}.pt"
    if not kept.is_file():
        tables = load_scenes(settings, cache_dir=work_dir / "scenes", progress=False)
        write_splits(kept, {name: load_split(table, built) for name, table in tables.items()})
    return read_splits(kept)


def write_splits(path: Path, splits: Mapping[str, SceneSplit]) -> None:
    """Keeps splits as one file of tensors."""
    kept = {name: dict(vars(split)) for name, split in splits.items()}
    for values in kept.values():
        for name in ("clip_of_row", "truth"):
            values[name] = torch.from_numpy(values[name])
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(kept, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def read_splits(path: Path) -> dict[str, SceneSplit]:
    """What `write_splits` kept."""
    splits = torch.load(path, weights_only=True)
    for values in splits.values():
        for name in ("clip_of_row", "truth"):
            values[name] = values[name].numpy()
    return {name: SceneSplit(**values) for name, values in splits.items()}
