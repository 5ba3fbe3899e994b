"""What a model's directory or Hub repository says it is, read without loading the model."""

import json
import os
from pathlib import Path
from typing import Any

from .interface import EncoderError


def read_model_type(directory: Path) -> str | None:
    """
    ``model_type`` of a directory's ``config.json``; None without that file.

    Raises:
        EncoderError: if the file is no JSON object.
    """
    path = directory / "config.json"
    if not path.is_file():
        return None
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(f"{directory}: config.json cannot be loaded ({_first_line(error)})") from error
    if not isinstance(config, dict):
        raise EncoderError(f"{directory}: config.json cannot be loaded (it holds no JSON object)")
    kind = config.get("model_type")
    return kind if isinstance(kind, str) else None


def license_of(name: str | os.PathLike[str], revision: str | None = None) -> str | None:
    """
    The licence that a model's card names (``license`` of ``README.md``); None if there is no card or it names none.

    Args:
        name: a directory, or a Hub id, whose card is taken from the cache alone.
        revision: of the Hub repository.
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


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


__all__ = ["license_of", "read_model_type"]
