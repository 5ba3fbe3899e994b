"""Events of training clips, with their times, for the frame-phrase loss."""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from datasets import Dataset

from ...data.schema import unique_clips
from ..recipe.reading import RecipeError, Stage


class ClipEvent(NamedTuple):
    """
    One event of a clip.

    Attributes:
        start, end: seconds within the clip.
        phrase: what is heard.
        label: phrases of one label mean the same sound.
    """

    start: float
    end: float
    phrase: str
    label: str


def read_clip_events(table: Dataset, column: str, max_clip_seconds: float) -> list[tuple[ClipEvent, ...]]:
    """
    The events of every clip, in the order of ``unique_clips(table)``.

    Args:
        table: the training table.
        column: its column with JSON, ``[[start, end, phrase, label], ...]``; an empty list is a clip without events.
        max_clip_seconds: longer clips are cropped, so no event may end later.

    Raises:
        RecipeError: if there is no such column, or a clip's events cannot be used.
    """
    if column not in table.column_names:
        raise RecipeError(
            f"data.events_column={column!r} is not a column of the data, and training.frame_phrase_weight needs one; "
            f"there are {table.column_names}."
        )
    clips = unique_clips(table)
    return [
        tuple(_event(entry, clip, max_clip_seconds) for entry in _entries(text, clip))
        for clip, text in zip(clips["clip_id"], clips[column], strict=True)
    ]


def _entries(text: Any, clip: str) -> Sequence[Any]:
    try:
        entries = json.loads(text) if isinstance(text, str) else text
    except ValueError as error:
        raise RecipeError(f"clip {clip!r}: its events are not valid JSON ({error}).") from error
    if not isinstance(entries, list):
        raise RecipeError(f"clip {clip!r}: its events must be a list, not {entries!r}.")
    return entries


def _event(entry: Any, clip: str, max_clip_seconds: float) -> ClipEvent:
    told = f"clip {clip!r}: event {entry!r}"
    if not isinstance(entry, list) or len(entry) not in (3, 4):
        raise RecipeError(f"{told} must be [start, end, phrase, label].")
    start, end, phrase = entry[:3]
    label = entry[3] if len(entry) == 4 else phrase
    numbers = [isinstance(one, int | float) and not isinstance(one, bool) for one in (start, end)]
    if not all(numbers) or not (math.isfinite(start) and math.isfinite(end)) or not 0 <= start < end:
        raise RecipeError(f"{told}: its times must be 0 <= start < end, in seconds.")
    if not isinstance(phrase, str) or not phrase.strip() or not isinstance(label, str):
        raise RecipeError(f"{told}: its phrase and label must be text.")
    if end > max_clip_seconds:
        raise RecipeError(
            f"{told} ends after data.max_clip_seconds={max_clip_seconds:g}, at which clips are cropped."
        )
    return ClipEvent(float(start), float(end), phrase, label)


def check_keeps_times(stage: Stage) -> None:
    """
    Raises:
        RecipeError: if the stage's settings move sounds in time, or hide frames, so that events mean nothing.
    """
    if not stage.training.frame_phrase_weight:
        return
    where = f"stage {stage.name!r}: training.frame_phrase_weight={stage.training.frame_phrase_weight:g}"
    for name, value in (("time_roll", stage.data.time_roll), ("crop_seconds", stage.data.crop_seconds)):
        if value:
            raise RecipeError(f"{where} needs clips with unchanged times; switch data.{name} off.")
    if stage.augmentation.mixes is not None:
        raise RecipeError(f"{where} needs the events of all clips; augmentation.mixes has none.")
    if stage.training.micro_batch_size is not None:
        raise RecipeError(f"{where} does not go with training.micro_batch_size.")
    if stage.training.lora.towers:
        raise RecipeError(f"{where} does not go with training.lora.")


__all__ = ["ClipEvent", "check_keeps_times", "read_clip_events"]
