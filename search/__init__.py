"""Searching one's own sounds: an index on disk, moments within recordings, and a page."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import SearchError
    from .query.hits import Hit
    from .sound_index import SoundIndex
    from .update.indexing import IndexReport

__all__ = ["Hit", "IndexReport", "SearchError", "SoundIndex"]


def __getattr__(name: str) -> Any:
    # Imported when first used, so that the command line starts fast.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import sound_index

    return getattr(sound_index, name)
