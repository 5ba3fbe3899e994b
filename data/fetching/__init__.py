"""
Downloads of published datasets from their publishers: a catalog, resumable downloads, unpacking.

This room does not read the files; `data/sources` does.
"""

from .catalog import CATALOG, Archive, Fetchable, PublishedFile, fetchable_named
from .download import FetchError, download
from .fetch import FetchPlan, fetch, plan_fetch

__all__ = [
    "CATALOG",
    "Archive",
    "FetchError",
    "FetchPlan",
    "Fetchable",
    "PublishedFile",
    "download",
    "fetch",
    "fetchable_named",
    "plan_fetch",
]
