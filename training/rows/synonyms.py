"""Replaces one word by a synonym at load time, with WordNet through NLTK, an optional extra."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

# Maps a word in lower case to its synonyms, in a fixed order; empty if it has no synonyms.
Lookup = Callable[[str], tuple[str, ...]]
# Words whose WordNet synonyms have nothing to do with their use in captions ("a" is a vitamin, "be" beryllium).
_SMALL = frozenset(
    "a an the and or of to is are was were be been being am do does did has have had with while as at by for "  # noqa: SIM905
    "from on in into over then it its their there his her some one two three four five who which that this these "
    "those up down off out before after not no very can will so than when where".split()
)


class SynonymError(ImportError):
    """WordNet cannot be read: the package or its data are missing; the message says how to get them."""


@dataclass(frozen=True)
class SynonymReplacement:
    """
    An edit that replaces one word by a synonym, each word that has some as likely as any other (AISTAT report,
    arXiv 2509.16649); it returns None if no word has any.

    Attributes:
        lookup: the synonyms of a word, such as [`WordNet`].
    """

    lookup: Lookup

    def __call__(self, words: Sequence[str], generator: np.random.Generator) -> list[str] | None:
        """See `Edit`."""
        known = []
        for place, word in enumerate(words):
            before, bare, after = _parts(word)
            synonyms = () if bare.lower() in _SMALL else self.lookup(bare.lower())
            if synonyms:
                known.append((place, before, bare, after, synonyms))
        if not known:
            return None
        place, before, bare, after, synonyms = known[int(generator.integers(len(known)))]
        chosen = synonyms[int(generator.integers(len(synonyms)))]
        chosen = chosen[:1].upper() + chosen[1:] if bare[:1].isupper() else chosen
        return [*words[:place], before + chosen + after, *words[place + 1 :]]


class WordNet:
    """
    Synonyms of a word in WordNet: the other lemmas of its most frequent sense in each part of speech.

    Inflected words get no synonyms: "barks" would be replaced by a base form, which breaks the sentence.

    Raises:
        SynonymError: if NLTK or WordNet's files are missing.
    """

    def __init__(self) -> None:
        try:
            from nltk.corpus import wordnet
        except ImportError as error:
            raise SynonymError(
                "augmentation.synonyms needs NLTK: pip install 'auricle[synonyms]' (or set it to false)."
            ) from error
        try:
            wordnet.ensure_loaded()
        except LookupError as error:
            raise SynonymError(
                "augmentation.synonyms needs WordNet's files: python -m nltk.downloader wordnet (or set it to "
                "false)."
            ) from error
        self._known: dict[str, tuple[str, ...]] = {}

    def __reduce__(self):
        # Worker processes read the files themselves.
        return type(self), ()

    def __call__(self, word: str) -> tuple[str, ...]:
        """The synonyms of a word in lower case, in WordNet's order."""
        if word not in self._known:
            self._known[word] = tuple(self._look_up(word)) if word else ()
        return self._known[word]

    def _look_up(self, word: str) -> dict[str, None]:
        from nltk.corpus import wordnet

        found: dict[str, None] = {}
        for part in ("n", "v", "a", "r"):
            senses = [names for one in wordnet.synsets(word, part) if word in (names := _names(one))]
            found |= {name: None for name in (senses[0] if senses else ()) if name != word}
        return found


def _names(sense) -> list[str]:
    return [name.replace("_", " ").lower() for name in sense.lemma_names()]


def _parts(word: str) -> tuple[str, str, str]:
    """A word without the punctuation before and after it."""
    letters = [place for place, letter in enumerate(word) if letter.isalnum()]
    if not letters:
        return word, "", ""
    return word[: letters[0]], word[letters[0] : letters[-1] + 1], word[letters[-1] + 1 :]


__all__ = ["Lookup", "SynonymError", "SynonymReplacement", "WordNet"]
