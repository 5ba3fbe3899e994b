"""What an index keeps of how it is made: ``index.json``."""

import json
from typing import Any

from .lance_table import first_line

RECORD = "index.json"
FORMAT, VERSION = "auricle index", 2


def read_record(content: bytes) -> dict[str, Any]:
    """
    What an index keeps of how it is made, from its ``index.json``.

    Raises:
        ValueError: if it is damaged, or of another kind or version.
    """
    try:
        record = json.loads(content)
    except ValueError as error:
        raise ValueError(f"is damaged ({first_line(error)})") from error
    if not isinstance(record, dict) or (record.get("format"), record.get("version")) != (FORMAT, VERSION):
        raise ValueError("is of another kind or version")
    kinds = {
        "model": str,
        "fingerprint": str,
        "window_seconds": int | float,
        "hop_seconds": int | float,
        "exact_windows": int,
        "width": int,
    }
    for name, kind in kinds.items():
        if not isinstance(record.get(name), kind):
            raise ValueError(f"is damaged ({name} is {record.get(name)!r})")
    return record


def record_text(record: dict[str, Any]) -> bytes:
    """The content of ``index.json``."""
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()


__all__ = ["FORMAT", "RECORD", "VERSION", "read_record", "record_text"]
