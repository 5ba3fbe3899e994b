"""A split's similarity matrix with the names of its queries and clips, computed, combined and kept."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..data.schema import unique_clips
from ..encoders import AudioTextEncoder
from ..encoders.caption_lengths import caption_lengths
from ..files.json_files import read_json, write_json
from .metrics.inner_products import InnerProducts, Scores, first_not_finite, weighted_inner_products

FORMAT = "auricle similarities"
VERSION = 1
INFO, SCORES = "similarities.json", "similarities.safetensors"


class SimilarityError(ValueError):
    """Similarities that are not finite, or of other queries or clips than they are used with."""


@dataclass(frozen=True, eq=False)
class Similarities:
    """
    Similarities of every query of a split to every clip.

    Attributes:
        scores: ``(queries, clips)``, higher is nearer: a float32 array, or the vectors that they come from.
        query_ids: row id of each query; every caption of a clip is its own query.
        queries: the captions.
        clip_ids: the distinct clips.
        clip_of_query: int64 ``(queries,)``, the place of the clip that the caption was written for.
        source: the dataset's name.
        split: the split's.
        name: name of the system, for display.
        origin: how they were made, for the record.
    """

    scores: Scores
    query_ids: list[str]
    queries: list[str]
    clip_ids: list[str]
    clip_of_query: np.ndarray
    source: str
    split: str
    name: str
    origin: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        shape = (len(self.query_ids), len(self.clip_ids))
        if self.scores.shape != shape:
            raise SimilarityError(
                f"similarities of {self.name}: shape {self.scores.shape} does not fit {shape[0]} queries and "
                f"{shape[1]} clips."
            )
        bad = first_not_finite(self.scores)
        if bad is not None:
            query, clip = bad
            raise SimilarityError(
                f"similarities of {self.name}: query {self.query_ids[query]!r}, clip {self.clip_ids[clip]!r} is "
                f"{self.scores[query][clip]}; every one must be finite."
            )

    def check_same_pairs(self, other: "Similarities") -> None:
        """
        Raises:
            SimilarityError: if another matrix has other queries or clips, or the same in another order.
        """
        for what, own, theirs in (
            ("clips", self.clip_ids, other.clip_ids),
            ("queries", self.query_ids, other.query_ids),
            ("captions", self.queries, other.queries),
        ):
            if own == theirs:
                continue
            if sorted(own) == sorted(theirs):
                raise SimilarityError(
                    f"{self.name} and {other.name} have the same {what} in another order; compute both on "
                    "one table."
                )
            known, others = set(own), set(theirs)
            odd = next((one for one in theirs if one not in known), None)
            odd = odd if odd is not None else next((one for one in own if one not in others), own[0])
            raise SimilarityError(
                f"{self.name} has {len(own)} {what}, {other.name} has {len(theirs)}; they differ, for example "
                f"in {odd!r}."
            )

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Writes scores and names into a directory, which may hold older similarities."""
        target = Path(directory)
        if target.exists() and not (target / INFO).is_file() and any(target.iterdir()):
            raise SimilarityError(f"{target}: the directory contains other files; choose another directory.")
        target.mkdir(parents=True, exist_ok=True)
        save_file({**self.score_tensors(), "clip_of_query": self.clip_of_query}, target / SCORES)
        names = {
            key: getattr(self, key)
            for key in ("query_ids", "queries", "clip_ids", "source", "split", "name", "origin")
        }
        write_json(target / INFO, {"format": FORMAT, "version": VERSION, **names})

    def score_tensors(self) -> dict[str, np.ndarray]:
        """The arrays to save, float32: ``scores``, or ``query_vectors`` and ``clip_vectors``."""
        if isinstance(self.scores, InnerProducts):
            named = {"query_vectors": self.scores.row_vectors, "clip_vectors": self.scores.column_vectors}
        else:
            named = {"scores": self.scores}
        return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in named.items()}

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> "Similarities":
        """
        Reads saved similarities.

        Raises:
            SimilarityError: if the directory contains none, another version, or damaged ones.
        """
        path = Path(directory)
        try:
            info = read_json(path / INFO) or {}
            if info.pop("format", None) != FORMAT or info.pop("version", None) != VERSION:
                raise SimilarityError(f"{path}: {INFO} is not of this program's version {VERSION}.")
            arrays = load_file(path / SCORES)
            scores = (
                arrays["scores"]
                if "scores" in arrays
                else InnerProducts(arrays["query_vectors"], arrays["clip_vectors"])
            )
            return cls(scores=scores, clip_of_query=arrays["clip_of_query"], **info)
        except (OSError, SafetensorError, KeyError, TypeError) as error:
            raise SimilarityError(f"{path}: the similarities are incomplete ({error}).") from error

    @staticmethod
    def is_one(path: str | os.PathLike[str]) -> bool:
        """Whether a path is a directory with saved similarities."""
        return (Path(path) / INFO).is_file()


def compute_similarities(
    encoder: AudioTextEncoder,
    table: Dataset,
    *,
    name: str,
    batch_size: int = 32,
    progress: bool = False,
    num_workers: int | None = None,
) -> Similarities:
    """
    Embeds every clip and caption of one split once, and compares all with all by cosine.

    Args:
        encoder: on any device.
        table: one split of the schema; clips are distinguished by ``clip_id``.
        name: name of the system.
        batch_size: segments, or captions, at a time.
        progress: show progress bars.
        num_workers: threads that decode the next clips meanwhile; None is half of the cores. The vectors are the
            same bits.

    Raises:
        AudioReadError: for a clip that cannot be read.
        SimilarityError: if the table is empty.
    """
    # Importing it imports torch, which saved similarities do not need.
    from ..encoders.cpu_threads import half_of_the_cores

    if not len(table):
        raise SimilarityError(f"{name}: the split has no rows to evaluate.")
    clips = unique_clips(table)
    place = {clip: number for number, clip in enumerate(clips["clip_id"])}
    audio, _ = encoder.embed_clips(
        list(clips["audio"]),
        batch_size=batch_size,
        progress=progress,
        description="evaluating",
        num_workers=half_of_the_cores() if num_workers is None else num_workers,
    )
    text = encoder.embed_texts(list(table["caption"]), batch_size=batch_size)
    lengths = caption_lengths(encoder, list(table["caption"]))
    return Similarities(
        scores=InnerProducts(text, audio),
        query_ids=list(table["row_id"]),
        queries=list(table["caption"]),
        clip_ids=list(clips["clip_id"]),
        clip_of_query=np.asarray([place[clip] for clip in table["clip_id"]], dtype=np.int64),
        source=table["source"][0],
        split=table["split"][0],
        name=name,
        origin={"model": name, **({"caption_lengths": lengths.as_record()} if lengths else {})},
    )


def weighted_sum(members: Sequence[Similarities], weights: Sequence[float], name: str) -> Similarities:
    """
    The weighted sum of several systems' similarities (AISTAT report, arXiv 2509.16649, ensembles).

    Weights are used unchanged: their scale moves no rank.

    Raises:
        SimilarityError: if there are no members, weights of another number, not finite, negative or all 0, or
            members of other queries or clips, or in another order.
    """
    if not members or len(members) != len(weights):
        raise SimilarityError(f"{len(members)} members and {len(weights)} weights: give one weight a member.")
    numbers = np.asarray(weights, dtype=np.float64)
    if not np.isfinite(numbers).all() or (numbers < 0).any() or not numbers.sum() > 0:
        raise SimilarityError(f"weights {list(weights)}: must be 0 or more, and not all 0.")
    for other in members[1:]:
        members[0].check_same_pairs(other)
    scores = [member.scores for member in members]
    if all(isinstance(one, InnerProducts) for one in scores):
        total = weighted_inner_products(scores, numbers)
    else:
        pairs = zip(scores, numbers, strict=True)
        total = sum(weight * np.asarray(one, dtype=np.float64) for one, weight in pairs).astype(np.float32)
    origin = {"members": [member.name for member in members], "weights": numbers.tolist()}
    rankings = {member.origin.get("ranking", "clip") for member in members}
    if rankings != {"clip"}:
        origin["ranking"] = rankings.pop() if len(rankings) == 1 else "mixed"
    lengths = {
        member.name: member.origin["caption_lengths"]
        for member in members
        if "caption_lengths" in member.origin
    }
    if lengths:
        origin["caption_lengths_of_members"] = lengths
    return replace(members[0], scores=total, name=name, origin=origin)


__all__ = ["Similarities", "SimilarityError", "compute_similarities", "weighted_sum"]
