"""A run's directory: whose it is, and which stages are finished."""

import copy
import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...files.saved_directories import read_json, write_json
from ...processing.caption_form import caption_normalization_of
from ..recipe.reading import RecipeError
from ..recipe.schema import Recipe

RECORDED_PACKAGES = ("auricle", "torch", "transformers", "datasets", "accelerate")
# Where a run lies and what is done with the finished model do not change what it learns.
NOT_PART_OF_THE_RUN = ("output_dir", "description")
# What is asked of the finished model, how a run reports and how fast it goes may change between calls.
MAY_CHANGE = frozenset(
    {
        "evaluation.questions",
        # It says what must be given, not what was.
        "model.audio.published_weights",
        "training.num_workers",
        "training.log_every",
        "training.keep_checkpoints",
        "training.report_to",
        "data.cache_dir",
    }
)


class RunDirectory:
    """
    One recipe's run on disk.

    Args:
        recipe: the recipe that is about to run.

    Raises:
        RecipeError: if the directory holds another recipe's run; nothing in it is touched.
    """

    def __init__(self, recipe: Recipe):
        recipe = as_it_began(recipe)
        self.path = Path(recipe.run_dir)
        self.recipe = recipe.model_dump(mode="json", exclude=set(NOT_PART_OF_THE_RUN))
        if self.path.exists() and not self.path.is_dir():
            raise RecipeError(f"{self.path}: is a file; choose another --output_dir.")
        try:
            self.record = read_json(self.path / "run.json") or {}
        except (ValueError, OSError) as error:
            raise RecipeError(f"{error} Choose another --output_dir.") from error
        if self.record:
            _refuse_other(self.path, _with_defaults(_in_todays_words(self.record.get("recipe"))), self.recipe)
        elif self.path.exists() and any(map(_is_foreign, self.path.iterdir())):
            raise RecipeError(
                f"{self.path}: holds files but no run.json, so it is no run of this program; choose another "
                "--output_dir or empty it."
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything in the recipe that decides what is learned."""
        return hashlib.sha256(json.dumps(self.recipe, sort_keys=True).encode()).hexdigest()

    def start(self) -> None:
        """
        Writes the run's record if this is its first start.

        Raises:
            RecipeError: if the directory cannot be written.
        """
        if not self.record:
            self.record = {
                "recipe": self.recipe,
                "fingerprint": self.fingerprint,
                "packages": {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES},
            }
            try:
                self.save("run", self.record)
            except OSError as error:
                raise RecipeError(
                    f"{self.path}: cannot be written ({error.strerror}); choose another --output_dir."
                ) from error

    def stage_dir(self, stage: str) -> Path:
        """Where a stage keeps its checkpoints and its model."""
        return self.path / stage

    def model_dir(self, stage: str) -> Path:
        """Where a stage's resulting model lies."""
        return self.stage_dir(stage) / "model"

    def is_finished(self, stage: str) -> bool:
        """Whether a stage has run to its end."""
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
    """A record of a recipe in which fields that came later stand with their defaults: the run began with those."""
    try:
        return Recipe.model_validate(recipe).model_dump(mode="json", exclude=set(NOT_PART_OF_THE_RUN))
    except ValidationError:
        return recipe  # a field of it is gone, which the comparison names


def _captions(recipe: Any) -> dict[str, Any]:
    """The section on captions of a recorded recipe; empty if the record is not as it should be."""
    for name in ("model", "text"):
        recipe = recipe.get(name) if isinstance(recipe, dict) else None
    return recipe if isinstance(recipe, dict) else {}


def _is_foreign(path: Path) -> bool:
    """A first start that was killed may have left an unfinished run.json."""
    return not path.name.startswith(".run.json.")


def _refuse_other(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    differences = [
        f"{name} is {old!r} there and {new!r} here"
        for name, old, new in _differences(theirs, ours)
        if name not in MAY_CHANGE
    ]
    if differences:
        raise RecipeError(
            f"{path}: holds a run of another recipe ({'; '.join(differences[:5])}). Choose another "
            "--output_dir, or delete the directory."
        )


def _differences(old: Any, new: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted(old.keys() | new.keys()):
            found += _differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else key)
        return found
    return [] if old == new else [(prefix, old, new)]
