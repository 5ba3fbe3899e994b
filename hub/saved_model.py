"""A model directory that no run made, as one commit on the Hub: converted from a publisher's file, or saved."""

import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from jinja2 import Environment, StrictUndefined

from ..conversion.checkpoint_kinds import RETRIEVAL, TOWERS
from ..conversion.convert import RECORD_NAME, sha256_of
from ..conversion.finite_weights import NonFiniteWeightsError, check_finite_files
from ..files.saved_directories import read_json
from .licenses import ENCODER_LICENSES
from .model_card import architecture_citations, without_places
from .publishing import (
    SENTENCE_TRANSFORMERS,
    Publication,
    PublishError,
    as_json,
    check_repo_id,
    model_files,
    refuse_local_paths,
)

TEMPLATE = "saved_model_card.md"
DUAL_ENCODER = "auricle"
MOMENT_HEAD = "auricle_moment"
_RECORDED = {
    "source_sha256": str,
    "weights_sha256": str,
    "source": (str, list),
    "dropped": (dict, list),
    "notes": list,
}


def is_run(directory: str | os.PathLike[str]) -> bool:
    """Whether a directory is a training run rather than a model."""
    return (Path(directory) / "run.json").is_file() or not (Path(directory) / "config.json").is_file()


def collect_saved_model(
    directory: str | os.PathLike[str], repo_id: str, *, license: str | None = None
) -> Publication:
    """
    The published files of a model directory: model, processor, code, and a card that describes it.

    The card is made of ``conversion.json``, where `auricle convert` wrote the model. It claims that the weights are
    the publisher's only if their digest is still the recorded one.

    Args:
        directory: that `auricle convert` or ``save_pretrained`` wrote.
        repo_id: ``owner/name``.
        license: the Hub's name of a licence. Default: the licence of the publisher's encoders, otherwise ``other``.

    Raises:
        PublishError: if it is not a model of these classes, is a stage of a run, its weights are missing or contain
            NaN or infinity, the record of its conversion is damaged, the name is not valid for a repository, or a
            file contains a
            path of this machine.
    """
    directory = Path(directory)
    check_repo_id(repo_id)
    _refuse_stage(directory)
    try:
        config = read_json(directory / "config.json")
        record = read_json(directory / RECORD_NAME)
    except ValueError as error:
        raise PublishError(str(error)) from error
    model_type = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(model_type, str) or model_type.split("_")[0] != DUAL_ENCODER:
        raise PublishError(
            f"{directory}: config.json names model_type {model_type!r}; only models of Auricle's classes are published "
            "here; push another model with its own library."
        )
    if model_type == MOMENT_HEAD:
        raise PublishError(
            f"{directory}: is a moment head; publish its run, which records its training data and evaluation: "
            "auricle push RUN OWNER/NAME"
        )
    _check_record(record, directory)
    weights = sorted(directory.glob("model*.safetensors"))
    if not weights:
        raise PublishError(f"{directory}: no model.safetensors found; save the model with save_pretrained.")
    try:
        check_finite_files(directory)
    except NonFiniteWeightsError as error:
        raise PublishError(f"{error} Nothing was published.") from error
    digests = {path.name: sha256_of(path) for path in weights}
    unchanged = record is not None and digests == {"model.safetensors": record["weights_sha256"]}
    known = _publishers_license(record) if unchanged else None
    warnings = []
    if record is not None and not unchanged:
        warnings.append("the weights were changed after the conversion; the card says so.")
    if license is None and known is None:
        warnings.append(
            "the license of the weights is not known; the card says 'other'. Look it up at their publisher and set it "
            "with --license."
        )
    if (directory / "README.md").is_file():
        warnings.append(f"{directory / 'README.md'} is not published: the command writes a new card.")
    chosen = license or known or "other"
    told = chosen
    if license is None:
        told = f"{known}, the publisher's" if known else "not known; ask the publisher of the weights"
    files: dict[str, Path | bytes] = model_files(directory)
    if model_type == DUAL_ENCODER:
        files |= {name: as_json(value) for name, value in SENTENCE_TRANSFORMERS.items()}
    if record is not None:
        files[RECORD_NAME] = as_json(without_places(record))
    fields = _fields(config, record, unchanged) | {
        "model_id": repo_id,
        "license_told": told,
        "weights_sha256": "`, `".join(digests.values()),
        "card_data": _card_data(repo_id, model_type, chosen).to_yaml(),
        "title": repo_id.split("/")[-1],
    }
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    template = resources.files("auricle.model_cards").joinpath(TEMPLATE).read_text(encoding="utf-8")
    files["README.md"] = environment.from_string(template).render(fields).encode()
    publication = Publication(repo_id, dict(sorted(files.items())), warnings)
    refuse_local_paths(publication)
    return publication


def _refuse_stage(directory: Path) -> None:
    """Refuses the model of a run's stage: it is published with its run, whose card describes the training."""
    stage = directory.resolve().parent
    if directory.resolve().name == "model" and (stage / "stage.json").is_file():
        raise PublishError(
            f"{directory}: is the model of a training stage; publish it with what it was trained on: "
            f"auricle push {stage.parent} OWNER/NAME --stage {stage.name}"
        )


def _check_record(record: Any, directory: Path) -> None:
    if record is None:
        return
    if not isinstance(record, dict):
        raise PublishError(f"{directory / RECORD_NAME}: must be a JSON object; convert the file again.")
    for name, kind in _RECORDED.items():
        if not isinstance(record.get(name), kind):
            raise PublishError(
                f"{directory / RECORD_NAME}: {name!r} is missing or damaged; convert the file again."
            )


def _publishers_license(record: Mapping[str, Any]) -> str | None:
    """Of an encoder it is known; a retrieval model's publisher and data have the say over all of it."""
    return ENCODER_LICENSES.get(str(record.get("tower")))


def _fields(config: Mapping[str, Any], record: Mapping[str, Any] | None, unchanged: bool) -> dict[str, Any]:
    is_dual = config["model_type"] == DUAL_ENCODER
    audio = config["audio_config"] if is_dual else config
    architecture = _kind(audio)
    if is_dual:
        architecture += f" and {_kind(config['text_config'])}, {config['projection_dim']} shared dimensions"
    tower = str((record or {}).get("tower"))
    publisher = (record or {}).get("publisher") or TOWERS.get(tower) or tower
    source = (record or {}).get("source", [])
    return {
        "is_dual": is_dual,
        "what": "a dual encoder for language-based audio retrieval" if is_dual else "an audio encoder",
        "record": without_places(record) if record else None,
        "unchanged": unchanged,
        "publisher": f"a checkpoint of {publisher}"
        if tower == RETRIEVAL
        else f"a published {publisher} checkpoint",
        "sources": [source] if isinstance(source, str) else source,
        "notes": [without_places(str(note)) for note in (record or {}).get("notes", [])],
        "architecture": architecture,
        "citations": architecture_citations(audio),
    }


def _kind(config: Mapping[str, Any]) -> str:
    kind = str(config["model_type"]).removeprefix("auricle_")
    return f"{kind}, {config.get('num_hidden_layers', '?')} layers of {config.get('hidden_size', '?')}"


def _card_data(repo_id: str, model_type: str, license: str) -> ModelCardData:
    retrieval = ["audio-retrieval", "text-to-audio-retrieval"] if model_type == DUAL_ENCODER else ["audio"]
    return ModelCardData(
        language="en" if model_type == DUAL_ENCODER else None,
        license=license,
        library_name="transformers",
        pipeline_tag="feature-extraction",
        tags=["auricle", *retrieval, "custom_code"],
        model_name=repo_id.split("/")[-1],
    )


__all__ = ["collect_saved_model", "is_run"]
