"""Turning the description of a scene into sentences that are true of it."""

from dataclasses import replace

import numpy as np

from .claims import Claims
from .descriptions import Part, SceneDescription
from .kinds import KINDS
from .vocabulary import Vocabulary

_ATTEMPTS = 60


def write_captions(
    description: SceneDescription, vocabulary: Vocabulary, rng: np.random.Generator, count: int
) -> list[str]:
    """`count` different true sentences; the first one leaves nothing of the description out.

    The others may leave out loudness and pitch, or say "several" for an exact count of three or more.
    """
    captions: dict[str, None] = {}
    for _ in range(_ATTEMPTS):
        captions.setdefault(_sentence(description, vocabulary, rng, complete=not captions))
        if len(captions) == count:
            return list(captions)
    raise RuntimeError(f"the vocabulary has no {count} different sentences for {description.key!r}")


def write_overlapping_captions(
    description: SceneDescription, vocabulary: Vocabulary, rng: np.random.Generator, count: int
) -> list[tuple[str, Claims]]:
    """`count` different true sentences with what each says; many are true of other scenes too.

    The first one says everything. The others leave out pitch and loudness, and of two events every second
    one names just one, as people do.
    """
    found: dict[str, Claims] = {}
    plain = replace(description, parts=tuple(Part(part.kind, part.count) for part in description.parts))
    for attempt in range(_ATTEMPTS):
        said, relation = plain, description.relation
        if not found:
            said = description
        elif attempt % 2 and relation != "alone":
            said, relation = SceneDescription("alone", (plain.parts[int(rng.integers(2))],)), "alone"
        sentence = _sentence(said, vocabulary, rng, complete=True)
        claims = Claims(None if relation == "alone" else relation, said.parts, says_how=said is description)
        found.setdefault(sentence, claims)
        if len(found) == count:
            return list(found.items())
    raise RuntimeError(f"the vocabulary has no {count} different sentences for {description.key!r}")


def noun_phrase(part: Part, vocabulary: Vocabulary, rng: np.random.Generator, *, complete: bool) -> str:
    """One part of a scene with its count, loudness and pitch, such as "three loud knocks on a door"."""
    adjectives = []
    if part.loudness and (complete or rng.random() < 0.7):
        adjectives.append(_choose(vocabulary.loudness[part.loudness], rng))
    if part.pitch and (complete or rng.random() < 0.8):
        adjectives.append(_choose(vocabulary.pitch[part.pitch], rng))
    singular, _, plural = _choose(vocabulary.names[part.kind], rng).partition(" | ")
    if part.count > 1:
        vague = part.count >= 3 and not complete and rng.random() < 0.15
        number = _choose(vocabulary.several if vague else vocabulary.counts[part.count], rng)
        return " ".join([number, *adjectives, plural])
    first, _, rest = singular.partition(" ")
    if first not in {"a", "an"}:
        return " ".join([*adjectives, singular])
    if KINDS[part.kind].countable and rng.random() < 0.25:
        return " ".join([_choose(vocabulary.counts[1], rng), *adjectives, rest])
    phrase = " ".join([*adjectives, rest])
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _sentence(
    description: SceneDescription, vocabulary: Vocabulary, rng: np.random.Generator, *, complete: bool
) -> str:
    phrases = [noun_phrase(part, vocabulary, rng, complete=complete) for part in description.parts]
    templates = vocabulary.templates[description.relation]
    words = dict(zip("ab", phrases, strict=False))
    if description.relation == "while":
        words |= {"front": phrases[0], "back": phrases[1]}
        if rng.random() < 0.5:
            words |= {"a": phrases[1], "b": phrases[0]}
        # Of two lasting sounds neither is the background of the other.
        if not KINDS[description.parts[0].kind].lasting:
            templates += vocabulary.templates["during"]
    sentence = _choose(templates, rng).format(**words)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _choose(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
