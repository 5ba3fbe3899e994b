"""The run directory of a moment head: whose it is, what it was made from, and whether it is finished."""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...files.locking import DirectoryLockedError, directory_lock
from ...files.saved_directories import read_json, write_json
from ..recipe.reading import RecipeError
from .moment_recipe import MomentRecipe

RECORDED_PACKAGES = ("auricle", "torch", "transformers", "accelerate")
LOCK = "run.lock"
LOCK_SECONDS = 8.0
# Fields that may change between two calls of one run: they do not change what is learned.
MAY_CHANGE = {
    "output_dir",
    "description",
    "encoder",  # compared by its fingerprint
    "starts_from",  # likewise
    "data.cache_dir",
    "data.missing",  # what is trained on is compared
    "data.generated.clips",  # rows and contents are compared
    "data.train",
    "data.validation",
    "data.test",
    "evaluation.resamples",
    "training.num_workers",
    "training.cpu_threads",
    "training.keep_checkpoints",
    "training.log_every",
    "training.report_to",
}
STAGE = "head"
INPUTS = "made_from.json"


class MomentRunDirectory:
    """
    One moment recipe's run on disk: ``run.json``, and in ``head`` checkpoints, the model and ``stage.json``.

    Args:
        recipe: that is about to run.

    Raises:
        RecipeError: if the directory contains the run of another recipe; nothing in it is touched.
    """

    def __init__(self, recipe: MomentRecipe):
        self.path = Path(recipe.run_dir)
        self.stage_dir = self.path / STAGE
        self.model_dir = self.stage_dir / "model"
        self.recipe = recipe.model_dump(mode="json")
        if self.path.exists() and not self.path.is_dir():
            raise RecipeError(f"{self.path}: is a file; choose another --output_dir.")
        try:
            self.record = read_json(self.path / "run.json") or {}
        except (ValueError, OSError) as error:
            raise RecipeError(f"{error} Choose another --output_dir.") from error
        if self.record:
            self._refuse_other()
        elif self.path.exists() and any(
            path.name != LOCK and not path.name.startswith(".run.json.") for path in self.path.iterdir()
        ):
            raise RecipeError(
                f"{self.path}: not empty and not a training run (no run.json); choose another "
                "--output_dir or empty it."
            )

    @property
    def is_finished(self) -> bool:
        """Whether the head was trained to its end."""
        return (self.stage_dir / "stage.json").is_file()

    @contextmanager
    def locked(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """
        Holds the directory against a second training.

        Raises:
            RecipeError: if another process trains in it, or it cannot be written.
        """
        try:
            with directory_lock(self.path, LOCK, seconds=seconds):
                yield
        except DirectoryLockedError as error:
            raise RecipeError(
                f"{self.path}: another training is running in this directory; wait for it, or choose another "
                "--output_dir."
            ) from error

    def start(self) -> None:
        """
        Writes the run's record if this is its first start.

        Raises:
            RecipeError: if the directory cannot be written.
        """
        if self.record:
            return
        kept = _flat(self.recipe, leave_out=MAY_CHANGE)
        self.record = {
            "task": self.recipe["task"],
            "recipe": self.recipe,
            "fingerprint": hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest(),
            "packages": {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES},
        }
        try:
            self.save("run", self.record)
        except OSError as error:
            raise RecipeError(
                f"{self.path}: cannot be written ({error.strerror}); choose another --output_dir."
            ) from error

    def check_inputs(self, inputs: Mapping[str, Mapping[str, Any]]) -> None:
        """
        Records what the head is made from, or compares it with what it began with.

        Args:
            inputs: by role ``source`` and ``fingerprint``.

        Raises:
            RecipeError: naming what has another content now.
        """
        path = self.stage_dir / INPUTS
        begun = read_json(path)
        if begun is None:
            write_json(path, dict(inputs))
            return
        changed = [
            f"{role} ({entry['source']})"
            for role, entry in inputs.items()
            if begun.get(role, {}).get("fingerprint") != entry["fingerprint"]
        ]
        if changed:
            raise RecipeError(
                f"{self.stage_dir}: the inputs have changed since the run started: {'; '.join(changed)}. Restore them, "
                "or choose another --output_dir."
            )

    def save(self, name: str, value: Any) -> None:
        """Writes ``<name>.json`` into the run directory."""
        write_json(self.path / f"{name}.json", value)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Marks the head as trained."""
        write_json(self.stage_dir / "stage.json", dict(summary))

    def _refuse_other(self) -> None:
        if self.record.get("task") != self.recipe["task"]:
            raise RecipeError(
                f"{self.path}: contains the run of a retrieval model; choose another --output_dir."
            )
        recorded = self.record.get("recipe", {})
        with suppress(ValueError):
            # Fields that came later have their defaults in an older run.
            recorded = MomentRecipe.model_validate(recorded).model_dump(mode="json")
        old, new = (_flat(recipe, leave_out=MAY_CHANGE) for recipe in (recorded, self.recipe))
        told = [
            f"{name} is {old.get(name)!r} there and {new.get(name)!r} here"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        if told:
            raise RecipeError(
                f"{self.path}: contains a run with another recipe ({'; '.join(told[:5])}). Choose another "
                "--output_dir, or delete the directory."
            )


def _flat(values: Mapping[str, Any], prefix: str = "", leave_out: set[str] = frozenset()) -> dict[str, Any]:
    """Fields by dotted name."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if prefix + name in leave_out:
            continue
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.", leave_out)
        else:
            found[prefix + name] = value
    return found


__all__ = ["INPUTS", "STAGE", "MomentRunDirectory"]
