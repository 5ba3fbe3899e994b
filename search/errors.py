"""What the rooms of searching raise."""


class SearchError(ValueError):
    """A query, an index or a setting cannot be used. The message names it and the reason."""


class StoreError(SearchError):
    """An index that cannot be opened or written; the message says why and what to do."""


__all__ = ["SearchError", "StoreError"]
