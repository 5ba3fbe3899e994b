"""Turns the description of a scene into sentences that are true of it."""

from collections.abc import Sequence

import numpy as np

from .descriptions import Part, SceneDescription
from .kinds import KINDS
from .vocabulary import Vocabulary

_ATTEMPTS = 60


def write_captions(
    description: SceneDescription, vocabulary: Vocabulary, rng: np.random.Generator, count: int
) -> list[str]:
    """`count` different true sentences; the first one is complete.

    The others may omit loudness and pitch, or say "several" for an exact count of three or more.
    """
    captions: dict[str, None] = {}
    for _ in range(_ATTEMPTS):
        captions.setdefault(_sentence(description, vocabulary, rng, complete=not captions))
        if len(captions) == count:
            return list(captions)
    raise RuntimeError(f"the vocabulary has fewer than {count} different sentences for {description.key!r}")


def noun_phrase(part: Part, vocabulary: Vocabulary, rng: np.random.Generator, *, complete: bool) -> str:
    """One part of a scene with its count, loudness and pitch, such as "three loud knocks on a door"."""
    adjectives = []
    if part.loudness and (complete or rng.random() < 0.7):
        adjectives.append(choose(vocabulary.loudness[part.loudness], rng))
    if part.pitch and (complete or rng.random() < 0.8):
        adjectives.append(choose(vocabulary.pitch[part.pitch], rng))
    singular, _, plural = choose(vocabulary.names[part.kind], rng).partition(" | ")
    if part.count > 1:
        vague = part.count >= 3 and not complete and rng.random() < 0.15
        number = choose(vocabulary.several if vague else vocabulary.counts[part.count], rng)
        return " ".join([number, *adjectives, plural])
    first, _, rest = singular.partition(" ")
    if first not in {"a", "an"}:
        return " ".join([*adjectives, singular])
    if KINDS[part.kind].countable and rng.random() < 0.25:
        return " ".join([choose(vocabulary.counts[1], rng), *adjectives, rest])
    return with_article(singular, adjectives)


def with_article(singular: str, adjectives: Sequence[str]) -> str:
    """Inserts adjectives into "a knock on a door", or puts them before a noun without article, such as "rain"."""
    first, _, rest = singular.partition(" ")
    if first not in {"a", "an"}:
        return " ".join([*adjectives, singular])
    phrase = " ".join([*adjectives, rest])
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def sentence(
    relation: str,
    phrases: Sequence[str],
    vocabulary: Vocabulary,
    rng: np.random.Generator,
    *,
    background: bool,
) -> str:
    """
    Noun phrases joined to a sentence.

    Args:
        relation: a key of the vocabulary's templates.
        phrases: phrases of the parts, in the scene's order.
        vocabulary: vocabulary with the templates.
        rng: draws the template.
        background: with "while", whether the second part may be called the first one's background.
    """
    templates = vocabulary.templates[relation]
    words = dict(zip("ab", phrases, strict=False))
    if relation == "while":
        words |= {"front": phrases[0], "back": phrases[1]}
        if rng.random() < 0.5:
            words |= {"a": phrases[1], "b": phrases[0]}
        if background:
            templates += vocabulary.templates["during"]
    text = choose(templates, rng).format(**words)
    return f"{text[0].upper()}{text[1:]}."


def choose(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of several texts, drawn uniformly."""
    return options[int(rng.integers(len(options)))]


def is_background(relation: str, kinds: Sequence[str]) -> bool:
    """Whether the second kind is the background of the first; False for two lasting sounds."""
    return relation == "while" and not KINDS[kinds[0]].lasting


def _sentence(
    description: SceneDescription, vocabulary: Vocabulary, rng: np.random.Generator, *, complete: bool
) -> str:
    phrases = [noun_phrase(part, vocabulary, rng, complete=complete) for part in description.parts]
    background = is_background(description.relation, [part.kind for part in description.parts])
    return sentence(description.relation, phrases, vocabulary, rng, background=background)
