"""Places of exported towers in the cache."""

import os
from pathlib import Path

from ...files.cache_root import cache_root

GRAPH = "tower.onnx"
TOWERS = ("audio", "text")
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


def exports_are_there(fingerprint: str, cache_dir: str | os.PathLike[str] | None = None) -> bool:
    """Whether both towers of a model were exported to the cache."""
    return all((export_directory(fingerprint, tower, cache_dir) / GRAPH).is_file() for tower in TOWERS)


def any_exports(cache_dir: str | os.PathLike[str] | None = None) -> bool:
    """Whether the cache has exports of any model: a fingerprint takes time to compute."""
    return (cache_root(cache_dir) / "engines").is_dir()


__all__ = ["GRAPH", "TOWERS", "any_exports", "export_directory", "exports_are_there"]
