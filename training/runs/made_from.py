"""Inputs of a stage, a teacher bank or clusters, and whether they have changed."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from datasets import Dataset

from ...encoders import EncoderError
from ...files.cache_root import cache_root
from ...files.content_digests import ContentDigests
from ...files.saved_directories import read_json
from ..clusters.caption_clusters import CaptionClusters
from ..models.model_files import model_files_fingerprint
from ..recipe.reading import RecipeError, resolve_stages
from ..recipe.schema import Recipe
from ..teachers.bank_files import TeacherBank
from .run_directory import RunDirectory
from .stage_data import LoadedData, compare_stage, stage_splits
from .stage_inputs import Inputs, recorded_inputs
from .stage_objective import why_bank_is_outdated, why_clusters_are_outdated


@dataclass(frozen=True)
class MadeFrom:
    """
    The inputs of a stage, a bank or clusters, and whether they have changed.

    Attributes:
        kind: ``stage``, ``bank`` or ``clusters``.
        inputs: by role (``"the model it starts from"``, ``"the sounds of train"``, ...) where each was taken from
            and the fingerprint of its content; None if it was made before inputs were recorded.
        changed: a phrase for each input that has another content now.
        missing: inputs that cannot be found now.
        unrecorded: inputs whose content was not recorded.
    """

    kind: Literal["stage", "bank", "clusters"]
    inputs: Inputs | None
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)

    @property
    def is_current(self) -> bool:
        """Whether all inputs were recorded, can be found, and have the content that they had."""
        return self.inputs is not None and not (self.changed or self.missing or self.unrecorded)


def made_from(
    directory: str | os.PathLike[str],
    *,
    recipe: Recipe | None = None,
    model: str | None = None,
    table: Dataset | None = None,
    digests: ContentDigests | None = None,
) -> MadeFrom:
    """
    Reports what a stage, a bank or clusters were made from, and whether these inputs have changed.

    Contents are compared, never paths or times: a folder that moved is unchanged. Files are hashed once and their
    digests are kept (see [`ContentDigests`]), so a later call only reads each file's size and times.

    Args:
        directory: directory of a stage within a run, of a teacher bank, or of clusters.
        recipe: recipe of the run, with the new paths of data or models that moved. For stages only.
        model: new path of the teacher, or of the model that embedded the captions. Default: the recorded name. For
            banks and clusters only.
        table: the rows that the bank or the clusters should be of; None does not compare rows.
        digests: digests of files' contents; None takes those in the cache directory.

    Raises:
        RecipeError: if the directory is another kind of directory.
        BankError: if a bank is damaged.
        ClusterError: if clusters are.
    """
    path = Path(directory)
    digests = digests or ContentDigests(cache_root())
    if TeacherBank.is_one(path):
        return _of_bank(path, model, table, digests)
    if (path / "clusters.json").is_file():
        return _of_clusters(path, model, table, digests)
    record = read_json(path.parent / "run.json")
    names = [] if record is None else [stage["name"] for stage in record["recipe"]["stages"]]
    if path.name not in names:
        raise RecipeError(f"{path}: is neither a stage of a run, nor a teacher bank, nor clusters.")
    if recipe is None:
        recipe = Recipe.model_validate(record["recipe"])
    return _of_stage(path, recipe.model_copy(update={"output_dir": str(path.parent)}), digests)


def _of_stage(path: Path, recipe: Recipe, digests: ContentDigests) -> MadeFrom:
    run = RunDirectory(recipe)
    (stage,) = (one for one in resolve_stages(recipe) if one.name == path.name)
    inputs = recorded_inputs(path)
    if inputs is None:
        return MadeFrom("stage", None)
    splits = stage_splits(stage, run, LoadedData(progress=False))
    found = compare_stage(stage, recipe, run, splits, digests)
    return MadeFrom("stage", inputs, found.changed, found.missing, found.unrecorded)


def _of_bank(path: Path, model: str | None, table: Dataset | None, digests: ContentDigests) -> MadeFrom:
    bank = TeacherBank.load(path)
    name = model or _stage_of_run(path.parent.parent.parent, bank.model_name)
    inputs = {"the teacher": {"source": name, "fingerprint": bank.model_files or bank.fingerprint}}
    files = _fingerprint(name, digests)
    reason = why_bank_is_outdated(path, name, files, table, digests)
    unrecorded = [] if bank.records_content else ["the contents of its sounds"]
    return _answer("bank", inputs, reason, files, name, unrecorded)


def _of_clusters(path: Path, model: str | None, table: Dataset | None, digests: ContentDigests) -> MadeFrom:
    clusters = CaptionClusters.load(path)
    name = model or clusters.source.get("name")
    if name is None:
        return MadeFrom("clusters", None)
    fingerprint = clusters.source.get("files") or clusters.source.get("fingerprint")
    inputs = {"the model": {"source": name, "fingerprint": fingerprint}}
    files = _fingerprint(name, digests)
    reason = why_clusters_are_outdated(path, name, files, None, table)
    return _answer("clusters", inputs, reason, files, name, [])


def _answer(
    kind: Literal["bank", "clusters"],
    inputs: Inputs,
    reason: str | None,
    files: str | None,
    name: str,
    unrecorded: list[str],
) -> MadeFrom:
    missing = [name] if files is None and reason is None else []
    return MadeFrom(kind, inputs, [] if reason is None else [reason], missing, unrecorded)


def _stage_of_run(run_dir: Path, name: str) -> str:
    """A bank that a run made names its teacher as the recipe does, which may be by a stage of the same run."""
    model = run_dir / name / "model"
    return str(model) if "/" not in name and (run_dir / "run.json").is_file() and model.is_dir() else name


def _fingerprint(name: str, digests: ContentDigests) -> str | None:
    try:
        return model_files_fingerprint(name, digests)
    except (EncoderError, OSError):
        return None


__all__ = ["MadeFrom", "made_from"]
