"""A trained moment head as one commit on the Hub."""

import os
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, StrictUndefined

from ..conversion.finite_weights import NonFiniteWeightsError, check_finite_files
from ..files.saved_directories import read_json
from ..training.moments.moment_recipe import TASK
from ..training.moments.moment_run_directory import STAGE
from .model_card import without_places
from .publishing import Publication, PublishError, as_json, check_repo_id, model_files, refuse_local_paths

TEMPLATE = "moment_head_card.md"


def is_moment_run(directory: str | os.PathLike[str]) -> bool:
    """Whether a directory is the run of a moment head."""
    try:
        record = read_json(Path(directory) / "run.json")
    except ValueError:
        return False
    return isinstance(record, dict) and record.get("task") == TASK


def collect_moment_run(
    run_dir: str | os.PathLike[str], repo_id: str, *, license: str | None = None
) -> Publication:
    """
    Everything that goes to the Hub of a trained moment head: weights, config, code, recipe, measures and a card.

    The encoder is not part of it: the card and the config name it.

    Args:
        run_dir: run directory of `auricle train` with a recipe of ``task: moments``.
        repo_id: ``owner/name``.
        license: the Hub's name of a licence; ``other`` if not given, since the data's are not known.

    Raises:
        PublishError: if it is no such run or not finished, its weights contain NaN or infinity, the name is not valid
            for a repository, or a file contains a path of this machine.
    """
    run_dir = Path(run_dir)
    check_repo_id(repo_id)
    if not is_moment_run(run_dir):
        raise PublishError(f"{run_dir}: not a training run of a moment head.")
    summary, results = read_json(run_dir / STAGE / "stage.json"), read_json(run_dir / "results.json")
    model_dir = run_dir / STAGE / "model"
    if summary is None or results is None or not (model_dir / "config.json").is_file():
        raise PublishError(f"{run_dir}: the head is not finished; run the recipe to its end first.")
    try:
        check_finite_files(model_dir)
    except NonFiniteWeightsError as error:
        raise PublishError(f"{error} Nothing was published.") from error
    warnings = []
    if license is None:
        warnings.append(
            "the licenses of the encoder and the data are not recorded in the run; the card says 'other'. Set it with "
            "--license."
        )
    files: dict[str, Path | bytes] = model_files(model_dir)
    files["README.md"] = render_moment_card(run_dir, repo_id=repo_id, license=license).encode()
    record = read_json(run_dir / "run.json")
    files["recipe.yaml"] = yaml.safe_dump(without_places(record["recipe"]), sort_keys=False).encode()
    files["training_log.json"] = as_json({"log": summary["log"], "best": summary["best"]})
    files["evaluation.json"] = as_json(without_places({"test": results.get("test")}))
    publication = Publication(repo_id, dict(sorted(files.items())), warnings)
    refuse_local_paths(publication)
    return publication


def render_moment_card(
    run_dir: str | os.PathLike[str], *, repo_id: str | None = None, license: str | None = None
) -> str:
    """
    The card of a finished moment head as Markdown with the Hub's metadata.

    Args:
        run_dir: directory of the run.
        repo_id: where it will be on the Hub; a placeholder if not given.
        license: the Hub's name of a licence; ``other`` if not given.
    """
    run_dir = Path(run_dir)
    record, summary = read_json(run_dir / "run.json"), read_json(run_dir / STAGE / "stage.json")
    results, config = (
        read_json(run_dir / "results.json"),
        read_json(run_dir / STAGE / "model" / "config.json"),
    )
    recipe = without_places(record["recipe"])
    fields: dict[str, Any] = {
        "card_data": _card_data(recipe, results, license or "other").to_yaml(),
        "title": repo_id.split("/")[-1] if repo_id else recipe["name"],
        "description": recipe["description"],
        "model_id": repo_id or "path/of/this/directory",
        "encoder_name": config["encoder_name"] or "not recorded",
        "config": config,
        "best": summary["best"],
        "parameters": summary["parameters"],
        "epochs": summary["epochs"],
        "steps": summary["steps"],
        "seconds": summary["seconds"],
        "hardware": summary["hardware"],
        "test": results.get("test"),
        "source": recipe["data"]["source"],
        "remarks": without_places(results.get("remarks", [])),
        "recipe": yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True),
        "packages": ", ".join(f"{name} {version}" for name, version in record["packages"].items()),
    }
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    template = resources.files("auricle.model_cards").joinpath(TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(template).render(fields)


def _card_data(recipe: dict[str, Any], results: dict[str, Any], license: str) -> ModelCardData:
    figures = [
        EvalResult(
            task_type="audio-moment-retrieval",
            dataset_type=recipe["data"]["source"],
            dataset_name=f"{recipe['name']}, test queries",
            metric_type=name,
            metric_value=round(entry["value"], 4),
            metric_args={"confidence_interval_95": [round(entry["low"], 4), round(entry["high"], 4)]},
        )
        for name, entry in (results.get("test") or {}).get("over_recordings", {}).items()
    ]
    return ModelCardData(
        language="en",
        license=license,
        eval_results=figures or None,
        library_name="transformers",
        tags=["auricle", "audio-moment-retrieval", "custom_code"],
        model_name=recipe["name"],
    )


__all__ = ["collect_moment_run", "is_moment_run", "render_moment_card"]
