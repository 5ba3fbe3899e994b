"""A run's directory: its recipe, and its finished stages."""

import copy
import hashlib
import importlib.metadata
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...files.locking import DirectoryLockedError, directory_lock
from ...files.saved_directories import read_json, write_json
from ...processing.caption_form import caption_normalization_of
from ..recipe.reading import RecipeError, resolve_stages
from ..recipe.schema import Recipe
from .model_places import model_has_moved
from .precision import effective_precision, with_effective_precision

RECORDED_PACKAGES = ("auricle", "torch", "transformers", "datasets", "accelerate")
# The run's directory and the use of the finished model do not change what it learns.
NOT_PART_OF_THE_RUN = ("output_dir", "description")
LOCK = "run.lock"
# Data workers keep the lock until they notice that their trainer was killed; this is longer.
LOCK_SECONDS = 8.0
# Places of data: a run may follow them when they move, since ids, captions and contents are compared anyway.
PLACES = {
    f"data.{name}": "rows and contents of the files are compared with those that the stage began with"
    for name in ("folder.path", "clotho.path", "audiocaps.path", "wavcaps.path", "exclude.freesound_ids")
} | {
    "augmentation.back_translated": "the file's content is compared with that which the stage began with",
    "augmentation.mixes": "rows and contents of the files are compared with those that the stage began with",
}
# Fields that may change between two calls of one run, each with the reason why it does not change what is learned.
MAY_CHANGE = PLACES | {
    "evaluation.questions": "queries to the finished model",
    "evaluation.batch_size": "limits the memory; an embedding is the same in any batch",
    "evaluation.num_workers": "what is decoded does not depend on the thread",
    "evaluation.compare_untrained": "a separate metric, computed before training",
    "model.audio.published_weights": "says what must be given, not what was",
    "training.num_workers": "what a row becomes depends on seed, epoch and row, not on the worker",
    "training.cpu_threads": "speed; sums in another order differ in the last bits",
    "training.log_every": "reporting",
    "training.report_to": "reporting",
    "training.save_every": "when checkpoints are written; the best model is chosen at the ends of epochs",
    "training.keep_checkpoints": "how many checkpoints stay on disk",
    "training.max_skipped_steps": "when a diverging training stops",
    "data.cache_dir": "where what can be made again is kept",
    "data.check_audio": "rows that are trained on are compared",
    "data.max_bad_share": "when a check stops; rows that are trained on are compared",
    **{
        f"data.{name}.missing": "rows that are trained on are compared"
        for name in ("folder", "clotho", "audiocaps", "wavcaps")
    },
}


class RunDirectory:
    """
    One recipe's run on disk.

    Args:
        recipe: the recipe of this run.

    Raises:
        RecipeError: if the directory contains another recipe's run; nothing in it is changed.
    """

    def __init__(self, recipe: Recipe):
        recipe = with_effective_precision(as_it_began(recipe))
        self.path = Path(recipe.run_dir)
        self.recipe = recipe.model_dump(mode="json", exclude=set(NOT_PART_OF_THE_RUN))
        self.stage_names = recipe.stage_names()
        self.precisions = {
            stage.name: effective_precision(stage.training.precision) for stage in resolve_stages(recipe)
        }
        self._has_moved = False
        if self.path.exists() and not self.path.is_dir():
            raise RecipeError(f"{self.path}: is a file; choose another --output_dir.")
        try:
            self.record = read_json(self.path / "run.json") or {}
        except (ValueError, OSError) as error:
            raise RecipeError(f"{error} Choose another --output_dir.") from error
        if self.record:
            self._refuse_other()
        elif self.path.exists() and any(map(_is_foreign, self.path.iterdir())):
            raise RecipeError(
                f"{self.path}: contains files but no run.json, so it is not a run directory; choose another "
                "--output_dir or empty it."
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all fields of the recipe that affect the result."""
        return hashlib.sha256(json.dumps(self.recipe, sort_keys=True).encode()).hexdigest()

    def _refuse_other(self) -> None:
        begun = _with_defaults(_in_todays_words(self.record.get("recipe")))
        found = _differences(begun, self.recipe)
        if "precision" not in self.record:
            # Such a run recorded the recipe's precision, and trained in accelerate's.
            found = [entry for entry in found if entry[1] != "training.precision"]
        moved = [entry for entry in found if self._is_moved_model(entry)]
        _refuse_other(self.path, [entry for entry in found if entry not in moved and not _may_change(entry)])
        self._has_moved = bool(moved) or any(entry[1] in PLACES for entry in found)

    def _is_moved_model(self, entry: tuple[str, str, Any, Any]) -> bool:
        name, field, before, now = entry
        of_one = [stage for stage in self.stage_names if name == f"stages.{stage}.{field}"]
        return model_has_moved(
            field, before, now, [self.stage_dir(one) for one in of_one or self.stage_names]
        )

    @contextmanager
    def locked(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """
        Locks the directory against a second training; the lock ends with the process.

        Args:
            seconds: how long to wait for another process.

        Raises:
            RecipeError: if another process trains in it, or it cannot be written.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(directory_lock(self.path, LOCK, seconds=seconds))
            except DirectoryLockedError as error:
                raise RecipeError(
                    f"{self.path}: another training is running in this directory; wait for it, or choose another "
                    "--output_dir."
                ) from error
            except OSError as error:
                raise self._unwritable(error) from error
            yield

    def _unwritable(self, error: OSError) -> RecipeError:
        return RecipeError(f"{self.path}: cannot be written ({error.strerror}); choose another --output_dir.")

    def start(self) -> None:
        """
        Writes the run's record at its first start, and the new paths of data that have moved.

        Raises:
            RecipeError: if the directory cannot be written.
        """
        if self.record and self._has_moved:
            self.record = {**self.record, "recipe": self.recipe}
            self.save("run", self.record)
        if not self.record:
            self.record = {
                "recipe": self.recipe,
                "fingerprint": self.fingerprint,
                "packages": {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES},
                "precision": self.precisions,
            }
            try:
                self.save("run", self.record)
            except OSError as error:
                raise self._unwritable(error) from error

    def stage_dir(self, stage: str) -> Path:
        """Directory of a stage's checkpoints and model."""
        return self.path / stage

    def model_dir(self, stage: str) -> Path:
        """Directory of a stage's final model."""
        return self.stage_dir(stage) / "model"

    def is_finished(self, stage: str) -> bool:
        """Whether a stage is finished."""
        return (self.stage_dir(stage) / "stage.json").is_file()

    def finish(self, stage: str, summary: dict[str, Any]) -> None:
        """Marks a stage as finished."""
        write_json(self.stage_dir(stage) / "stage.json", summary)

    def save(self, name: str, value: Any) -> None:
        """Writes ``<name>.json`` into the run directory."""
        write_json(self.path / f"{name}.json", value)

    def load(self, name: str) -> Any:
        """Reads ``<name>.json`` from the run directory, or None."""
        return read_json(self.path / f"{name}.json")


def as_it_began(recipe: Recipe) -> Recipe:
    """
    The recipe, with the form of captions that its run began with before forms had names.

    Then there was one form, not today's default; where the recipe does not ask for another, the run keeps it.
    """
    try:
        begun = (read_json(Path(recipe.run_dir) / "run.json") or {}).get("recipe")
    except (ValueError, OSError):
        return recipe  # what is wrong there is said when the directory is opened
    older = _captions(begun).get("normalize_captions")
    if older is None or "caption_normalization" in recipe.model.text.model_fields_set:
        return recipe
    recipe = recipe.model_copy(deep=True)
    recipe.model.text.caption_normalization = caption_normalization_of(older)
    return recipe


def _in_todays_words(recipe: Any) -> Any:
    """A record of a recipe from before forms of captions had names."""
    older = _captions(recipe).get("normalize_captions")
    if older is None:
        return recipe
    recipe = copy.deepcopy(recipe)
    text = recipe["model"]["text"]
    del text["normalize_captions"]
    text["caption_normalization"] = caption_normalization_of(older)
    return recipe


def _with_defaults(recipe: Any) -> Any:
    """A record of a recipe; fields that were added later get their defaults, since the run began with those."""
    try:
        return Recipe.model_validate(recipe).model_dump(mode="json", exclude=set(NOT_PART_OF_THE_RUN))
    except ValidationError:
        return recipe  # a field of it is missing, which the comparison names


def _captions(recipe: Any) -> dict[str, Any]:
    """The section on captions of a recorded recipe; empty if the record is not as it should be."""
    for name in ("model", "text"):
        recipe = recipe.get(name) if isinstance(recipe, dict) else None
    return recipe if isinstance(recipe, dict) else {}


def _is_foreign(path: Path) -> bool:
    """A first start that was killed may have left an unfinished run.json, and its lock."""
    return not path.name.startswith(".run.json.") and path.name != LOCK


def _refuse_other(path: Path, found: list[tuple[str, str, Any, Any]]) -> None:
    if found:
        told = "; ".join(f"{name} is {old!r} there and {new!r} here" for name, _, old, new in found[:5])
        raise RecipeError(
            f"{path}: contains a run with another recipe ({told}). Choose another --output_dir, or "
            f"delete the directory. To train longer, start a new run from its model: --stages.NAME.starts_from MODEL."
        )


def _may_change(entry: tuple[str, str, Any, Any]) -> bool:
    _, field, old, new = entry
    # A place that was not given before, or is not given now, is another source of data and no move.
    return field in MAY_CHANGE and (field not in PLACES or (old is not None and new is not None))


def _differences(old: Any, new: Any, name: str = "", field: str = "") -> list[tuple[str, str, Any, Any]]:
    """(full name, name without the stage, value there, value here) of fields that differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted(old.keys() | new.keys()):
            inner = (f"{place}.{key}" if place else key for place in (name, field))
            found += _differences(old.get(key), new.get(key), *inner)
        return found
    if name == "stages" and _names(old) == _names(new) is not None:
        found = []
        for before, now in zip(old, new, strict=True):
            found += _differences(before, now, f"stages.{before['name']}", "")
        return found
    return [] if old == new else [(name, field, old, new)]


def _names(stages: Any) -> list[str] | None:
    if not isinstance(stages, list) or not all(
        isinstance(stage, dict) and "name" in stage for stage in stages
    ):
        return None
    return [stage["name"] for stage in stages]
