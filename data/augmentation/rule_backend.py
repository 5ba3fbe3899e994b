"""Paraphrases and merged captions by rules, offline: for tests, and for use without a language model."""

import re
from collections.abc import Mapping

import numpy as np

from .requests import TextRequest

_JOINTS = (
    "{a}, while {b}",
    "{a} as {b}",
    "{a}, and at the same time {b}",
    "{b} while {a}",
    "{a}, with {b} at once",
    "{a} and {b} together",
)
_FRAMES = (
    "{} can be heard",
    "there is the sound of {}",
    "one hears {}",
    "{} is heard",
    "the recording has {}",
)
_SWAPS: Mapping[str, str] = {
    "loud": "noisy",
    "loudly": "noisily",
    "quiet": "soft",
    "quietly": "softly",
    "talking": "speaking",
    "talks": "speaks",
    "speaking": "talking",
    "speaks": "talks",
    "big": "large",
    "large": "big",
    "fast": "quick",
    "quickly": "rapidly",
    "starts": "begins",
    "begins": "starts",
    "then": "and after that",
    "several": "a few",
    "repeatedly": "again and again",
    "nearby": "close by",
    "background": "distance",
    "person": "someone",
    "car": "automobile",
}
_PARTS = re.compile(r"\s*(?:,?\s+(?:while|as|and then|then|followed by)\s+)", re.I)


class RuleBackend:
    """
    Answers by rules; the same request always gets the same answer.

    A translation to another language returns the sentence unchanged, so that both directions give one paraphrase:
        some words exchanged,
    the parts of the sentence in another order, and a frame around it. Results are marked as rule-based; they are
    not equivalent to the report's language model.
    """

    is_rule_based = True
    concurrency = 1

    def __init__(self) -> None:
        self.settings = {"backend": "rules", "version": 1}

    async def answer(self, request: TextRequest) -> str:
        """One answer; see `TextBackend`."""
        generator = np.random.default_rng(int(request.key[:16], 16))
        if request.task == "mix":
            first, second = (_lower(text) for text in request.texts)
            joint = _JOINTS[int(generator.integers(len(_JOINTS)))]
            return _sentence(joint.format(a=first, b=second))
        # The way there: the sentence itself stands for the translation.
        if request.languages[0][1] == "en":
            return request.texts[0]
        return _sentence(_paraphrase(request.texts[0], generator))


def _paraphrase(text: str, generator: np.random.Generator) -> str:
    words = _lower(text).split()
    for place in generator.permutation(len(words)):
        bare = words[place].strip(",;")
        if bare in _SWAPS and generator.random() < 0.7:
            words[place] = words[place].replace(bare, _SWAPS[bare])
    sentence = " ".join(words)
    parts = _PARTS.split(sentence)
    if len(parts) == 2 and "then" not in sentence and "followed" not in sentence and generator.random() < 0.6:
        # Simultaneous sounds may be named in any order.
        sentence = f"{parts[1]} while {parts[0]}"
    frame = _FRAMES[int(generator.integers(len(_FRAMES)))]
    return frame.format(sentence)


def _lower(text: str) -> str:
    text = text.strip().rstrip(".!? ")
    return text[:1].lower() + text[1:] if not text[:2].isupper() else text


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


__all__ = ["RuleBackend"]
