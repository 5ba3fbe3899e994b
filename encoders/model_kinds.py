"""What a model is that no encoder class takes, in words for a message."""

import json
from pathlib import Path
from typing import Any

ACCEPTED = (
    "Auricle models and their adapters and exports, CLAP, PE-AV, PE-A-Frame, and sentence-transformers models of "
    "text and audio"
)
# Tables of transformers, by what their models are; the first that holds a model's class or type names it.
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


def unfit_model(name: str, directory: Path) -> str:
    """
    One line that says what a model is and what would be accepted.

    Args:
        name: as the user gave it.
        directory: with the files that say what it is; ``config.json`` is known to be JSON if it is there.
    """
    config = read_json(directory / "config.json")
    if config is None and not (directory / "modules.json").is_file():
        return f"{name}: holds no saved model (no config.json, modules.json or adapter_config.json)."
    kind = _kind(directory, config or {})
    return f"{name}: holds {kind}, which does not embed sounds and sentences; accepted are {ACCEPTED}."


def needed_remote_code(directory: Path, config: dict[str, Any] | None) -> list[str]:
    """
    Classes that a model needs and that neither transformers nor sentence-transformers has, only its repository.

    Args:
        directory: with ``modules.json`` if there is one.
        config: contents of ``config.json``.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    found = []
    if config and config.get("auto_map") and config.get("model_type") not in CONFIG_MAPPING_NAMES:
        classes = config["auto_map"].values()
        found += [
            name for entry in classes for name in (entry if isinstance(entry, list) else [entry]) if name
        ]
    for module in read_json(directory / "modules.json") or []:
        kind = module.get("type", "") if isinstance(module, dict) else ""
        if kind and not kind.startswith("sentence_transformers."):
            found.append(kind)
    return list(dict.fromkeys(map(str, found)))


def read_json(path: Path) -> Any:
    """A file's contents; None if there is no such file, or it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _kind(directory: Path, config: dict[str, Any]) -> str:
    from transformers.models.auto import modeling_auto

    model_type = config.get("model_type")
    said = f" (model type {model_type!r})" if model_type else ""
    if (directory / "modules.json").is_file():
        return f"a sentence-transformers model that takes no sound{said}"
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


__all__ = ["ACCEPTED", "needed_remote_code", "read_json", "unfit_model"]
