"""Paths of models that a run was made from: they may move, since their contents are compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...files.saved_directories import read_json
from ..recipe.schema import RANDOM_WEIGHTS

# File in a stage's directory that lists its inputs, see `stage_inputs`.
INPUTS = "made_from.json"
START = "the model it starts from"
TEACHERS = "distillation.teachers"
# By field of a recipe the role that a stage records its content under.
MODEL_PLACES = {
    "starts_from": START,
    "model.audio.pretrained": "the audio encoder it starts from",
    "model.text.pretrained": "the text encoder it starts from",
    "model.text.tokenizer": "the tokenizer",
    "clusters.embed_with": "the model that clusters are made with",
    "clusters.labels": "the clusters",
}
WHY_THEY_MAY_MOVE = "the model's files are compared with those that the stage began with"


def model_has_moved(field: str, before: Any, now: Any, stage_dirs: Sequence[Path]) -> bool:
    """
    Whether a changed field is only the new path of a model, whose content is compared when its stage runs.

    Args:
        field: field of the recipe, without its stage.
        before: its value when the run began.
        now: its value now.
        stage_dirs: directories of the stages that have the field.

    Returns:
        False if more than the path changed, or a stage that has started did not record the content.
    """
    if field == TEACHERS:
        roles = _moved_teachers(before, now)
    elif field in MODEL_PLACES and _is_place(before) and _is_place(now):
        roles = [MODEL_PLACES[field]]
    else:
        return False
    return bool(roles) and all(_is_recorded(directory, field, roles) for directory in stage_dirs)


def _is_place(value: Any) -> bool:
    # "pretrained" and "none" are not places: a change from or to them is another recipe.
    return isinstance(value, str) and value not in ("", "pretrained", RANDOM_WEIGHTS)


def _moved_teachers(before: Any, now: Any) -> list[str]:
    """Roles of the teachers if only their paths differ; empty if anything else differs."""
    if not (isinstance(before, list) and isinstance(now, list) and len(before) == len(now)):
        return []
    moved = []
    for number, (old, new) in enumerate(zip(before, now, strict=True), start=1):
        if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
            return []
        if {**old, "source": None} != {**new, "source": None}:
            return []
        if old.get("source") != new.get("source"):
            moved.append(f"teacher {number}")
    return moved


def _is_recorded(stage_dir: Path, field: str, roles: Sequence[str]) -> bool:
    recorded = read_json(stage_dir / INPUTS)
    if recorded is None:
        # It has not begun, so that nothing contradicts another content; or it began before contents were recorded.
        return not any(stage_dir.glob("checkpoint-*")) and not (stage_dir / "model").exists()
    if field.startswith("model.") and START in recorded:
        return True  # the stage starts from a whole model, so the field has no effect
    return all((recorded.get(role) or {}).get("fingerprint") is not None for role in roles)


__all__ = ["INPUTS", "MODEL_PLACES", "TEACHERS", "WHY_THEY_MAY_MOVE", "model_has_moved"]
