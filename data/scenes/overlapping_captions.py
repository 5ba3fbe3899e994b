"""Sentences that omit things, as people do, and are therefore true of several scenes."""

import numpy as np

from .captions import choose, is_background, sentence, with_article
from .claims import Claims, PartClaim
from .descriptions import Part, SceneDescription
from .kinds import KINDS
from .vocabulary import Vocabulary

_ATTEMPTS = 60
# How often a caption names just one of two events, says how the two relate to each other, and says the pitch, the
# loudness and the exact number of an event.
_ONE_OF_TWO, _RELATION, _PITCH, _LOUDNESS, _NUMBER = 0.4, 0.5, 0.35, 0.35, 0.4


def write_overlapping_captions(
    description: SceneDescription, vocabulary: Vocabulary, rng: np.random.Generator, count: int
) -> list[tuple[str, Claims]]:
    """`count` different sentences that are true of the scene, each with its statements.

    The first one is complete; the others omit one of two events, the order, numbers, pitch or loudness.
    """
    found: dict[str, Claims] = {}
    for _ in range(_ATTEMPTS):
        claims = draw_claims(description, rng, complete=not found)
        found.setdefault(put_into_words(claims, vocabulary, rng), claims)
        if len(found) == count:
            return list(found.items())
    raise RuntimeError(f"the vocabulary has fewer than {count} different sentences for {description.key!r}")


def draw_claims(description: SceneDescription, rng: np.random.Generator, *, complete: bool) -> Claims:
    """Statements of a caption about a scene; all of them if the caption has to be complete."""
    parts = list(description.parts)
    if not complete and len(parts) == 2 and rng.random() < _ONE_OF_TWO:
        parts = [parts[int(rng.integers(2))]]
    said = tuple(_claim(part, rng, complete) for part in parts)
    says_relation = len(parts) == 2 and (complete or rng.random() < _RELATION)
    return Claims(description.relation if says_relation else None, said)


def put_into_words(claims: Claims, vocabulary: Vocabulary, rng: np.random.Generator) -> str:
    """A sentence that makes exactly these statements."""
    phrases = [_phrase(part, vocabulary, rng) for part in claims.parts]
    relation = claims.relation or ("alone" if len(phrases) == 1 else "both")
    if relation == "both" and rng.random() < 0.5:
        phrases.reverse()
    background = is_background(relation, [part.kind for part in claims.parts])
    return sentence(relation, phrases, vocabulary, rng, background=background)


def _claim(part: Part, rng: np.random.Generator, complete: bool) -> PartClaim:
    at_least, at_most = 1, None
    if KINDS[part.kind].countable:
        # One is always said, by the singular.
        if complete or part.count == 1 or rng.random() < _NUMBER:
            at_least = at_most = part.count
        else:
            at_least = 3 if part.count >= 3 and rng.random() < 0.5 else 2
    return PartClaim(
        part.kind,
        at_least,
        at_most,
        pitch=part.pitch if complete or rng.random() < _PITCH else None,
        loudness=part.loudness if complete or rng.random() < _LOUDNESS else None,
    )


def _phrase(claim: PartClaim, vocabulary: Vocabulary, rng: np.random.Generator) -> str:
    adjectives = [choose(vocabulary.loudness[claim.loudness], rng)] if claim.loudness else []
    if claim.pitch:
        adjectives.append(choose(vocabulary.pitch[claim.pitch], rng))
    singular, _, plural = choose(vocabulary.names[claim.kind], rng).partition(" | ")
    if not KINDS[claim.kind].countable:
        return with_article(singular, adjectives)
    if claim.at_most is not None:
        if claim.at_least == 1:
            return with_article(singular, adjectives)
        return " ".join([choose(vocabulary.counts[claim.at_least], rng), *adjectives, plural])
    number = [choose(vocabulary.several, rng)] if claim.at_least >= 3 else []
    return " ".join([*number, *adjectives, plural])
