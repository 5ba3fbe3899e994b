"""What the rooms of searching raise."""


class SearchError(ValueError):
    """A question, an index or a setting that cannot be used; the message names it and says why."""


class StoreError(SearchError):
    """An index that cannot be opened or written; the message says why and what to do."""


__all__ = ["SearchError", "StoreError"]
