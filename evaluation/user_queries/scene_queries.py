"""Queries about generated scenes: what happens in each is known, so for each query it is known which clips fit."""

from collections.abc import Callable, Sequence

import numpy as np
from datasets import Dataset

from ...data.scenes.claims import Claims, PartClaim, caption_fits
from ...data.scenes.descriptions import Part, SceneDescription
from ...data.scenes.held_out_vocabularies import HELD_OUT
from ...data.scenes.kinds import KINDS
from ...data.scenes.vocabulary import Vocabulary
from ...data.schema import unique_clips
from .query_kinds import QUERY_KINDS, UserQuery, UserQueryError, without_article

_DRAWS_A_QUERY = 40


def scene_queries(
    table: Dataset, *, vocabulary: Vocabulary = HELD_OUT, per_kind: int = 60, seed: int = 0
) -> list[UserQuery]:
    """
    Different queries of each kind that at least one scene of a table fits.

    "Without" always has traps, clips with the wanted sound and the excluded one; "count" and "order" have them where
    the table holds any. There are fewer than `per_kind` queries of a kind where the table does not give more.

    Args:
        table: rows of generated scenes, with the column `scene`.
        vocabulary: names and numerals; the default has no content word in common with training captions.
        per_kind: number of queries of each kind, at least 1.
        seed: of the draw; the same arguments give the same queries.

    Returns:
        Queries by kind, in the order of `QUERY_KINDS`; places are those of `unique_clips(table)`.

    Raises:
        UserQueryError: the table is not of generated scenes, is empty, or `per_kind` is below 1.
    """
    if per_kind < 1:
        raise UserQueryError(f"per_kind is {per_kind}, but must be 1 or more")
    if "scene" not in table.column_names:
        raise UserQueryError(
            f"the table has no column 'scene', only {table.column_names}; queries of scenes are about generated "
            "scenes. For other clips give a column with their classes."
        )
    scenes = [description_of(key) for key in unique_clips(table)["scene"]]
    if not scenes:
        raise UserQueryError("the table is empty; queries are drawn from what its clips hold")
    queries: list[UserQuery] = []
    for number, kind in enumerate(QUERY_KINDS):
        rng = np.random.default_rng([seed, number])
        found: dict[str, UserQuery] = {}
        for _ in range(_DRAWS_A_QUERY * per_kind):
            query = _draw(kind, scenes, vocabulary, rng)
            if query is not None:
                found.setdefault(query.text, query)
            if len(found) == per_kind:
                break
        queries += found.values()
    return queries


def description_of(key: str) -> SceneDescription:
    """
    The scene of a `SceneDescription.key`, such as "then: 3 loud knock | 1 low bell".

    Raises:
        UserQueryError: the text is not such a key.
    """
    relation, _, rest = key.partition(": ")
    parts = []
    for text in rest.split(" | "):
        count, *words = text.split(" ")
        kind = words[-1] if words else ""
        pitch = next((word for word in words if word in ("high", "low")), None)
        loudness = next((word for word in words if word in ("loud", "faint")), None)
        if not count.isdecimal() or kind not in KINDS:
            raise UserQueryError(f"column 'scene' holds {key!r}, which describes no generated scene")
        parts.append(Part(kind, int(count), pitch, loudness))
    description = SceneDescription(relation, tuple(parts))
    if description.key != key:
        raise UserQueryError(f"column 'scene' holds {key!r}, which describes no generated scene")
    return description


def _draw(
    kind: str, scenes: Sequence[SceneDescription], vocabulary: Vocabulary, rng: np.random.Generator
) -> UserQuery | None:
    """A query of a kind about a scene drawn at random, or None if that scene gives none."""
    scene = scenes[int(rng.integers(len(scenes)))]
    sounds = list(dict.fromkeys(part.kind for part in scene.parts))
    name = _namer(vocabulary, rng)

    def made(
        fits: Callable[[SceneDescription], bool],
        holds: Callable[[SceneDescription], bool] | None,
        first: str,
        second: str = "",
    ) -> UserQuery:
        templates = QUERY_KINDS[kind]
        text = templates[int(rng.integers(len(templates)))].format(
            a=first, b=second, tag_a=without_article(first), tag_b=without_article(second)
        )
        relevant = tuple(place for place, one in enumerate(scenes) if fits(one))
        trapped = () if holds is None else (place for place, one in enumerate(scenes) if holds(one))
        return UserQuery(text, kind, relevant, tuple(place for place in trapped if place not in relevant))

    def holds_all(*wanted: str) -> Callable[[SceneDescription], bool]:
        return lambda one: set(wanted) <= {part.kind for part in one.parts}

    if kind in ("two words", "both", "order"):
        if len(sounds) < 2 or (kind == "order" and scene.relation != "then"):
            return None
        first, second = sounds
        if kind == "order":
            claims = Claims("then", (PartClaim(first), PartClaim(second)))
            return made(
                lambda one: caption_fits(claims, one), holds_all(first, second), name(first), name(second)
            )
        return made(holds_all(first, second), None, name(first), name(second))
    sound = sounds[int(rng.integers(len(sounds)))]
    if kind == "without":
        company = {
            part.kind for one in scenes if holds_all(sound)(one) for part in one.parts if part.kind != sound
        }
        excluded = sorted(company - set(sounds))
        if not excluded:
            return None
        other = excluded[int(rng.integers(len(excluded)))]
        return made(
            lambda one: holds_all(sound)(one) and not holds_all(other)(one),
            holds_all(sound),
            name(sound),
            name(other),
        )
    if kind == "count":
        number = scene.parts[[part.kind for part in scene.parts].index(sound)].count
        if not KINDS[sound].countable or number < 2:
            return None
        numerals = vocabulary.counts[number]
        claims = Claims(None, (PartClaim(sound, number, number),))
        phrase = f"{numerals[int(rng.integers(len(numerals)))]} {name(sound, plural=True)}"
        return made(lambda one: caption_fits(claims, one), holds_all(sound), phrase)
    return made(holds_all(sound), None, name(sound))


def _namer(vocabulary: Vocabulary, rng: np.random.Generator) -> Callable[..., str]:
    def name(kind: str, *, plural: bool = False) -> str:
        names = vocabulary.names[kind]
        singular, _, many = names[int(rng.integers(len(names)))].partition(" | ")
        return many if plural else singular

    return name


__all__ = ["description_of", "scene_queries"]
