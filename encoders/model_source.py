"""Identifies the kind of a model's directory or Hub repository without loading the model."""

import json
import os
from pathlib import Path
from typing import Any

from .interface import EncoderError

ACCEPTED = (
    "Auricle models and their adapters and exports, CLAP, PE-AV, PE-A-Frame, and sentence-transformers models of "
    "text and audio"
)
# Tables of transformers by kind of model; the first table that lists a model's class or type names its kind.
_TABLES = (
    ("speech recogniser", ("MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES", "MODEL_FOR_CTC_MAPPING_NAMES")),
    (
        "sound generator",
        ("MODEL_FOR_TEXT_TO_WAVEFORM_MAPPING_NAMES", "MODEL_FOR_TEXT_TO_SPECTROGRAM_MAPPING_NAMES"),
    ),
    ("sound classifier", ("MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES",)),
    ("image-text model", ("MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES",)),
    ("image model", ("MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES", "MODEL_FOR_IMAGE_MAPPING_NAMES")),
    ("text encoder", ("MODEL_FOR_MASKED_LM_MAPPING_NAMES",)),
    ("language model", ("MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES")),
)


def read_model_type(directory: Path) -> str | None:
    """
    ``model_type`` of a directory's ``config.json``; None without that file.

    Raises:
        EncoderError: if the file is not a JSON object.
    """
    path = directory / "config.json"
    if not path.is_file():
        return None
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(f"{directory}: config.json cannot be loaded ({_first_line(error)})") from error
    if not isinstance(config, dict):
        raise EncoderError(f"{directory}: config.json cannot be loaded (not a JSON object)")
    kind = config.get("model_type")
    return kind if isinstance(kind, str) else None


def license_of(name: str | os.PathLike[str], revision: str | None = None) -> str | None:
    """
    The licence that a model's card names (``license`` of ``README.md``); None if there is no card or it names none.

    Args:
        name: a directory, or a Hub id, whose card is taken only from the cache.
        revision: revision of the Hub repository.
    """
    from huggingface_hub import metadata_load, try_to_load_from_cache

    path: Any = Path(name) / "README.md"
    if not Path(name).is_dir():
        try:
            path = try_to_load_from_cache(os.fspath(name), "README.md", revision=revision)
        except ValueError:
            return None
    if not isinstance(path, str | Path) or not Path(path).is_file():
        return None
    try:
        card = metadata_load(path) or {}
    except (OSError, ValueError, ImportError):
        return None
    except Exception as error:  # a YAML fault has the parser's own type
        if type(error).__module__.partition(".")[0] == "yaml":
            return None
        raise
    license = card.get("license")
    return license if isinstance(license, str) else None


def unfit_model(name: str, directory: Path) -> str:
    """
    One line that describes a model and names what would be accepted.

    Args:
        name: as the user gave it.
        directory: with the files that describe the model; ``config.json``, if it exists, is valid JSON.
    """
    config = read_json(directory / "config.json")
    if config is None and not (directory / "modules.json").is_file():
        if models := models_below(name):
            return (
                f"{name}: not a saved model, but the directory of a training run; use {' or '.join(models)}."
            )
        return f"{name}: not a saved model (no config.json, modules.json or adapter_config.json)."
    kind = _kind(directory, config or {})
    return f"{name}: contains {kind}, which does not embed sounds and sentences; accepted are {ACCEPTED}."


def models_below(name: str) -> list[str]:
    """Model directories of a run's, or of its stage's, directory; the run's last stage first."""
    directory = Path(name)
    if not directory.is_dir():
        return []
    record = read_json(directory / "run.json")
    recipe = record.get("recipe") if isinstance(record, dict) else None
    stages = recipe.get("stages") if isinstance(recipe, dict) else None
    order = [stage.get("name") for stage in stages or [] if isinstance(stage, dict)]
    found = [
        path.parent for path in (*directory.glob("model/config.json"), *directory.glob("*/model/config.json"))
    ]
    place = {name: number for number, name in enumerate(order)}
    found.sort(key=lambda path: (-place.get(path.parent.name, -1), path))
    return [os.fspath(path) for path in found]


def needed_remote_code(directory: Path) -> list[str]:
    """
    Classes that a model needs and that only its own repository defines, not transformers or sentence-transformers.

    Args:
        directory: with the model's configuration files; those of its parts are in subfolders.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return [
        name
        for model_type, names in _brought_classes(directory)
        if model_type not in CONFIG_MAPPING_NAMES
        for name in names
    ]


def brings_remote_code(directory: Path) -> bool:
    """Whether the directory contains code that a library with trust_remote_code would run."""
    return any(names for _, names in _brought_classes(directory))


def _brought_classes(directory: Path) -> list[tuple[str | None, list[str]]]:
    """(model type, classes that its repository brings) of each part; no type of modules of sentence-transformers."""
    chain = read_json(directory / "modules.json")
    found: list[tuple[str | None, list[str]]] = []
    configs = sorted(directory.rglob("*config*.json")) if chain else [directory / "config.json"]
    for path in configs:
        config = read_json(path)
        if not isinstance(config, dict):
            continue
        classes = config["auto_map"].values() if isinstance(config.get("auto_map"), dict) else []
        names = [
            name for entry in classes for name in (entry if isinstance(entry, list) else [entry]) if name
        ]
        if path.name == "config.json":
            found.append((config.get("model_type"), list(dict.fromkeys(map(str, names)))))
        elif path.name == "router_config.json" and isinstance(config.get("types"), dict):
            found.append((None, _foreign(config["types"].values())))
    modules = chain if isinstance(chain, list) else []
    types = [module.get("type", "") for module in modules if isinstance(module, dict)]
    return [*found, (None, _foreign(types))]


def _foreign(types: Any) -> list[str]:
    return [kind for kind in map(str, types) if kind and not kind.startswith("sentence_transformers.")]


def read_json(path: Path) -> Any:
    """A file's contents; None if there is no such file, or it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _kind(directory: Path, config: dict[str, Any]) -> str:
    from transformers.models.auto import modeling_auto

    model_type = config.get("model_type")
    said = f" (model type {model_type!r})" if model_type else ""
    if (directory / "modules.json").is_file():
        return f"a sentence-transformers model that takes no audio{said}"
    architectures = config.get("architectures") or []
    tables = [(kind, [getattr(modeling_auto, table, {}) for table in tables]) for kind, tables in _TABLES]
    for matches in (
        # The class says more than the type: one type may have a recogniser and a classifier.
        lambda table: any(name in _names(table) for name in architectures),
        lambda table: model_type in table,
    ):
        for kind, candidates in tables:
            if any(matches(table) for table in candidates):
                article = "an" if kind[0] in "aeiou" else "a"
                return f"{article} {kind}{said}"
    return f"another kind of model{said}"


def _names(table: Any) -> set[str]:
    return {
        name for entry in table.values() for name in (entry if isinstance(entry, list | tuple) else (entry,))
    }


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


__all__ = [
    "ACCEPTED",
    "brings_remote_code",
    "license_of",
    "models_below",
    "needed_remote_code",
    "read_json",
    "read_model_type",
    "unfit_model",
]
