"""A digest by which two programs recognise the same index without opening it."""

import hashlib
import json
import os
from pathlib import Path

# The model's directory may change while the index stays the same.
PLACES = ("model",)
SETTING_PLACES = ("revision",)


def index_identity(directory: str | os.PathLike[str]) -> str | None:
    """
    A digest of an index's settings (fingerprint, precision, window, width and others) and of its table's identity.

    It changes if the index is rebuilt at the same path, but not when files are added or removed: an engine checks
    for those at every query.

    Args:
        directory: directory of an index, on a disk.

    Returns:
        32 hexadecimal digits; None if there is no index, or it is damaged.
    """
    folder = Path(directory)
    try:
        record = json.loads((folder / "index.json").read_bytes())
        settings = dict(record.get("settings", {}))
        kept = {name: value for name, value in record.items() if name not in (*PLACES, "settings", "version")}
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    settings = {name: value for name, value in settings.items() if name not in SETTING_PLACES}
    try:
        table = (folder / "sounds.lance").stat().st_ino
    except OSError:
        table = None
    content = json.dumps([kept, settings, table], sort_keys=True, default=str)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]


__all__ = ["index_identity"]
