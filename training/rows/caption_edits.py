"""Random edits of captions at load time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

# From a caption's words and a generator to the edited words, or None where the caption does not allow the edit.
Edit = Callable[[Sequence[str], np.random.Generator], list[str] | None]


def delete_word(words: Sequence[str], generator: np.random.Generator) -> list[str] | None:
    """
    Deletes one word, chosen uniformly; None if the caption has fewer than two words.

    Runs of punctuation are no words: deleting one would change nothing, and at least one word has to remain.
    """
    places = [place for place, word in enumerate(words) if any(letter.isalnum() for letter in word)]
    if len(places) < 2:
        return None
    place = places[int(generator.integers(len(places)))]
    return [*words[:place], *words[place + 1 :]]


@dataclass(frozen=True)
class CaptionEditor:
    """
    Edits captions with a probability (AISTAT report, arXiv 2509.16649: 0.8 in stages 2 and 3).

    The result depends on the caption and the generator only: a generator keyed on seed, epoch and row gives the same
    captions after a resume.

    Attributes:
        probability: share of the captions that are edited, 0 to 1.
        edits: one of these is drawn for each edited caption, with equal probability.

    Raises:
        ValueError: if the probability is out of range or there is no edit.
    """

    probability: float
    edits: tuple[Edit, ...] = (delete_word,)

    def __post_init__(self):
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability={self.probability} of caption edits must be between 0 and 1.")
        if not self.edits:
            raise ValueError("edits is empty; give at least one, such as delete_word.")

    def edit(self, caption: str, generator: np.random.Generator) -> str:
        """
        The caption, edited or unchanged; it keeps at least one word if it had one.

        Args:
            caption: words are separated by white space.
            generator: random generator, for this caption only.
        """
        if generator.random() >= self.probability:
            return caption
        change = self.edits[int(generator.integers(len(self.edits)))]
        words = change(caption.split(), generator)
        return caption if words is None else " ".join(words)


__all__ = ["CaptionEditor", "Edit", "delete_word"]
