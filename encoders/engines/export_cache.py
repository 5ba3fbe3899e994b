"""Places of exported towers in the cache."""

import os
from pathlib import Path

from ...files.cache_root import cache_root

GRAPH = "tower.onnx"
# Part of the exports' place in the cache: another form of the graphs is another number.
_FORM = 1


def export_directory(fingerprint: str, tower: str, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """
    The directory of the export of a model's tower.

    Args:
        fingerprint: fingerprint of the model in float32.
        tower: "audio" or "text".
        cache_dir: None is the package's cache.
    """
    return cache_root(cache_dir) / "engines" / f"{fingerprint[:32]}-{_FORM}" / tower


__all__ = ["GRAPH", "export_directory"]
