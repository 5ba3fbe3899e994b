"""JSON files that a kill leaves whole."""

import json
import os
from pathlib import Path
from typing import Any

from .replacing import replace_path


def write_json(path: Path, value: Any) -> None:
    """Writes JSON through a temporary file, so that a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    replace_path(temporary, path)


def read_json(path: Path) -> Any:
    """
    Reads a JSON file; None if it does not exist.

    Raises:
        ValueError: if it is not JSON; the message names the file.
    """
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: is not valid JSON ({error}).") from error
