"""
Downloads of published datasets from their publishers: what there is, fetching it with resume, unpacking it.

Nothing here knows what the files mean; reading them is what `data/sources` does.
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
