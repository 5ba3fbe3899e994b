"""Captions that exclude a sound, and a loss that separates the clips that fit them from those that do not."""

from collections.abc import Sequence

import numpy as np
import torch

from auricle.data.scenes.vocabulary import TRAINING, Vocabulary
from auricle.evaluation.user_queries import UserQuery
from auricle.evaluation.user_queries.query_kinds import without_article

# None of their words occurs in the "without" queries of the evaluation.
NEGATED_TEMPLATES = (
    "{a}, free of {tag_b}",
    "{a} in the absence of {b}",
    "{a} with {b} missing",
    "{a} lacking {b}",
    "{a} excluding {b}",
    "{a}, never {b}",
)


def dissimilarity_loss(
    fitting: torch.Tensor,
    trapped: torch.Tensor,
    temperature: float | torch.Tensor = 1.0,
    *,
    margin: float = 0.0,
) -> torch.Tensor:
    """
    Logistic loss of differences of similarities: a caption "X without Y" should be nearer to a clip with X alone.

    For a caption with similarity ``f`` to a clip that has X and no Y, and ``t`` to a clip that has both, the loss is
    ``log(1 + exp((t - f + margin) / temperature))``. It is ln 2 where the two are equal and ``margin`` is 0. A term
    of this kind beside the contrastive loss is the idea of Vasilakis et al. (arXiv 2601.13931), who separate a caption
    from its negated form; here two clips are separated for one caption, which is what ranking needs. Computed in
    float32 for half-precision input.

    Args:
        fitting: cosine similarities in -1 to 1 of captions and clips that fit them, ``(captions,)``.
        trapped: cosine similarities of the same captions and clips that contain the excluded sound, ``(captions,)``.
        temperature: above 0; a lower one gives a steeper loss.
        margin: by how much ``fitting`` should be larger, 0 to 2.

    Returns:
        Mean over the captions, a scalar above 0.

    Raises:
        ValueError: shapes differ, are empty or have more than one dimension, or temperature or margin is out of range.
    """
    if fitting.shape != trapped.shape or fitting.dim() != 1 or not len(fitting):
        raise ValueError(
            f"fitting has shape {tuple(fitting.shape)} and trapped {tuple(trapped.shape)}; both must be (captions,) "
            "with at least one caption."
        )
    if not float(temperature) > 0:
        raise ValueError(f"temperature={float(temperature)} must be above 0.")
    if not 0 <= margin <= 2:
        raise ValueError(f"margin={margin} must be 0 to 2.")
    if fitting.dtype in (torch.float16, torch.bfloat16):
        fitting, trapped = fitting.float(), trapped.float()
    return torch.nn.functional.softplus((trapped - fitting + margin) / temperature).mean()


def negated_captions(
    kinds: Sequence[Sequence[str]],
    count: int,
    *,
    seed: int = 0,
    vocabulary: Vocabulary = TRAINING,
    templates: Sequence[str] = NEGATED_TEMPLATES,
) -> list[UserQuery]:
    """
    Different captions "X without Y" of clips whose sounds are known.

    X is a sound of a clip drawn at random; Y is a sound that accompanies X in other clips, so each caption has traps.

    Args:
        kinds: the kinds of sound in each clip, at least one a clip.
        count: number of captions, at least 1; fewer are returned where the clips do not give more.
        seed: of the draw; the same arguments give the same captions.
        vocabulary: names of the kinds.
        templates: sentences with ``{a}`` or ``{tag_a}`` for X and ``{b}`` or ``{tag_b}`` for Y, "tag" without article.

    Returns:
        Captions of the kind "without": ``relevant`` are the clips with X and no Y, ``traps`` those with both.
    """
    rng = np.random.default_rng(seed)
    sounds = [set(one) for one in kinds]
    clips_of = {
        kind: [place for place, own in enumerate(sounds) if kind in own]
        for kind in sorted(set().union(*sounds))
    }
    found: dict[str, UserQuery] = {}
    for _ in range(40 * count):
        own = sounds[int(rng.integers(len(sounds)))]
        wanted = sorted(own)[int(rng.integers(len(own)))]
        company = sorted(set().union(*(sounds[place] for place in clips_of[wanted])) - own)
        if not company:
            continue
        excluded = company[int(rng.integers(len(company)))]
        first, second = (_name(vocabulary, kind, rng) for kind in (wanted, excluded))
        text = templates[int(rng.integers(len(templates)))].format(
            a=first, b=second, tag_a=without_article(first), tag_b=without_article(second)
        )
        relevant = tuple(place for place in clips_of[wanted] if excluded not in sounds[place])
        traps = tuple(place for place in clips_of[wanted] if excluded in sounds[place])
        found.setdefault(text, UserQuery(text, "without", relevant, traps))
        if len(found) == count:
            break
    return list(found.values())


def _name(vocabulary: Vocabulary, kind: str, rng: np.random.Generator) -> str:
    names = vocabulary.names[kind]
    return names[int(rng.integers(len(names)))].partition(" | ")[0]
