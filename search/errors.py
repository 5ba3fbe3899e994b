"""What the rooms of searching raise."""


class SearchError(ValueError):
    """A question, an index or a setting that cannot be used; the message names it and says why."""


__all__ = ["SearchError"]
