"""What a caption says of a scene, and which scenes it is true of: a planted ground truth for overlapping "
"captions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from .descriptions import Part, SceneDescription


@dataclass(frozen=True)
class Claims:
    """
    What a caption says.

    Attributes:
        relation: "then" or "while" where the caption relates two events; None where it names one.
        parts: kind and count of each event, in the order of the scene; pitch and loudness where the caption
        says them. says_how: whether pitch and loudness are said; if not, any will do.
    """

    relation: str | None
    parts: tuple[Part, ...]
    says_how: bool

    def to_json(self) -> str:
        """As text, for a table's column."""
        return json.dumps(
            {"relation": self.relation, "parts": _listed(self.parts), "says_how": self.says_how}
        )

    @classmethod
    def from_json(cls, text: str) -> "Claims":
        """Reads what [`to_json`] wrote."""
        value = json.loads(text)
        return cls(value["relation"], tuple(Part(*part) for part in value["parts"]), value["says_how"])


def content_to_json(description: SceneDescription) -> str:
    """What happens in a scene as text, for a table's column."""
    return json.dumps({"relation": description.relation, "parts": _listed(description.parts)})


def content_from_json(text: str) -> SceneDescription:
    """Reads what [`content_to_json`] wrote."""
    value = json.loads(text)
    return SceneDescription(value["relation"], tuple(Part(*part) for part in value["parts"]))


def caption_fits(claims: Claims, scene: SceneDescription) -> bool:
    """
    Whether a caption is true of a scene.

    A caption of one event is true of every scene that holds it, whatever else happens there; one that relates two
    events is true of scenes with this relation between them.
    """
    if claims.relation is None:
        return any(_fits(said, part, claims.says_how) for said in claims.parts for part in scene.parts)
    return claims.relation == scene.relation and all(
        _fits(said, part, claims.says_how) for said, part in zip(claims.parts, scene.parts, strict=True)
    )


def fitting_matrix(captions: Sequence[str], contents: Sequence[str]) -> np.ndarray:
    """
    The planted truth of a table's columns ``claims`` and ``content``.

    Args:
        captions: ``claims`` of each caption.
        contents: ``content`` of each clip.

    Returns:
        bool ``(captions, clips)``, whether the caption is true of the clip.
    """
    scenes = [content_from_json(text) for text in contents]
    return np.array(
        [[caption_fits(claims, scene) for scene in scenes] for claims in map(Claims.from_json, captions)]
    )


def table_fitting_matrix(table: Dataset) -> np.ndarray:
    """The same for the rows of a table: which row's caption is true of which row's clip."""
    return fitting_matrix(table["claims"], table["content"])


def _fits(said: Part, part: Part, says_how: bool) -> bool:
    if (said.kind, said.count) != (part.kind, part.count):
        return False
    return not says_how or (said.pitch, said.loudness) == (part.pitch, part.loudness)


def _listed(parts: Sequence[Part]) -> list[list]:
    return [[part.kind, part.count, part.pitch, part.loudness] for part in parts]


__all__ = [
    "Claims",
    "caption_fits",
    "content_from_json",
    "content_to_json",
    "fitting_matrix",
    "table_fitting_matrix",
]
