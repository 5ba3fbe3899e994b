"""Directory of the cache: decoded audio, rendered scenes, digests of files."""

import os
from pathlib import Path


def cache_root(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Directory of generated and decoded audio: the argument, ``$AURICLE_CACHE`` or ``~/.cache/auricle``."""
    return Path(cache_dir or os.environ.get("AURICLE_CACHE") or Path.home() / ".cache" / "auricle")


__all__ = ["cache_root"]
