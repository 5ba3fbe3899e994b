"""Exceptions of the search modules."""


class SearchError(ValueError):
    """A query, an index or a setting cannot be used. The message names it and the reason."""


class StoreError(SearchError):
    """An index cannot be opened or written, or a query is invalid; the message gives the reason and the remedy."""


__all__ = ["SearchError", "StoreError"]
