"""Inputs that a stage needs: published weights, augmentation jobs, lists of ids; checked before the first step."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...data.augmentation.back_translation import FILE as BACK_TRANSLATIONS
from ...data.augmentation.caption_mixing import METADATA as MIXES
from ..recipe.data_section import DataSection
from ..recipe.reading import RecipeError, Stage
from ..rows.synonyms import SynonymError, WordNet

# How the report made its captions and mixes (arXiv 2509.16649): by GPT-4o, 50,000 mixes.
_ANSWERED_BY = "--backend openai --model gpt-4o"
MIXES_OF_THE_REPORT = 50_000


@dataclass(frozen=True)
class MissingInput:
    """
    A missing input of a stage.

    Attributes:
        stage: the stage's name.
        field: the recipe's field that asks for it.
        message: one line that names the missing input and how to get it.
    """

    stage: str
    field: str
    message: str


def missing_inputs(stages: Iterable[Stage]) -> list[MissingInput]:
    """
    Missing inputs of these stages, in their order; empty if they can start.

    Checks published weights of the audio tower, back-translations, mixes, WordNet and lists of ids that
    training omits. The datasets themselves are checked when they are loaded.
    """
    return [
        MissingInput(stage.name, field, message)
        for stage in stages
        for field, message in (
            *_missing_weights(stage),
            *_missing_captions(stage),
            *_missing_ids(stage.data),
        )
    ]


def check_inputs(stages: Iterable[Stage]) -> None:
    """
    Stops a run before its first step if anything is missing.

    Raises:
        RecipeError: names everything that is missing, and how to get it.
    """
    missing = missing_inputs(stages)
    if missing:
        raise RecipeError(" ".join(dict.fromkeys(f"stage {one.stage!r}: {one.message}" for one in missing)))


def _missing_weights(stage: Stage) -> Iterable[tuple[str, str]]:
    section = stage.model.audio
    if stage.starts_from != "pretrained" or section.pretrained is not None or not section.published_weights:
        return
    kind = str(section.config.get("model_type", "auricle_passt")).removeprefix("auricle_")
    yield (
        "model.audio.pretrained",
        f"model.audio.pretrained is not set, but the recipe starts from the published weights "
        f"{section.published_weights}; give that file, or the directory that `auricle convert {kind} "
        f"{section.published_weights} DIRECTORY` writes, as --model.audio.pretrained (random weights: "
        "--model.audio.pretrained none).",
    )


def _missing_captions(stage: Stage) -> Iterable[tuple[str, str]]:
    section = stage.augmentation
    data_set = _data_set(stage.data)
    directory = section.back_translated
    if (
        directory
        and section.back_translation_probability
        and not (Path(directory) / BACK_TRANSLATIONS).is_file()
    ):
        yield (
            "augmentation.back_translated",
            f"augmentation.back_translated: {Path(directory) / BACK_TRANSLATIONS} is missing; make it with "
            f"`auricle augment back-translate {data_set} {shlex.quote(directory)} {_ANSWERED_BY}`.",
        )
    directory = section.mixes
    if directory and not (Path(directory) / MIXES).is_file():
        yield (
            "augmentation.mixes",
            f"augmentation.mixes: {Path(directory) / MIXES} is missing; make it with `auricle augment mix "
            f"{data_set} {shlex.quote(directory)} --count {MIXES_OF_THE_REPORT} {_ANSWERED_BY}`.",
        )
    if section.word_deletion and section.synonyms:
        try:
            WordNet()
        except SynonymError as error:
            yield "augmentation.synonyms", str(error)


def _missing_ids(section: DataSection) -> Iterable[tuple[str, str]]:
    path = section.exclude.freesound_ids
    if path and not Path(path).is_file():
        yield (
            "data.exclude.freesound_ids",
            f"data.exclude.freesound_ids: {path} is missing; get it with `auricle data fetch exclusions "
            f"{shlex.quote(str(Path(path).parent))} --accept-license`.",
        )


def _data_set(section: DataSection) -> str:
    """What to call the data in a command: the directory of the first dataset that has one."""
    paths = (getattr(getattr(section, name), "path", None) for name in section.sources)
    return shlex.quote(next((path for path in paths if path), "DATASET"))


__all__ = ["MIXES_OF_THE_REPORT", "MissingInput", "check_inputs", "missing_inputs"]
