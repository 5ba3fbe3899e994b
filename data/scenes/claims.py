"""Statements of a caption about a scene, and whether a scene fulfils them: ground truth for overlapping captions."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any

import numpy as np
from datasets import Dataset

from ..schema import DataError, unique_clips
from .descriptions import Part, SceneDescription


@dataclass(frozen=True)
class PartClaim:
    """
    Statements of a caption about one event. `None` means that the caption does not mention it.

    Attributes:
        kind: The event kind.
        at_least: Minimum count.
        at_most: Maximum count; equal to `at_least` where the caption gives a number.
        pitch: "high" or "low".
        loudness: "loud" or "faint".
    """

    kind: str
    at_least: int = 1
    at_most: int | None = None
    pitch: str | None = None
    loudness: str | None = None

    def holds_for(self, part: Part) -> bool:
        """Whether a part of a scene fulfils all statements."""
        return (
            self.kind == part.kind
            and self.at_least <= part.count
            and (self.at_most is None or part.count <= self.at_most)
            and self.pitch in (None, part.pitch)
            and self.loudness in (None, part.loudness)
        )


@dataclass(frozen=True)
class Claims:
    """
    Statements of a caption.

    Attributes:
        relation: "then" (the parts in this order), "while" (at the same time, in any order), or `None` if it is left
            open how the parts relate to each other, or there is only one.
        parts: The events that it names, one or two.
    """

    relation: str | None
    parts: tuple[PartClaim, ...]

    def to_json(self) -> str:
        """The claims as text for a table's column; equal only for equal claims."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Claims":
        """Reads what `to_json` wrote; raises `ValueError`, `KeyError` or `TypeError` for another text."""
        value = json.loads(text)
        return cls(value["relation"], tuple(PartClaim(**part) for part in value["parts"]))


def content_to_json(description: SceneDescription) -> str:
    """A scene as text for a table's column; equal texts mean equal scenes."""
    return json.dumps(asdict(description))


def content_from_json(text: str) -> SceneDescription:
    """Reads what `content_to_json` wrote; raises `ValueError`, `KeyError` or `TypeError` for another text."""
    value = json.loads(text)
    return SceneDescription(value["relation"], tuple(Part(**part) for part in value["parts"]))


def caption_fits(claims: Claims, scene: SceneDescription) -> bool:
    """
    Whether a caption is true of a scene: the scene fulfils all of its statements.

    Unmentioned properties are ignored: a caption of one event is true of every scene that contains the
    event.
    """
    if claims.relation not in (None, scene.relation):
        return False
    if claims.relation == "then":
        return len(claims.parts) == len(scene.parts) and _hold(claims.parts, scene.parts)
    return any(_hold(claims.parts, parts) for parts in permutations(scene.parts, len(claims.parts)))


def fitting_matrix(table: Dataset) -> np.ndarray:
    """
    The planted truth of a table of overlapping scenes, from its columns `claims` and `content`.

    Returns:
        bool (rows, clips): whether a row's caption is true of a clip. The clips are in the order of `unique_clips`.

    Raises:
        DataError: A column is missing, or contains a value that generated scenes do not have.
    """
    for name in ("claims", "content"):
        if name not in table.column_names:
            raise DataError(f"the table has no column {name!r}; only generated scenes with overlap have it")
    claims = [_read(Claims.from_json, "claims", row, text) for row, text in enumerate(table["claims"])]
    contents = unique_clips(table)["content"]
    scenes = [_read(content_from_json, "content", clip, text) for clip, text in enumerate(contents)]
    holding: dict[str, list[int]] = defaultdict(list)
    for clip, scene in enumerate(scenes):
        for part in scene.parts:
            holding[part.kind].append(clip)
    fitting = np.zeros((len(claims), len(scenes)), dtype=bool)
    for row, said in enumerate(claims):
        # Only a scene with the first kind that is named can fit: a few of many.
        candidates = holding[said.parts[0].kind]
        fitting[row, candidates] = [caption_fits(said, scenes[clip]) for clip in candidates]
    return fitting


def _hold(claims: Sequence[PartClaim], parts: Sequence[Part]) -> bool:
    return all(claim.holds_for(part) for claim, part in zip(claims, parts, strict=True))


def _read(parse: Any, column: str, number: int, text: str) -> Any:
    try:
        return parse(text)
    except (ValueError, KeyError, TypeError) as error:
        what = "row" if column == "claims" else "clip"
        raise DataError(
            f"{what} {number}: column {column!r} is {text!r}, but must be a scene's description ({error})"
        ) from error


__all__ = [
    "Claims",
    "PartClaim",
    "caption_fits",
    "content_from_json",
    "content_to_json",
    "fitting_matrix",
]
