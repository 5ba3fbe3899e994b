"""Discrete descriptions of scenes, and the split of each scene.

A scene is one event kind only, one *then* another, or one *while* another continues. Splits are disjoint by
the scene's core: its relation and its kinds in order (for a single kind, also count, pitch and loudness). A
hash of the core decides the split, so a core is in the same split at any size.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np

from .kinds import KINDS

SPLITS = ("train", "validation", "test")
_EVALUATION_PERCENT = 22  # of all cores, for each of validation and test
_RELATIONS, _RELATION_SHARES = ("alone", "then", "while"), (0.22, 0.43, 0.35)
# What overlapping scenes are made of: few kinds, so that many scenes share one, and kinds that are easy to distinguish.
OVERLAPPING_KINDS = (
    "beep",
    "bell",
    "dog-bark",
    "drum",
    "knock",
    "laser",
    "clock",
    "crickets",
    "engine",
    "rain",
    "siren",
    "telephone",
)
_NUMERALS = {1: "", 2: "two-", 3: "three-", 4: "four-"}


@dataclass(frozen=True)
class Part:
    """One event kind within a scene: how often (1 to 4), how high and how loud (`None`: middling)."""

    kind: str
    count: int = 1
    pitch: str | None = None
    loudness: str | None = None

    @property
    def key(self) -> str:
        return " ".join(filter(None, [str(self.count), self.loudness, self.pitch, self.kind]))


@dataclass(frozen=True)
class SceneDescription:
    """`relation` is "alone" (one part), "then" (two in their order) or "while".

    With "while" the second part lasts and surrounds the first; where both last, they are in alphabetical
    order.
    """

    relation: str
    parts: tuple[Part, ...]

    @property
    def key(self) -> str:
        """The whole description as text: equal for equal scenes only."""
        return f"{self.relation}: " + " | ".join(part.key for part in self.parts)

    @property
    def core(self) -> str:
        """The part of a description that decides its split."""
        if self.relation == "alone":
            return self.key
        return f"{self.relation}: " + " | ".join(part.kind for part in self.parts)

    @property
    def slug(self) -> str:
        """A readable piece of a file name, such as "siren-then-three-knocks"."""
        names = [f"{_NUMERALS[part.count]}{part.kind}{'s' if part.count > 1 else ''}" for part in self.parts]
        return f"-{self.relation}-".join(names)


def split_of(core: str, seed: int) -> str:
    """The split that owns a core: "train", "validation" or "test"."""
    digest = hashlib.sha256(f"{seed}/{core}".encode()).digest()
    bucket = int.from_bytes(digest[:8], "big") % 100
    if bucket < _EVALUATION_PERCENT:
        return "test"
    return "validation" if bucket < 2 * _EVALUATION_PERCENT else "train"


def describe_scene(seed: int, split: str, index: int, overlap: bool = False) -> SceneDescription:
    """The description of one scene; it depends only on the arguments.

    In "validation" and "test" no two scenes have the same set of kinds, so that a caption distinguishes a clip from
    every other one. Training scenes are drawn freely from the cores of the split. With overlap, the scenes of all
    splits are drawn freely, and only from `OVERLAPPING_KINDS`, so that many share one or both kinds.

    Raises:
        IndexError: An evaluation split has no scene of that number (see `capacity`).
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index, 0])
    if split == "train" or overlap:
        relation = str(rng.choice(_RELATIONS, p=_RELATION_SHARES))
        groups = _owned(seed, split, overlap)[relation]
        group = groups[int(rng.integers(len(groups)))]
        return _detailed(group[int(rng.integers(len(group)))], rng)
    return _detailed(_evaluation_order(seed, split)[index], rng)


def capacity(seed: int, split: str) -> int:
    """Maximum number of scenes in "validation" or "test"."""
    return len(_evaluation_order(seed, split))


@cache
def _owned(seed: int, split: str, overlap: bool = False) -> dict[str, list[list[SceneDescription]]]:
    """
    Scenes of a split by relation, without details; single events are grouped by kind, so all are equally frequent.
    """
    kinds = OVERLAPPING_KINDS if overlap else KINDS
    owned = {
        relation: [
            scene
            for scene in scenes
            if split_of(scene.core, seed) == split and all(part.kind in kinds for part in scene.parts)
        ]
        for relation, scenes in _all_scenes().items()
    }
    alone: dict[str, list[SceneDescription]] = {}
    for scene in owned.pop("alone"):
        alone.setdefault(scene.parts[0].kind, []).append(scene)
    return {"alone": list(alone.values()), **{name: [[scene] for scene in owned[name]] for name in owned}}


@cache
def _evaluation_order(seed: int, split: str) -> list[SceneDescription]:
    scenes = [scene for groups in _owned(seed, split).values() for group in groups for scene in group]
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    distinct: dict[frozenset[str], SceneDescription] = {}
    for position in rng.permutation(len(scenes)):
        scene = scenes[int(position)]
        distinct.setdefault(frozenset(part.kind for part in scene.parts), scene)
    return list(distinct.values())


@cache
def _all_scenes() -> dict[str, list[SceneDescription]]:
    """Every scene: single events with all details, pairs by kinds only."""
    alone = [
        SceneDescription("alone", (Part(kind.name, count, pitch, loudness),))
        for kind in KINDS.values()
        for count in (range(1, 5) if kind.countable else (1,))
        for pitch, loudness in product(
            (None, "high", "low") if kind.pitched else (None,), (None, "loud", "faint")
        )
    ]
    pairs = list(permutations(KINDS.values(), 2))
    then = [SceneDescription("then", (Part(first.name), Part(second.name))) for first, second in pairs]
    both = [
        SceneDescription("while", (Part(front.name), Part(back.name)))
        for front, back in pairs
        if back.lasting
        and not (front.noisy and back.noisy)
        and not (front.lasting and front.name > back.name)
    ]
    return {"alone": alone, "then": then, "while": both}


def _detailed(scene: SceneDescription, rng: np.random.Generator) -> SceneDescription:
    """The scene with count, pitch and loudness drawn for its parts."""
    if scene.relation == "alone":
        return scene
    parts = []
    for position, part in enumerate(scene.parts):
        kind = KINDS[part.kind]
        most = 3 if scene.relation == "then" else 4
        count = int(rng.integers(1, most + 1)) if kind.countable else 1
        pitch = (None, "high", "low")[int(rng.choice(3, p=(0.4, 0.3, 0.3)))] if kind.pitched else None
        if scene.relation == "then":
            loudness = (None, "loud", "faint")[int(rng.choice(3, p=(0.7, 0.15, 0.15)))]
        else:
            # The background must not mask a lasting sound in the foreground.
            loudness = ("loud", "faint")[position] if rng.random() < 0.2 else None
        parts.append(Part(part.kind, count, pitch, loudness))
    return SceneDescription(scene.relation, tuple(parts))
