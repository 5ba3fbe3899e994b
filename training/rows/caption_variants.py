"""Chooses the wording of a caption for a training row: its own or a back-translation, then an edit of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from ...data import DataError
from ...data.augmentation import read_back_translations
from ...data.columns import arrow_column, values_of
from ..recipe.schema import AugmentationSection
from .caption_edits import CaptionEditor, delete_word
from .synonyms import SynonymReplacement, WordNet


@dataclass(frozen=True)
class CaptionVariants:
    """
    Rewords captions, as a function of row, caption and generator.

    Attributes:
        alternatives: other wordings of the caption of each row of the table, possibly empty; None if there are
            none for all rows.
        probability: probability of taking one of them.
        editor: edits the chosen wording; None leaves it unchanged.
    """

    alternatives: Sequence[Sequence[str]] | None = None
    probability: float = 0.0
    editor: CaptionEditor | None = None

    def choose(self, row: int, caption: str, generator: np.random.Generator) -> str:
        """The wording of a row's caption for this generator."""
        if self.alternatives is not None and self.alternatives[row]:
            texts = self.alternatives[row]
            if generator.random() < self.probability:
                caption = texts[int(generator.integers(len(texts)))]
        return caption if self.editor is None else self.editor.edit(caption, generator)


def caption_variants(section: AugmentationSection, table: Dataset) -> CaptionVariants | None:
    """
    Builds the rewording of a training table's captions from a stage's settings; None if they change nothing.

    Raises:
        DataError: if the back-translations belong to other captions or to none of these rows.
        SynonymError: if synonyms are wanted and WordNet is missing.
    """
    if not section.edits_captions:
        return None
    editor = alternatives = None
    if section.word_deletion:
        edits = (delete_word, SynonymReplacement(WordNet())) if section.synonyms else (delete_word,)
        editor = CaptionEditor(section.word_deletion, edits)
    if section.back_translated and section.back_translation_probability:
        alternatives = _aligned(section.back_translated, table)
    return CaptionVariants(alternatives, section.back_translation_probability, editor)


def _aligned(directory: str, table: Dataset) -> list[list[str]]:
    known = read_back_translations(directory)
    texts: list[list[str]] = []
    found = 0
    columns = (values_of(arrow_column(table, name)) for name in ("row_id", "caption"))
    for row_id, caption in zip(*columns, strict=True):
        before, alternatives = known.get(row_id, (caption, []))
        if before != caption:
            raise DataError(
                f"{directory}: row {row_id!r} was translated from another caption than {caption!r}; translate "
                "these."
            )
        found += row_id in known
        texts.append(alternatives)
    if not found:
        raise DataError(f"{directory}: contains none of the {len(table)} training rows.")
    return texts


__all__ = ["CaptionVariants", "caption_variants"]
